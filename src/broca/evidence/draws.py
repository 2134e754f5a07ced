"""Matched draws: random lesions that share with a selection all but what it was selected for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal

import numpy as np

from broca.evidence.conditions import C, Condition
from broca.evidence.maps import Floats
from broca.interventions.weights import WeightMask
from broca.models.lm import LM
from broca.models.weight_matrices import matrices
from broca.sites import Kind, Site
from broca.units import UnitMask, random_like
from broca.units.weight_draws import Match, random_weights
from broca.units.weight_ranking import WeightRanking

IN_BIN = 8
"""Bins of size hold so many units (or heads) at least: with fewer, hardly two selections would match."""


def candidates(lm: LM, mask: UnitMask) -> dict[Site, Any]:
    """Every unit (or head) of the kinds of site that the mask has."""
    kinds: list[Kind] = list(dict.fromkeys(site.kind for site in mask.at))
    return {
        site: np.ones(lm.anatomy.choices(site, mask.grain), dtype=bool)
        for kind in kinds
        for site in lm.anatomy.sites(kind, images=any(not lm.anatomy.blocks[own.layer].on_text for own in mask.at))
    }


LEAST = 19
"""Distinct choices that a match must allow, or it is loosened: the fewest with a p of .05."""


@dataclass(frozen=True, slots=True)
class Draws(Generic[C]):
    """Random lesions, each a distinct choice."""

    conditions: tuple[Condition[C], ...]
    matched: str
    """What they share with the selection, in words."""


NO_DRAWS: Draws[Any] = Draws((), "")


def matched_units(
    like: Condition[UnitMask],
    n: int,
    *,
    alive: Mapping[Site, Any],
    size: Mapping[Site, Floats] | None,
    match: Sequence[Literal["layer", "size"]],
    among: Literal["all", "rest"] = "all",
    seed: int,
) -> Draws[UnitMask]:
    """Distinct random lesions matched to `like`, under its fill: n of them where there are so many.

    Where a match allows fewer than `LEAST` distinct choices it is loosened: fewer bins of size, then no size, then no layer.

    Args:
        like: what they are compared with. It is no draw itself.
        n: how many.
        alive: the units that may be drawn.
        size: of each of them, where draws are matched on size.
        match: what a draw shares with `like`, beside how many units there are.
        among: whether units of `like` may be drawn.
        seed: of the first draw.

    Raises:
        SelectionError: if too few units are left to draw from.
    """
    found: Draws[UnitMask] = Draws((), "")
    for shared, bins, words in _matches(like, alive, match):
        drawn = {_units_of(like.mask): (-1, like.mask)}
        for own in range(seed, seed + 10 * n):
            mask = random_like(like.mask, seed=own, alive=alive, among=among, match=shared, size=size, n_bins=bins)
            # Where few selections match, draws repeat themselves: a repeated draw is no further evidence.
            drawn.setdefault(_units_of(mask), (own, mask))
            if len(drawn) > n:
                break
        masks = [each for each in drawn.values() if each[0] >= 0]
        found = Draws(tuple(replace(like, name="random", mask=mask, seed=own) for own, mask in masks), words)
        if len(masks) >= min(n, LEAST):
            break
    return found


def _units_of(mask: UnitMask) -> frozenset[tuple[Site, int]]:
    """The units of a mask, whatever other sites it names."""
    return frozenset((site, int(i)) for site, on in mask.at.items() for i in np.flatnonzero(on))


def _matches(
    like: Condition[UnitMask], alive: Mapping[Site, Any], match: Sequence[Literal["layer", "size"]]
) -> Iterator[tuple[tuple[Literal["layer", "size"], ...], int, str]]:
    """What draws may share with a selection, the tightest first: the match, bins of size, and both in words."""
    pools = [int(on.sum()) for site, on in alive.items() if like.mask.at.get(site, on[:0]).any()]
    pool = min(pools) if "layer" in match else sum(int(on.sum()) for on in alive.values())
    bins = min(10, max(1, pool // IN_BIN)) if "size" in match else 1
    size = "firing rate and size" if all(site.kind == "feature" for site in like.mask.at) else "size"
    layer: tuple[Literal["layer", "size"], ...] = ("layer",) if "layer" in match else ()
    several = [each for each in dict.fromkeys((bins, 2)) if 1 < each <= bins]
    for each in several:
        where = " and layer" if layer else ""
        yield (*layer, "size"), each, f"matched on {size} ({each} bins){where}"
    if layer:
        yield layer, 1, "matched on layer"
    yield (), 1, "of as many"


def matched_weights(
    lm: LM, like: Condition[Any], n: int, match: Match, seed: int, *, label: str, general: WeightRanking | None = None
) -> list[Condition[Any]]:
    """Random masks that share `match` with the one of `like`; fewer than n where they repeat themselves.

    Args:
        lm: the model.
        like: what they are compared with.
        n: how many.
        match: what they share, see `Match`.
        seed: of the first draw.
        label: what they are called in the tables.
        general: the control's ranking, to draw from its top.
    """
    mask: WeightMask = like.mask
    known = {m.name: m for m in matrices(lm.model, lm.anatomy)}

    def sizes(name: str) -> Any:
        matrix = known[name]
        return matrix.of(lm.model.get_parameter(matrix.parameter).detach()).float().abs().cpu().numpy()

    drawn = random_weights(mask.weights, n, seed=seed, match=match, sizes=sizes, general=general)
    distinct = {each.fingerprint: (seed + i, each) for i, each in reversed(list(enumerate(drawn))) if each.count}
    return [
        replace(like, name="random", mask=WeightMask(each, mask.edit), seed=own, localizer=label)
        for own, each in sorted(distinct.values(), key=lambda pair: pair[0])
    ]
