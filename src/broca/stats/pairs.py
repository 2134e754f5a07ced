"""The same items under two conditions: what changed, with what certainty.

Items that share a template or a source are not independent. Give them as `groups`: resampling then draws whole groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.exchange import Groups
from broca.stats.intervals import Array, Interval, block, clusters, require_draws, tails
from broca.stats.shuffle import ShuffleTest, shuffle_test


@dataclass(frozen=True, slots=True)
class McNemar:
    """Items that changed between two conditions."""

    lost: int
    """Right under a, wrong under b."""
    gained: int
    """Wrong under a, right under b."""
    p: float
    """Two-sided, exact."""


@dataclass(frozen=True, slots=True)
class SignFlip:
    """A mean difference against those that arbitrary signs would give."""

    value: float
    p: float
    low: float
    """The limits of what is not rejected: they hold 0 exactly where p is above alpha. Infinite where no p is small enough."""
    high: float
    smallest_p: float
    """The smallest p that so many groups allow."""
    groups: int
    n: int
    """How many sign patterns were tried."""
    exact: bool
    """Whether these were all of them."""


def mcnemar_exact(a_correct: Any, b_correct: Any) -> McNemar:
    """Exact McNemar test (McNemar, 1947): are losses and gains equally frequent? p is 1 where nothing changed.

    Raises:
        StatisticsError: if the conditions have different items, or none.
    """
    a, b = np.asarray(a_correct, bool), np.asarray(b_correct, bool)
    if a.shape != b.shape or a.size == 0:
        raise StatisticsError(f"Conditions have {a.size} and {b.size} items. Give the same 1 or more items under both.")
    lost, gained = int((a & ~b).sum()), int((~a & b).sum())
    p = float(stats.binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0
    return McNemar(lost=lost, gained=gained, p=p)


def mean_interval(
    values: Any, *, groups: Any | None = None, n: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """The mean of `values` with a percentile interval from n resamplings of groups (Efron, 1979; Field & Welsh, 2007).

    NaN values are left out.

    Raises:
        StatisticsError: if fewer than 2 groups have a value, lengths differ, or n or level is impossible.
    """
    draws = _bootstrap_means(values, groups, n, np.random.default_rng(seed))
    return Interval.of(np.nanmean(np.asarray(values, np.float64)), draws, level)


def difference_interval(
    a: Any,
    b: Any,
    *,
    groups: tuple[Any | None, Any | None] = (None, None),
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The mean of `a` minus the mean of `b`, two separate sets of values, each resampled by its own groups.

    NaN values are left out.

    Raises:
        StatisticsError: if either set has fewer than 2 groups; and as `mean_interval`.
    """
    generator = np.random.default_rng(seed)
    draws = _bootstrap_means(a, groups[0], n, generator) - _bootstrap_means(b, groups[1], n, generator)
    return Interval.of(np.nanmean(np.asarray(a, np.float64)) - np.nanmean(np.asarray(b, np.float64)), draws, level)


def difference_test(
    a: Any, b: Any, *, groups: Groups = (None, None), n: int = 10_000, seed: int = 0, alpha: float = 0.05
) -> ShuffleTest:
    """`shuffle_test` of the mean of `a` minus the mean of `b`, two-sided.

    *Own minus other*: give what the lesion changed in each item of one ability, and of another. *Double dissociation*:
    give, for items of both abilities, what one lesion changed minus what the other did.

    Raises:
        StatisticsError: as `shuffle_test`.
    """
    return shuffle_test(a, b, groups=groups, n=n, seed=seed, alpha=alpha)


def paired_bootstrap(
    a: Any, b: Any, *, groups: Any | None = None, n: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """The mean of a - b over items with its interval, as `mean_interval`; items that are NaN in either are left out.

    Raises:
        StatisticsError: if a and b have different lengths; and as `mean_interval`.
    """
    return mean_interval(_differences(a, b), groups=groups, n=n, seed=seed, level=level)


def ratio_interval(
    numerator: Any, denominator: Any, *, groups: Any | None = None, n: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """The sum of one number over items divided by that of another, with a percentile interval from n resamplings of groups.

    Items weigh as much as their denominator, so that those near 0 do not decide. Resamplings whose denominator is 0 are left
    out, and so are items that are NaN in either.

    Raises:
        StatisticsError: if lengths differ, the denominators add up to 0, fewer than 2 groups have items, or n or level is
            impossible.
    """
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    if above.shape != below.shape or above.ndim != 1 or not np.nansum(below):
        raise StatisticsError(
            f"A ratio of {above.size} to {below.size} items whose denominators sum to {np.nansum(below):g} is not defined. Give "
            "both of each item."
        )
    both = ~np.isnan(above + below)
    labels = None if groups is None else np.asarray(groups)[both]
    sums = np.stack([clusters(values[both], labels)[0] for values in (above, below)])
    generator, draws = np.random.default_rng(seed), np.empty(require_draws(n))
    step = block(n, sums.shape[1])
    for start in range(0, n, step):
        picked = generator.integers(sums.shape[1], size=(min(step, n - start), sums.shape[1]))
        top, bottom = sums[:, picked].sum(-1)
        draws[start : start + step] = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)
    return Interval.of(above[both].sum() / below[both].sum(), draws, level)


def sign_flip_test(
    differences: Any,
    *,
    groups: Any | None = None,
    weights: Any | None = None,
    n: int = 10_000,
    seed: int = 0,
    alpha: float = 0.05,
) -> SignFlip:
    """Two-sided p of a (weighted) mean difference when the sign of each group is arbitrary (Fisher, 1935), and its interval.

    All 2^groups patterns are tried when they are at most n, else n random ones with p = (1 + #) / (1 + n)
    (Phipson & Smyth, 2010). NaN differences are left out. The interval inverts the test exactly: a mean that is taken away is as
    extreme under a pattern if it lies between the mean of the groups that the pattern flips and that of the others.

    Raises:
        StatisticsError: if fewer than 2 groups have a difference, lengths differ, a weight is not positive, n is not positive or
            alpha impossible.
    """
    tails(1 - alpha)
    sums, sizes = _weighted_clusters(differences, groups, weights)
    exact = sums.size < 63 and 2**sums.size <= require_draws(n)
    total = 2**sums.size if exact else n
    lows, highs = np.empty(total), np.empty(total)
    generator = np.random.default_rng(seed)
    step = block(total, sums.size)
    for start in range(0, total, step):
        at = slice(start, min(start + step, total))
        if exact:
            bits = (np.arange(at.start, at.stop)[:, None] >> np.arange(sums.size)) & 1
        else:
            bits = generator.integers(0, 2, size=(at.stop - at.start, sums.size), dtype=np.int8)
        lows[at], highs[at] = _between(bits.astype(bool), sums, sizes)
    # The same sum in another order differs in its last digits, and the observed pattern must count as extreme.
    rounding = 1e-9 * np.abs(sums).sum() / sizes.sum()
    reached = int(((lows <= rounding) & (highs >= -rounding)).sum())
    allowed = int(alpha * (total + (not exact)) + 1e-9) - (not exact)
    low, high = -np.inf, np.inf
    if 0 <= allowed < total:
        low, high = np.sort(lows)[allowed], np.sort(highs)[-1 - allowed]
    low, high = (0.0 if abs(limit) <= rounding else float(limit) for limit in (low, high))
    return SignFlip(
        value=float(sums.sum() / sizes.sum()),
        p=reached / total if exact else (1 + reached) / (1 + n),
        low=low,
        high=high,
        smallest_p=2 / total if exact else 1 / (1 + n),
        groups=sums.size,
        n=total,
        exact=exact,
    )


def sign_flip_p(a: Any, b: Any, *, groups: Any | None = None, seed: int = 0) -> float:
    """Two-sided p of `sign_flip_test` of a minus b over items; 1 where fewer than 2 groups have both: their sign tells nothing.

    Raises:
        StatisticsError: if a and b have different lengths.
    """
    differences = _differences(a, b)
    known = ~np.isnan(differences)
    labels = np.arange(differences.size) if groups is None else np.asarray(groups)
    if len(np.unique(labels[known])) < 2:
        return 1.0
    return sign_flip_test(differences, groups=labels, seed=seed).p


def _between(flipped: Array, sums: Array, sizes: Array) -> tuple[Array, Array]:
    """The smaller and the larger of the means of flipped and of other groups, (pattern,); without limits where one is empty."""
    top, bottom = np.where(flipped, sums, 0).sum(1), np.where(flipped, sizes, 0).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.stack([top / bottom, (sums.sum() - top) / (sizes.sum() - bottom)])
    whole = flipped.all(1) | ~flipped.any(1)
    return np.where(whole, -np.inf, means.min(0)), np.where(whole, np.inf, means.max(0))


def _weighted_clusters(values: Any, groups: Any | None, weights: Any | None) -> tuple[Array, Array]:
    """Weighted sums, and sums of weights, of each group."""
    given = np.asarray(values, np.float64)
    if weights is None:
        return clusters(given, groups)
    each = np.asarray(weights, np.float64)
    if each.shape != given.shape or not (each > 0).all():
        raise StatisticsError(f"There are {given.size} values and {each.size} weights. Give each a weight above 0.")
    missing = np.where(np.isnan(given), np.nan, each)
    return clusters(given * each, groups)[0], clusters(missing, groups)[0]


def _bootstrap_means(values: Any, groups: Any | None, n: int, generator: np.random.Generator) -> Array:
    """Means of n resamplings of groups."""
    sums, sizes = clusters(np.asarray(values, np.float64), groups)
    means = np.empty(require_draws(n))
    step = block(n, sums.size)
    for start in range(0, n, step):
        picked = generator.integers(sums.size, size=(min(step, n - start), sums.size))
        means[start : start + step] = sums[picked].sum(1) / sizes[picked].sum(1)
    return means


def _differences(a: Any, b: Any) -> Array:
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape:
        raise StatisticsError(
            f"Conditions have {first.size} and {second.size} items. A paired comparison needs the same items in the "
            "same order under both."
        )
    return first - second
