"""What a causal test will lesion: the claim under each fill, its matched random controls, and what goes beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from broca.evidence.conditions import Condition
from broca.evidence.maps import Floats
from broca.instruments.localize.result import Localization
from broca.models.lm import LM
from broca.sites import Kind, Site
from broca.units import UnitMask, random_like
from broca.units.ranks import Side

if TYPE_CHECKING:
    from broca.instruments.lesion.spec import CausalTest

Lesioned = Condition[UnitMask]

IN_BIN = 8
"""Bins of size hold so many units (or heads) at least: with fewer, hardly two selections would match."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The conditions of a causal test, apart from the intact one."""

    main: tuple[Lesioned, ...]
    """The claim, once for each fill."""
    random: tuple[Lesioned, ...]
    """Matched random lesions."""
    sizes: tuple[Lesioned, ...]
    """Smaller and larger selections of the claim's ranking: does the effect hang on the size?"""
    beside: tuple[Lesioned, ...]
    """Other doses and sides with their controls, and the selections of other localizers."""
    wanted: int
    """How many random lesions were asked for."""

    @property
    def mask(self) -> UnitMask:
        return self.main[0].mask

    @property
    def conditions(self) -> tuple[Lesioned, ...]:
        every = (*self.main, *self.random, *self.sizes, *self.beside)
        # A size may also be a point of the dose-response curve: it is lesioned once.
        return tuple({tuple(c.address.values()): c for c in every}.values())

    @property
    def sites(self) -> list[Site]:
        """Every site that some condition lesions."""
        return sorted({site for condition in self.conditions for site in condition.mask.at})

    @property
    def warnings(self) -> tuple[str, ...]:
        """Says so where fewer selections match the lesioned one than were asked for."""
        n = len(self.random)
        if n >= self.wanted:
            return ()
        text = (
            f"Only {n} distinct random selections match the lesioned one (asked: {self.wanted}), so p cannot be below "
            f"{1 / (n + 1):.2g}. Select more, or match on less."
        )
        return (text,)


def plan_conditions(
    spec: CausalTest, lm: LM, found: Sequence[Localization], size: Mapping[Site, Floats] | None = None
) -> Plan:
    """Everything to lesion, the claim first.

    Args:
        spec: the test.
        lm: the model.
        found: what its localizers found, the main one first; nothing where the selection is given.
        size: of every unit that may stand in for one of a given selection, where draws are matched on size.

    Raises:
        SelectionError: if a selection would be empty, or too few units are left for matched draws.
    """
    if not found:
        assert spec.selection is not None
        labels = Condition("lesion", spec.selection, dose=100 * spec.selection.count / spec.selection.total)
        return Plan(
            _with_every_fill(spec, labels), _random(spec, lm, labels, None, n=spec.draws, size=size), (), (), spec.draws
        )
    first, *rest = found

    def lesion(of: Localization, side: Side, percent: float) -> Lesioned:
        mask = of.select(percent=percent, side=side, seed=spec.seed)
        return Condition("lesion", mask, localizer=of.contrast["name"], side=side, dose=percent, fill=spec.fills[0])

    main = lesion(first, spec.sides[0], spec.percent)
    beside = [lesion(first, side, spec.percent) for side in spec.sides[1:]]
    for dose in spec.doses:
        if dose != spec.percent:
            curve = [lesion(first, side, dose) for side in spec.sides]
            beside += [*curve, *_random(spec, lm, curve[0], first, n=spec.dose_draws)]
    beside += [lesion(other, spec.sides[0], spec.percent) for other in rest]
    # Of few units a smaller share may be none.
    least = 100 / first.selection["n_alive"]
    scaled = sorted({scale * spec.percent for scale in spec.sizes} - {spec.percent})
    sizes = tuple(lesion(first, spec.sides[0], percent) for percent in scaled if least <= percent <= 100)
    random = _random(spec, lm, main, first, n=spec.draws)
    return Plan(_with_every_fill(spec, main), random, _distinct(sizes, main), tuple(beside), spec.draws)


def _distinct(sizes: Sequence[Lesioned], main: Lesioned) -> tuple[Lesioned, ...]:
    """Those that lesion another number of units than the claim does: few units cannot be halved."""
    return tuple(condition for condition in sizes if condition.mask.count != main.mask.count)


def _with_every_fill(spec: CausalTest, condition: Lesioned) -> tuple[Lesioned, ...]:
    return tuple(replace(condition, fill=fill) for fill in spec.fills)


def _random(
    spec: CausalTest,
    lm: LM,
    like: Lesioned,
    of: Localization | None,
    *,
    n: int,
    size: Mapping[Site, Floats] | None = None,
) -> tuple[Lesioned, ...]:
    """Distinct random lesions matched to `like`, n of them where there are so many.

    They come from every live unit that was ranked; for a given selection from every unit of its kinds of site.
    """
    alive = of.alive if of else candidates(lm, like.mask)
    size = of.size if of else size
    pools = [int(on.sum()) for site, on in alive.items() if like.mask.at.get(site, on[:0]).any()]
    pool = min(pools) if "layer" in spec.match else sum(int(on.sum()) for on in alive.values())
    bins = min(10, max(1, pool // IN_BIN))
    # Where few selections match, draws repeat themselves: a repeated draw is no further evidence.
    drawn: dict[str, tuple[int, UnitMask]] = {}
    for seed in range(spec.seed, spec.seed + 10 * n):
        mask = random_like(
            like.mask, seed=seed, alive=alive, among=spec.among, match=spec.match, size=size, n_bins=bins
        )
        drawn.setdefault(mask.fingerprint, (seed, mask))
        if len(drawn) == n:
            break
    return tuple(
        replace(like, name="random", mask=mask, fill=spec.fills[0], seed=seed) for seed, mask in drawn.values()
    )


def candidates(lm: LM, mask: UnitMask) -> dict[Site, Any]:
    """Every unit (or head) of the kinds of site that the mask has."""
    kinds: list[Kind] = list(dict.fromkeys(site.kind for site in mask.at))
    return {
        site: np.ones(lm.anatomy.choices(site, mask.grain), dtype=bool)
        for kind in kinds
        for site in lm.anatomy.sites(kind, images=any(not lm.anatomy.blocks[own.layer].on_text for own in mask.at))
    }
