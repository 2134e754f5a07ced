"""Contrast maps: the statistic of every unit, or of every head, between positive and negative stimuli.

Units get Welch's t from streamed moments. Heads get the linear-discriminant t (LD-t; Kriegeskorte et al., 2007; Nili et
al., 2014, here with diagonal covariance): a direction is learned on some groups of stimuli, the others are projected on
it, and the projections are compared by Welch's t. So a head's value never comes from the stimuli that chose its
direction, and is 0 on average where nothing differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broca.capture.activations import capture, shards
from broca.capture.reduce import Gather, Moments
from broca.engines.memo import Json, Memo
from broca.errors import StatisticsError
from broca.items import fingerprint
from broca.models.lm import LM
from broca.models.tokens import Pool, Tokens
from broca.sites import Site
from broca.stats.welch import welch, welch_from_samples

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


@dataclass(frozen=True, slots=True)
class Shown:
    """One side of a contrast, tokenised, with the half and the group that each stimulus belongs to."""

    tokens: Sequence[Tokens]
    half: NDArray[np.int64]
    groups: Sequence[str]


def unit_maps(
    lm: LM, positive: Shown, negative: Shown, sites: Sequence[Site], pool: Pool, *, memo: Memo, progress: Progress
) -> tuple[Maps, tuple[Maps, Maps]]:
    """Welch maps over all stimuli, and over each half of them, from one pass."""
    parts = []
    for shown, before in ((positive, 0), (negative, len(positive.tokens))):

        def tell(done: int, _total: int, before: int = before) -> None:
            progress(before + done, len(positive.tokens) + len(negative.tokens))

        parts.append(_moments(lm, shown, sites, pool, memo=memo, progress=tell))
    halves = tuple(_welch_maps({s: (a[s][h], b[s][h]) for s in sites}) for a, b in [parts] for h in (0, 1))
    whole = _welch_maps({s: (parts[0][s][0] + parts[0][s][1], parts[1][s][0] + parts[1][s][1]) for s in sites})
    return whole, (halves[0], halves[1])


def head_maps(
    lm: LM, positive: Shown, negative: Shown, sites: Sequence[Site], pool: Pool, *, memo: Memo, progress: Progress
) -> tuple[Maps, tuple[Maps, Maps]]:
    """LD-t maps over all stimuli, and over each half of them."""
    n_all = len(positive.tokens) + len(negative.tokens)
    rows = []
    for shown, before in ((positive, 0), (negative, len(positive.tokens))):

        def compute(shown: Shown = shown, before: int = before) -> dict[str, NDArray[Any]]:
            kept = capture(
                lm, shown.tokens, sites, Gather, pool=pool, progress=lambda d, _n: progress(before + d, n_all)
            )
            return {str(site): gather.result() for site, gather in kept.items()}

        rows.append(memo(cell("gather", lm, shown.tokens, sites, pool), compute))
    heads = {site: lm.anatomy.head_width(site) for site in sites}

    def maps(keep: Callable[[Shown], NDArray[np.bool_]]) -> Maps:
        found = {}
        for site in sites:
            (a, b), (ga, gb) = zip(
                *(
                    (part[str(site)][keep(s)], np.asarray(s.groups)[keep(s)])
                    for part, s in zip(rows, (positive, negative), strict=True)
                ),
                strict=True,
            )
            found[site] = _discriminant(_by_head(a, heads[site]), _by_head(b, heads[site]), ga, gb)
        return _collected(found)

    whole = maps(lambda shown: np.ones(len(shown.tokens), dtype=bool))
    return whole, (maps(lambda shown: shown.half == 0), maps(lambda shown: shown.half == 1))


def cell(what: str, lm: LM, tokens: Sequence[Tokens], sites: Sequence[Site], pool: Pool) -> dict[str, Json]:
    """The address of captured activations: the texts, where and how they are read, and what is in force."""
    return {
        "cell": what,
        "texts": fingerprint([t.ids for t in tokens]),
        "sites": [str(site) for site in sites],
        "pool": [pool.how, pool.bos, pool.sinks, pool.magnitude],
        "condition": list(lm.condition),
    }


def _moments(
    lm: LM, shown: Shown, sites: Sequence[Site], pool: Pool, *, memo: Memo, progress: Progress
) -> dict[Site, tuple[Moments, Moments]]:
    """Moments of both halves at every site."""
    key = cell("moments", lm, shown.tokens, sites, pool) | {"half": fingerprint(shown.half.tolist())}

    def compute() -> dict[str, NDArray[Any]]:
        kept = {(site, half): Moments() for site in sites for half in (0, 1)}
        done = 0
        for rows in shards(lm, shown.tokens, sites, pool=pool):
            size = len(next(iter(rows.values())))
            half = shown.half[done : done + size]
            for (site, h), moments in kept.items():
                moments.update(rows[site][half == h])
            done += size
            progress(done, len(shown.tokens))
        return {f"{site}/{h}": np.stack([m.mean, m.m2, np.full_like(m.mean, m.count)]) for (site, h), m in kept.items()}

    found = memo(key, compute)

    def read(site: Site, half: int) -> Moments:
        mean, m2, count = found[f"{site}/{half}"]
        return Moments(int(count[0]), mean, m2)

    return {site: (read(site, 0), read(site, 1)) for site in sites}


def _welch_maps(moments: Mapping[Site, tuple[Moments, Moments]]) -> Maps:
    found = {}
    for site, (a, b) in moments.items():
        test = welch(a.mean, a.variance, a.count, b.mean, b.variance, b.count)
        both = a + b
        found[site] = (test.t, test.p, test.d, np.sqrt(both.mean**2 + both.m2 / both.count))
    return _collected(found)


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
                f"{len(a)} + {len(b)} stimuli in {len(fold_of)} groups are too few to learn a "
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


def _collected(found: Mapping[Site, tuple[Floats, ...]]) -> Maps:
    t, p, d, size = ({site: values[i] for site, values in found.items()} for i in range(4))
    return Maps(t, p, d, size)
