"""A weight mask on trial: under other edits, at other sizes and fractions, and beside random masks of each family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broca.evidence.draws import Draws
from broca.evidence.trial import LesionTrial
from broca.instruments.sensitivity.conditions import Masked
from broca.instruments.sensitivity.plan import Chooser
from broca.instruments.sensitivity.spec import Sensitivity
from broca.interventions.weights import WeightMask
from broca.models.lm import LM


@dataclass(frozen=True, slots=True)
class Trial:
    """A mask on trial, and what of it is for what."""

    whole: LesionTrial[WeightMask | None]
    sweep: tuple[Masked, ...]
    """Every other fraction."""
    families: Mapping[str, list[Masked]]
    """Random masks, by what they share with it."""

    @property
    def claim(self) -> Masked:
        """The mask under the first edit."""
        return self.whole.claim

    @property
    def mask(self) -> WeightMask:
        """The same, which is never none."""
        assert self.claim.mask is not None
        return self.claim.mask

    @property
    def conditions(self) -> list[Masked]:
        """Each condition once but for the draws, which come last."""
        whole = self.whole
        return list({tuple(c.address.values()): c for c in (*whole.lesions, *whole.sizes, *whole.beside)}.values())


def mask_trial(
    spec: Sensitivity,
    lm: LM,
    make: Chooser,
    mask_fraction: float,
    *,
    fractions: Sequence[float],
    draws: int,
    own: str,
) -> Trial:
    """The mask of a fraction, and everything that it is compared with.

    Args:
        spec: what is asked.
        lm: the model.
        make: how a mask follows from the rankings.
        mask_fraction: the chosen one.
        fractions: every one of the sweep.
        draws: random masks of each family.
        own: the ability that the claim is about.
    """
    claim = make.condition(mask_fraction, spec.edits[0], own)
    assert claim is not None
    sweep = [c for each in fractions if each != mask_fraction and (c := make.condition(each, spec.edits[0], own))]
    scaled = [
        make.condition(mask_fraction * size, spec.edits[0], own) for size in spec.sizes if mask_fraction * size <= 1
    ]
    edits = [c for edit in spec.edits[1:] if (c := make.condition(mask_fraction, edit, own))]
    sizes = [c for c in scaled if c and c.mask and c.mask.weights != claim.mask.weights]  # type: ignore[union-attr]
    main = spec.nulls[0]
    families: dict[str, list[Masked]] = {}
    for family in spec.nulls:
        label = own if family == main else f"{own} ({family})"
        families[family] = make.randoms(lm, claim, draws, family, spec.seed, label=label)
    band = [draw for each in sweep for draw in make.randoms(lm, each, spec.sweep_draws, main, spec.seed, label=own)]
    further = [draw for family, some in families.items() if family != main for draw in some]
    drawn = Draws(tuple(families[main]), f"matched on {main}")
    trial = LesionTrial((claim, *edits), drawn, tuple(sizes), (*sweep, *band, *further), wanted=draws)
    return Trial(trial, tuple(sweep), families)
