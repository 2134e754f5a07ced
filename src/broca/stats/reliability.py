"""Would the same map come out again? Split halves of a map, and overlap of selections against chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from broca.errors import StatisticsError
from broca.stats.intervals import Array, Interval, block, codes, require_draws


@dataclass(frozen=True, slots=True)
class SplitHalf:
    """Agreement of the maps of two halves of the stimuli."""

    r: float
    """Pearson's r over the units that are finite in both maps."""
    full: float
    """What Spearman-Brown predicts for the map of all stimuli."""
    n_units: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much two selections share."""

    shared: float
    dice: float
    jaccard: float


def split_half(first: Any, second: Any) -> SplitHalf:
    """Reliability of a map from those of its two halves; NaN (dead) units are left out.

    Raises:
        StatisticsError: if shapes differ, fewer than 3 units are finite in both, or a map is constant.
    """
    r, n = _correlate(first, second)
    return SplitHalf(r=r, full=spearman_brown(r), n_units=n)


def correlation(first: Any, second: Any) -> float:
    """Pearson's r of two maps over the units that are finite in both.

    Raises:
        StatisticsError: if shapes differ, fewer than 3 units are finite in both, or a map is constant.
    """
    return _correlate(first, second)[0]


def rank_agreement(
    first: Any, second: Any, *, groups: Any | None = None, n: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Spearman's rho of two maps (Spearman, 1904) with a percentile interval from n resamplings of units.

    For instance of the units' t and of what their lesion costs. Units of one layer are not independent: give their layer,
    or another part of the network, as `groups`, and these are resampled whole. Units that are not finite in both maps are
    left out; equal values share their mean rank.

    Raises:
        StatisticsError: if shapes differ, fewer than 3 units are finite in both, a map is constant, or there are fewer
            than 2 groups.
    """
    x, y, both = _finite(first, second)
    labels = np.arange(both.size) if groups is None else np.asarray(groups).ravel()
    if labels.size != both.size:
        raise StatisticsError(f"There are {both.size} units but {labels.size} groups. Give one group per unit.")
    group = codes(labels[both])
    n_groups = int(group.max()) + 1
    if n_groups < 2:
        raise StatisticsError(
            f"All {x.size} units are in 1 group. Resampling needs at least 2 groups; give finer ones."
        )
    ranks = _Ranking.of(x), _Ranking.of(y)
    value = float(_rho(*ranks, np.ones((1, x.size)))[0])
    generator = np.random.default_rng(seed)
    rho = np.empty(require_draws(n))
    step = block(n, 4 * x.size)
    for start in range(0, n, step):
        rows = min(step, n - start)
        weights = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=rows)
        rho[start : start + rows] = _rho(*ranks, weights[:, group].astype(np.float64))
    return Interval.of(value, rho, level)


@dataclass(frozen=True, eq=False, slots=True)
class _Ranking:
    """Values by rank: how units are ordered, where equal ones start, and which of these runs each unit is in."""

    order: Array
    starts: Array
    run: Array

    @classmethod
    def of(cls, values: Array) -> _Ranking:
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        new = np.append(True, ordered[1:] != ordered[:-1])
        run = np.empty(values.size, np.int64)
        run[order] = np.cumsum(new) - 1
        return cls(order, np.flatnonzero(new), run)

    def ranks(self, weights: Array) -> Array:
        """Mean rank of each unit in a sample that holds it as often as the weights say."""
        held = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        return (np.cumsum(held, axis=1) - (held - 1) / 2)[:, self.run]


def _rho(first: _Ranking, second: _Ranking, weights: Array) -> Array:
    total = weights.sum(1, keepdims=True)
    a, b = (ranked.ranks(weights) for ranked in (first, second))
    a -= (weights * a).sum(1, keepdims=True) / total
    b -= (weights * b).sum(1, keepdims=True) / total
    scale = np.sqrt((weights * a * a).sum(1) * (weights * b * b).sum(1))
    return np.divide((weights * a * b).sum(1), scale, out=np.full(len(weights), np.nan), where=scale > 0)


def spearman_brown(r: float, *, times: float = 2) -> float:
    """Reliability of a test `times` as long as the one with reliability `r` (Spearman, 1910; Brown, 1910).

    A negative r is returned as it is: the formula would run away below zero and means nothing there.

    Raises:
        StatisticsError: if r lies outside -1 to 1, or `times` is not positive.
    """
    if not -1 <= r <= 1 or times <= 0:
        raise StatisticsError(f"r is {r} and times {times}. Give a correlation from -1 to 1 and a positive length.")
    return r if r < 0 else times * r / (1 + (times - 1) * r)


def halves(
    n: int, *, seed: int = 0, groups: Any | None = None, scheme: Literal["random", "odd-even"] = "random"
) -> tuple[Array, Array]:
    """Indices of two halves of n stimuli, each in ascending order; a group is never divided.

    Groups go to the smaller half in turn, in random order or in that of their first appearance, so the halves differ
    by at most the largest group.

    Raises:
        StatisticsError: if there are fewer than 2 groups, or `groups` has another length than n.
    """
    labels = np.arange(n) if groups is None else np.asarray(groups)
    if labels.shape != (n,):
        raise StatisticsError(f"There are {n} stimuli but {labels.size} groups. Give one group per stimulus.")
    index = codes(labels) if n else labels
    n_groups = int(index.max()) + 1 if n else 0
    if n_groups < 2:
        raise StatisticsError(f"{n} stimuli in {n_groups} group cannot be halved. Give at least 2 groups.")
    if scheme not in ("random", "odd-even"):
        raise StatisticsError(f"scheme is {scheme!r}. Choose 'random' or 'odd-even'.")
    order = np.random.default_rng(seed).permutation(n_groups) if scheme == "random" else np.arange(n_groups)
    sizes = np.bincount(index)
    filled = [0, 0]
    side = np.empty(n_groups, np.int64)
    for group in order:
        side[group] = int(filled[1] < filled[0])
        filled[side[group]] += int(sizes[group])
    return np.flatnonzero(side[index] == 0), np.flatnonzero(side[index] == 1)


def dice(first: Any, second: Any) -> float:
    """2 |A and B| / (|A| + |B|) of two boolean arrays (Dice, 1945); NaN where both are empty.

    Raises:
        StatisticsError: if shapes differ.
    """
    return overlap(first, second).dice


def jaccard(first: Any, second: Any) -> float:
    """|A and B| / |A or B| of two boolean arrays (Jaccard, 1901); NaN where both are empty.

    Raises:
        StatisticsError: if shapes differ.
    """
    return overlap(first, second).jaccard


def overlap(first: Any, second: Any) -> Overlap:
    """What two boolean arrays share.

    Raises:
        StatisticsError: if shapes differ.
    """
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    if a.shape != b.shape:
        raise StatisticsError(f"Selections have shapes {a.shape} and {b.shape}. Compare selections of the same units.")
    return _ratios(float((a & b).sum()), int(a.sum()), int(b.sum()))


def chance_overlap(k_first: int, k_second: int, n: int) -> Overlap:
    """What random selections of `k_first` and `k_second` of n units share on average.

    The intersection is hypergeometric with mean k_first k_second / n. Dice is linear in it, hence exact; Jaccard is
    taken at that mean, which for equal shares k/n = s is the usual s / (2 - s).

    Raises:
        StatisticsError: if a size is negative or larger than n.
    """
    if n < 1 or not 0 <= k_first <= n or not 0 <= k_second <= n:
        raise StatisticsError(f"{k_first} and {k_second} of {n} units cannot be chosen. Give sizes from 0 to n.")
    return _ratios(k_first * k_second / n, k_first, k_second)


def _ratios(shared: float, k_first: int, k_second: int) -> Overlap:
    both = k_first + k_second
    if both == 0:
        return Overlap(shared=0.0, dice=float("nan"), jaccard=float("nan"))
    return Overlap(shared=shared, dice=2 * shared / both, jaccard=shared / (both - shared))


def _correlate(first: Any, second: Any) -> tuple[float, int]:
    a, b, _ = _finite(first, second)
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1)), a.size


def _finite(first: Any, second: Any) -> tuple[Array, Array, Array]:
    """Both maps where both are finite, and where that is."""
    a, b = np.asarray(first, np.float64).ravel(), np.asarray(second, np.float64).ravel()
    if np.shape(first) != np.shape(second):
        raise StatisticsError(
            f"Maps have shapes {np.shape(first)} and {np.shape(second)}. Compare maps of the same units."
        )
    both = np.isfinite(a) & np.isfinite(b)
    n = int(both.sum())
    if n < 3:
        raise StatisticsError(f"{n} units are finite in both maps. A correlation needs at least 3.")
    if min(np.ptp(a[both]), np.ptp(b[both])) == 0:
        raise StatisticsError(f"A map is constant over its {n} units, so it correlates with nothing. Check its units.")
    return a[both], b[both], both
