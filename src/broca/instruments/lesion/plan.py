"""What a causal test of a ranking lesions: the claim under each fill, its matched draws, and what goes beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from broca.evidence.conditions import Condition
from broca.evidence.draws import Draws, matched_units
from broca.evidence.selector import Ranking
from broca.evidence.trial import LesionTrial
from broca.units import UnitMask
from broca.units.ranks import Side

if TYPE_CHECKING:
    from broca.instruments.lesion.spec import CausalTest

Lesioned = Condition[UnitMask]


def ranked_trial(spec: CausalTest, found: Sequence[Ranking]) -> LesionTrial[UnitMask]:
    """Everything to lesion of what localizers ranked, the claim first.

    What is lesioned is selected here, from the ranking, by the test's own `percent` and `sides`; the selection that a localizer's result
    holds is what it would have selected by itself.

    Args:
        spec: the test.
        found: what its localizers found, the main one first.

    Raises:
        SelectionError: if a selection would be empty, or too few units are left for matched draws.
    """
    first, *rest = found

    def lesion(of: Ranking, side: Side, percent: float) -> Lesioned:
        mask = of.select(percent=percent, side=side, seed=spec.seed)
        return Condition("lesion", mask, localizer=of.label, side=side, dose=percent, fill=spec.fills[0])

    def draws(like: Lesioned, n: int) -> Draws[UnitMask]:
        return matched_units(
            like, n, alive=first.alive, size=first.size, match=spec.match, among=spec.among, seed=spec.seed
        )

    main = lesion(first, spec.sides[0], spec.percent)
    beside = [lesion(first, side, spec.percent) for side in spec.sides[1:]]
    for percent in spec.doses:
        if percent != spec.percent:
            curve = [lesion(first, side, percent) for side in spec.sides]
            beside += [*curve, *draws(curve[0], spec.dose_draws).conditions]
    beside += [lesion(other, spec.sides[0], spec.percent) for other in rest]
    # Of few units a smaller share may be none.
    least = 100 / first.selection["n_alive"]
    scaled = sorted({scale * spec.percent for scale in spec.sizes} - {spec.percent})
    most = spec.enough_draws(spec.draws)
    sizes = tuple(lesion(first, spec.sides[0], percent) for percent in scaled if least <= percent <= 100)
    return LesionTrial(
        lesions=tuple(replace(main, fill=fill) for fill in spec.fills),
        draws=draws(main, most),
        sizes=_distinct(sizes, main),
        beside=tuple(beside),
        wanted=most,
    )


def _distinct(sizes: Sequence[Lesioned], main: Lesioned) -> tuple[Lesioned, ...]:
    """Those that lesion another number of units than the claim does: few units cannot be halved."""
    return tuple(condition for condition in sizes if condition.mask.count != main.mask.count)
