"""What a study of perturbations tried, and what its heads, neurons or features were chosen on."""

from __future__ import annotations

from collections.abc import Sequence

from broca.evidence.ledger import DataChoice, Ledger, look
from broca.evidence.pilot import pilot_line
from broca.instruments.perturb.selection import OF_NEURONS, Selection
from broca.instruments.perturb.spec import Perturb


def ledger(spec: Perturb, kinds: Sequence[str], selection: Selection, *, dropped: int, apart: bool) -> Ledger:
    """The ledger of a study.

    Args:
        spec: the study.
        kinds: of perturbation that were asked.
        selection: what was chosen.
        dropped: cases that share something with what was looked at before.
        apart: whether others are left.
    """
    looks = (
        look("kinds of perturbation", kinds, "all together"),
        look("what can be chosen", (spec.select,)),
        look(f"rules for {spec.select}", (_rule(spec),)),
        look("attention patterns", (spec.patterns,), "none"),
    )
    chosen = DataChoice(
        f"the {spec.select}", "half of the groups of cases", "the other half", apart=True, groups=selection.groups
    )
    beforehand = pilot_line(spec.pilot, chosen.tested_on, apart=apart, dropped=dropped)
    return Ledger.of(spec, looks, [chosen, *beforehand] if selection.mask is not None else [])


def _rule(spec: Perturb) -> str:
    """Which are chosen, in words."""
    if spec.select == "heads" and spec.percent is None:
        return f"those that restore {spec.smallest_effect:.0%} or more"
    return f"{spec.percent or OF_NEURONS:g} percent"
