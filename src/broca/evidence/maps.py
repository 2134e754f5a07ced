"""Contrast maps: the statistic of every unit, or of every head, between positive and negative stimuli.

Units get Welch's t from streamed moments. Heads get the linear-discriminant t (LD-t; Kriegeskorte et al., 2007; Nili et
al., 2014, here with diagonal covariance): a direction is learned on some groups of stimuli, the others are projected on
it, and the projections are compared by Welch's t. So a head's value never comes from the stimuli that chose its
direction, and is 0 on average where nothing differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from broca.errors import StatisticsError
from broca.evidence.stimuli import Split, TokenizedSide
from broca.items import fingerprint
from broca.models.lm import LM
from broca.models.pool import Pool
from broca.models.tokens import Tokens
from broca.page.words import count
from broca.sites import Site
from broca.stats.mean_tests import welch, welch_from_samples

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

_QUARTERS: Mapping[Split, tuple[tuple[int, int], tuple[int, int]]] = {
    "random": ((0, 1), (2, 3)),
    "odd-even": ((0, 2), (1, 3)),
}


def unit_maps(
    lm: LM,
    positive: TokenizedSide,
    negative: TokenizedSide,
    sites: Sequence[Site],
    pool: Pool,
    *,
    cache: Cache,
    progress: Progress,
) -> Found:
    """Welch maps over all stimuli, and over the halves of them, from one pass."""
    look = ShardMoments((positive, negative), tuple(sites), pool)
    kept = {key: Moments() for key in product(sites, range(2), range(4))}
    parts = look.parts()
    for (side, _), found in zip(parts, map_cached(look, parts, lm, cache, progress), strict=True):
        for site, quarter in product(sites, range(4)):
            mean, m2, count = _arrays(found)[f"{site}/{quarter}"]
            kept[site, side, quarter] = kept[site, side, quarter] + Moments(int(count[0]), mean, m2)

    def sum_of_quarters(site: Site, side: int, quarters: tuple[int, ...]) -> Moments:
        return reduce(add, (kept[site, side, quarter] for quarter in quarters))

    def maps(*quarters: int) -> Maps:
        return _welch_maps(
            {site: (sum_of_quarters(site, 0, quarters), sum_of_quarters(site, 1, quarters)) for site in sites}
        )

    return maps(0, 1, 2, 3), {how: (maps(*a), maps(*b)) for how, (a, b) in _QUARTERS.items()}


def head_maps(
    lm: LM,
    positive: TokenizedSide,
    negative: TokenizedSide,
    sites: Sequence[Site],
    pool: Pool,
    *,
    cache: Cache,
    progress: Progress,
) -> Found:
    """LD-t maps over all stimuli, and over the halves of them."""
    rows = stimulus_values(lm, positive, negative, sites, pool, cache=cache, progress=progress)
    heads = {site: lm.anatomy.head_width(site) for site in sites}

    def maps(*quarters: int) -> Maps:
        keep = [np.isin(shown.quarter, quarters) for shown in (positive, negative)]
        groups = [np.asarray(s.groups)[kept] for s, kept in zip((positive, negative), keep, strict=True)]
        found = {}
        for site in sites:
            a, b = (_by_head(part[site][kept], heads[site]) for part, kept in zip(rows, keep, strict=True))
            found[site] = _discriminant(a, b, *groups)
        return _maps_of(found)

    return maps(0, 1, 2, 3), {how: (maps(*a), maps(*b)) for how, (a, b) in _QUARTERS.items()}


def stimulus_values(
    lm: LM,
    positive: TokenizedSide,
    negative: TokenizedSide,
    sites: Sequence[Site],
    pool: Pool,
    *,
    cache: Cache,
    progress: Progress,
) -> tuple[dict[Site, NDArray[Any]], dict[Site, NDArray[Any]]]:
    """The pooled activations themselves, ``(stimulus, unit)`` at each site, of the positive and of the negative side."""
    look = ShardValues((positive, negative), tuple(sites), pool)
    shown: tuple[list[Mapping[str, NDArray[Any]]], ...] = ([], [])
    parts = look.parts()
    for (side, _), found in zip(parts, map_cached(look, parts, lm, cache, progress), strict=True):
        shown[side].append(_arrays(found))
    first, second = ({site: np.concatenate([part[str(site)] for part in side]) for site in sites} for side in shown)
    return first, second


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
        found = {}
        for site, values in self.rows(lm, part).items():
            for quarter in range(4):
                kept = Moments()
                kept.update(values[self.quarter(part) == quarter])
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


def _discriminant(a: Floats, b: Floats, groups_a: NDArray[Any], groups_b: NDArray[Any]) -> tuple[Floats, ...]:
    """LD-t, p, d and size of every head from ``(stimulus, head, unit)`` activations of both sides."""
    projected = [np.empty(a.shape[:2]), np.empty(b.shape[:2])]
    # A group is never divided, and twins of one group on both sides share a fold.
    fold_of = {group: i % _FOLDS for i, group in enumerate(sorted({*groups_a, *groups_b}))}
    folds_a, folds_b = (np.array([fold_of[g] for g in groups]) for groups in (groups_a, groups_b))
    for fold in range(_FOLDS):
        train_a, train_b = folds_a != fold, folds_b != fold
        if min(train_a.sum(), train_b.sum()) < 2:
            raise StatisticsError(
                f"{len(a)} + {len(b)} stimuli in {count(len(fold_of), 'group')} are too few to learn a "
                f"head's direction in {_FOLDS} folds. Use at least 20 a side, in at least {2 * _FOLDS} groups."
            )
        x, y = a[train_a], b[train_b]
        spread = (x.var(0, ddof=1) * (len(x) - 1) + y.var(0, ddof=1) * (len(y) - 1)) / (len(x) + len(y) - 2)
        # A unit that hardly varies would rule the direction: shrink its variance towards the head's mean.
        spread = 0.9 * spread + 0.1 * spread.mean(-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            w = (x.mean(0) - y.mean(0)) / spread
            centre = (x.mean(0) + y.mean(0)) / 2
            w = w / np.sqrt((w * w * spread).sum(-1, keepdims=True))
        projected[0][~train_a] = ((a[~train_a] - centre) * w).sum(-1)
        projected[1][~train_b] = ((b[~train_b] - centre) * w).sum(-1)
    test = welch_from_samples(*projected)
    size = np.sqrt(np.concatenate([a, b]).astype(np.float64) ** 2).mean((0, 2))
    return test.t, test.p, test.d, size


_FOLDS = 5


def _by_head(rows: NDArray[Any], width: int) -> Floats:
    return rows.astype(np.float64).reshape(len(rows), -1, width)


def _maps_of(found: Mapping[Site, tuple[Floats, ...]]) -> Maps:
    t, p, d, size = ({site: values[i] for site, values in found.items()} for i in range(4))
    return Maps(t, p, d, size)
