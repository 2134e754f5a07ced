"""Contrast maps: the statistic of every unit, or of every head, between positive and negative stimuli.

Units get Welch's t from streamed moments, heads the linear-discriminant t of their values (`broca.stats.discriminant`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broca.cache.cache import Cache, Json, Part
from broca.cache.mapping import map_cached
from broca.capture.activations import pooled_shards
from broca.capture.loop import SHARD
from broca.capture.reduce import Moments
from broca.evidence.stimuli import Split, TokenizedSide
from broca.items import fingerprint
from broca.models.lm import LM
from broca.models.pool import Pool
from broca.models.tokens import Tokens
from broca.sites import Site
from broca.stats.discriminant import discriminant
from broca.stats.mean_tests import welch
from broca.units import Grain

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Maps:
    """A contrast's statistics; each mapping holds one array a site, ``(unit,)`` or ``(head,)``."""

    t: Mapping[Site, Floats]
    p: Mapping[Site, Floats]
    d: Mapping[Site, Floats]
    size: Mapping[Site, Floats]
    """Root mean square of the pooled activation over both sides: what matched draws are matched on."""


Found = tuple[Maps, Mapping[Split, tuple[Maps, Maps]]]
"""The maps of all stimuli, and of two halves of them for each way to halve."""

Values = tuple[Mapping[Site, NDArray[Any]], Mapping[Site, NDArray[Any]]]
"""The pooled activations themselves, ``(stimulus, unit)`` at each site, of the positive and of the negative side."""

_QUARTERS: Mapping[Split, tuple[tuple[int, int], tuple[int, int]]] = {
    "random": ((0, 1), (2, 3)),
    "odd-even": ((0, 2), (1, 3)),
}


def contrast_maps(
    lm: LM,
    sides: tuple[TokenizedSide, TokenizedSide],
    sites: Sequence[Site],
    pool: Pool,
    grain: Grain,
    *,
    keep: bool,
    cache: Cache,
    progress: Progress,
) -> tuple[Found, Values | None]:
    """Maps over all stimuli, and over the halves of them, from one pass: Welch's t of units, LD-t of heads.

    Args:
        lm: the model.
        sides: positive and negative stimuli.
        sites: where to look.
        pool: how tokens become one value.
        grain: unit or head.
        keep: whether to return the pooled values too, which the statistic of heads needs anyway; 4 bytes a stimulus and unit.
        cache: of the pass.
        progress: called with (shards done, shards in all).
    """
    if grain == "unit" and not keep:
        look = ShardMoments(sides, tuple(sites), pool)
        parts = map_cached(look, look.parts(), lm, cache, progress)
        return _unit_maps(sites, zip(look.parts(), map(_arrays, parts), strict=True)), None
    look = ShardValues(sides, tuple(sites), pool)
    parts = [*map(_arrays, map_cached(look, look.parts(), lm, cache, progress))]
    first, second = _join(look, parts)
    if grain == "head":
        widths = {site: lm.anatomy.head_width(site) for site in sites}
        return _head_maps(sides, (first, second), widths), (first, second)
    moments = (quarter_moments(rows, look.quarter(part)) for part, rows in zip(look.parts(), parts, strict=True))
    return _unit_maps(sites, zip(look.parts(), moments, strict=True)), (first, second)


def side_values(
    lm: LM,
    sides: tuple[TokenizedSide, TokenizedSide],
    sites: Sequence[Site],
    pool: Pool,
    *,
    cache: Cache,
    progress: Progress,
) -> Values:
    """The pooled activations of both sides themselves, 4 bytes a stimulus and unit; arguments as for `contrast_maps`."""
    look = ShardValues(sides, tuple(sites), pool)
    return _join(look, [*map(_arrays, map_cached(look, look.parts(), lm, cache, progress))])


def _join(look: ShardValues, parts: Sequence[Mapping[str, NDArray[Any]]]) -> Values:
    """The shards of each side, one after the other."""
    first, second = (
        {
            site: np.concatenate(
                [rows[str(site)] for (of, _), rows in zip(look.parts(), parts, strict=True) if of == side]
            )
            for site in look.sites
        }
        for side in (0, 1)
    )
    return first, second


def _unit_maps(sites: Sequence[Site], parts: Iterable[tuple[tuple[int, int], Mapping[str, NDArray[Any]]]]) -> Found:
    """Welch's t from the moments of the quarters of each shard."""
    kept = {key: Moments() for key in product(sites, range(2), range(4))}
    for (side, _), found in parts:
        for site, quarter in product(sites, range(4)):
            mean, m2, count = found[f"{site}/{quarter}"]
            kept[site, side, quarter] = kept[site, side, quarter] + Moments(int(count[0]), mean, m2)

    def sum_of_quarters(site: Site, side: int, quarters: tuple[int, ...]) -> Moments:
        return reduce(add, (kept[site, side, quarter] for quarter in quarters))

    def maps(*quarters: int) -> Maps:
        return _welch_maps(
            {site: (sum_of_quarters(site, 0, quarters), sum_of_quarters(site, 1, quarters)) for site in sites}
        )

    return maps(0, 1, 2, 3), {how: (maps(*a), maps(*b)) for how, (a, b) in _QUARTERS.items()}


def _head_maps(sides: tuple[TokenizedSide, TokenizedSide], rows: Values, widths: Mapping[Site, int]) -> Found:
    """LD-t from the values."""

    def maps(*quarters: int) -> Maps:
        keep = [np.isin(shown.quarter, quarters) for shown in sides]
        groups = [np.asarray(s.groups)[kept] for s, kept in zip(sides, keep, strict=True)]
        found = {}
        for site, width in widths.items():
            a, b = (by_head(part[site][kept], width) for part, kept in zip(rows, keep, strict=True))
            size = np.sqrt(np.concatenate([a, b]).astype(np.float64) ** 2).mean((0, 2))
            found[site] = (*discriminant(a, b, *groups), size)
        return _maps_of(found)

    return maps(0, 1, 2, 3), {how: (maps(*a), maps(*b)) for how, (a, b) in _QUARTERS.items()}


def cell(what: str, lm: LM, tokens: Sequence[Tokens], sites: Sequence[Site], pool: Pool) -> dict[str, Json]:
    """The address of captured activations: the texts, where and how they are read, and what is in force."""
    return {
        "cell": what,
        "texts": fingerprint([t.content for t in tokens]),
        "sites": [str(site) for site in sites],
        "pool": [pool.how, pool.bos, pool.sinks, pool.magnitude, pool.images],
        "condition": list(lm.condition),
    }


@dataclass(frozen=True, slots=True)
class _Shards:
    """A task over shards of stimuli, each named by its side and where it starts."""

    sides: tuple[TokenizedSide, TokenizedSide]
    sites: tuple[Site, ...]
    pool: Pool

    def parts(self) -> list[tuple[int, int]]:
        return [(side, start) for side in (0, 1) for start in range(0, len(self.sides[side].tokens), SHARD)]

    def tokens(self, part: tuple[int, int]) -> Sequence[Tokens]:
        side, start = part
        return self.sides[side].tokens[start : start + SHARD]

    def quarter(self, part: tuple[int, int]) -> NDArray[np.int64]:
        side, start = part
        return self.sides[side].quarter[start : start + SHARD]

    def rows(self, lm: LM, part: tuple[int, int]) -> dict[Site, NDArray[Any]]:
        (rows,) = pooled_shards(lm, self.tokens(part), self.sites, pool=self.pool)
        return rows


class ShardMoments(_Shards):
    """Moments of a shard's four quarters at every site: arrays ``(mean, m2, count) x unit``."""

    def key(self, lm: LM, part: tuple[int, int], /) -> dict[str, Json]:
        quarter = fingerprint(self.quarter(part).tolist())
        return cell("moments", lm, self.tokens(part), self.sites, self.pool) | {"quarter": quarter}

    def __call__(self, lm: LM, part: tuple[int, int], /) -> dict[str, NDArray[Any]]:
        rows = {str(site): values for site, values in self.rows(lm, part).items()}
        return quarter_moments(rows, self.quarter(part))


def quarter_moments(rows: Mapping[str, NDArray[Any]], of: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """``(mean, m2, count) x unit`` at each site of the rows of each quarter."""
    found = {}
    for site, values in rows.items():
        for quarter in range(4):
            kept = Moments()
            kept.update(values[of == quarter])
            empty = np.zeros(values.shape[1])
            mean, m2 = (kept.mean, kept.m2) if kept.count else (empty, empty)
            found[f"{site}/{quarter}"] = np.stack([mean, m2, np.full_like(mean, kept.count)])
    return found


class ShardValues(_Shards):
    """The pooled values themselves, ``(stimulus, unit)`` for each site."""

    def key(self, lm: LM, part: tuple[int, int], /) -> dict[str, Json]:
        return cell("gather", lm, self.tokens(part), self.sites, self.pool)

    def __call__(self, lm: LM, part: tuple[int, int], /) -> dict[str, NDArray[Any]]:
        return {str(site): values for site, values in self.rows(lm, part).items()}


def _arrays(part: Part) -> Mapping[str, NDArray[Any]]:
    assert isinstance(part, dict)
    return part


def _welch_maps(moments: Mapping[Site, tuple[Moments, Moments]]) -> Maps:
    found = {}
    for site, (a, b) in moments.items():
        test = welch(a.mean, a.variance, a.count, b.mean, b.variance, b.count)
        both = a + b
        found[site] = (test.t, test.p, test.d, np.sqrt(both.mean**2 + both.m2 / both.count))
    return _maps_of(found)


def by_head(rows: NDArray[Any], width: int) -> Floats:
    """``(stimulus, head, unit)`` of rows ``(stimulus, unit)``."""
    return rows.astype(np.float64).reshape(len(rows), -1, width)


def _maps_of(found: Mapping[Site, tuple[Floats, ...]]) -> Maps:
    t, p, d, size = ({site: values[i] for site, values in found.items()} for i in range(4))
    return Maps(t, p, d, size)
