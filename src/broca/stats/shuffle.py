"""A difference of two means whose groups are shuffled: its p, and an interval that says the same.

The statistic is studentised by groups (the linearised variance of cluster sampling: Binder, 1983, Int Stat Rev 51:279-292), so that the
test also holds where the sides differ in spread, in the number of groups or in how alike the members of a group are (Janssen, 1997;
Chung & Romano, 2013). Of single values it is Welch's t, of pairs Student's t of the differences.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from broca.errors import StatisticsError
from broca.stats.exchange import Groups, Sides, arrange
from broca.stats.intervals import Array, block

Tail = Literal["two-sided", "greater"]


@dataclass(frozen=True, slots=True)
class ShuffleTest:
    """A difference of two means against those that shuffled labels would give."""

    value: float
    p: float
    low: float
    """The limits hold 0 exactly where p is above alpha. One-sided, each limit is at alpha; infinite where no p is small enough."""
    high: float
    n: int
    """How many arrangements were tried."""
    exact: bool
    """Whether these were all of them."""
    p_greater: float
    """One-sided, that a is above b."""
    error: float
    """Standard error, studentised by groups."""
    drawn: Array = field(repr=False, compare=False)
    """(arrangement,) statistics, sorted."""

    def upper(self, alpha: float) -> float:
        """The upper limit at one-sided alpha; infinite where none is possible."""
        return self.value - self.error * _critical(self.drawn, alpha, exact=self.exact)

    def lower(self, alpha: float) -> float:
        """The lower limit at one-sided alpha."""
        return self.value - self.error * -_critical(-self.drawn[::-1], alpha, exact=self.exact)


def shuffle_test(
    a: Any,
    b: Any,
    *,
    groups: Groups = (None, None),
    weights: tuple[Any | None, Any | None] = (None, None),
    tail: Tail = "two-sided",
    n: int = 10_000,
    seed: int = 0,
    alpha: float = 0.05,
) -> ShuffleTest:
    """The (weighted) mean of `a` minus that of `b`, two separate sets of values, whose groups are shuffled.

    Groups that are in both sets keep their values and swap sides. The interval inverts the test, the studentised distribution held
    fixed.

    Args:
        a: one number an item; NaN is left out.
        b: the same of other items.
        groups: labels of the items; those of a group move together, those without a label alone.
        weights: of the items, by which their means are weighted; equal where None.
        tail: *greater* asks whether a is above b.
        n: arrangements; all of them are tried when there are no more.
        seed: of the random ones.
        alpha: level of the test, and of each limit if it is one-sided.

    Raises:
        StatisticsError: if nothing varies, lengths differ, weights are not positive, or there are too few groups for `alpha` (the
            message says how many would do).
    """
    (first, in_a, w_a), (second, in_b, w_b) = (_read(*side) for side in zip((a, b), groups, weights, strict=True))
    sides = Sides.of(len(first), len(second), groups=(in_a, in_b))
    if np.ptp(np.concatenate([first, second])) == 0:
        raise StatisticsError("All values are the same on both sides: there is nothing to compare.")
    mirrored = sides.n_only_a == sides.n_only_b  # then the smallest one-sided p is half of the two-sided
    level = min(2 * alpha, 0.5) if tail == "greater" and mirrored else alpha
    arrangements = arrange(sides, n=n, seed=seed, alpha=level)
    sums = _Sums.of(sides, (first, w_a), (second, w_b))
    t, _ = _statistics(sums, arrangements.flags)
    (seen,), (error,) = _statistics(sums, sides.observed_flags[None])
    value = float(np.average(first, weights=w_a) - np.average(second, weights=w_b))
    slack = 1e-9 * (1 + abs(seen))
    p, greater = (
        float(arrangements.p(int((drawn >= reached - slack).sum())))
        for drawn, reached in ((np.abs(t), abs(seen)), (t, seen))
    )
    half = -float(error) * _critical(np.sort(-np.abs(t)), alpha, exact=arrangements.exact)
    found = ShuffleTest(
        value, p, value - half, value + half, len(t), arrangements.exact, greater, float(error), np.sort(t)
    )
    if tail == "two-sided":
        return found
    return replace(found, p=greater, low=found.lower(alpha), high=found.upper(alpha))


def _read(values: Any, groups: Any | None, weights: Any | None) -> tuple[Array, Array | None, Array]:
    given = np.asarray(values, np.float64)
    each = np.ones(given.shape) if weights is None else np.asarray(weights, np.float64)
    labels = None if groups is None else np.asarray(groups)
    if given.ndim != 1 or each.shape != given.shape or (labels is not None and labels.shape != given.shape):
        raise StatisticsError(
            f"Values have shape {given.shape}, weights {each.shape}, groups {None if labels is None else labels.shape}. Give one "
            "number, weight and group an item."
        )
    kept = ~np.isnan(given)
    if not (each[kept] > 0).all():
        raise StatisticsError(f"{int((~(each[kept] > 0)).sum())} weights are not positive. Leave such items out.")
    return given[kept], None if labels is None else labels[kept], each[kept]


@dataclass(frozen=True, eq=False, slots=True)
class _Sums:
    """What each group adds to side a, where its flag is up and where it is down; side b has the rest. Sums of values, of weights."""

    up: Array
    """(2, group)"""
    down: Array
    total: Array
    inflation: tuple[float, float]
    """Root of k / (k - 1) for k groups on each side."""

    @classmethod
    def of(cls, sides: Sides, a: tuple[Array, Array], b: tuple[Array, Array]) -> _Sums:
        centre = (np.dot(*a) + np.dot(*b)) / (a[1].sum() + b[1].sum())
        on_a, on_b = (
            np.stack([np.bincount(at, part, sides.n_groups) for part in ((values - centre) * weight, weight)])
            for at, (values, weight) in ((sides.a, a), (sides.b, b))
        )
        both = np.arange(sides.n_groups) >= sides.n_groups - sides.n_both
        counts = (sides.n_only_a + sides.n_both, sides.n_only_b + sides.n_both)
        total = on_a + on_b
        return cls(
            np.where(both, on_a, total),
            np.where(both, on_b, 0.0),
            total,
            (_inflation(counts[0]), _inflation(counts[1])),
        )


def _inflation(k: int) -> float:
    return (k / (k - 1)) ** 0.5 if k > 1 else 1.0


def _statistics(sums: _Sums, flags: Array) -> tuple[Array, Array]:
    """The studentised difference, and its standard error, in each arrangement (row, group). No BLAS: the same digits everywhere."""
    t, error = np.empty(len(flags)), np.empty(len(flags))
    floor = 1e-9 * np.abs(sums.total[0]).max() / sums.total[1].sum() + 1e-300
    step = block(len(flags), 8 * flags.shape[1])
    for start in range(0, len(flags), step):
        at = slice(start, start + step)
        on_a = np.where(flags[at][:, None], sums.up, sums.down)  # (row, 2, group)
        on_b = sums.total - on_a
        rest, means = np.zeros((len(on_a), flags.shape[1])), []
        for sign, side, inflation in zip((1, -1), (on_a, on_b), sums.inflation, strict=True):
            value, weight = side[:, 0], side[:, 1]
            whole = weight.sum(1, keepdims=True)
            mean = value.sum(1, keepdims=True) / whole
            rest += sign * inflation * (value - mean * weight) / whole
            means.append(mean[:, 0])
        error[at] = np.maximum(np.sqrt(np.square(rest).sum(1)), floor)
        t[at] = (means[0] - means[1]) / error[at]
    return t, error


def _critical(ordered: Array, alpha: float, *, exact: bool) -> float:
    """The largest of sorted statistics that so few lie at or below that alpha rejects it; none below minus infinity."""
    n = len(ordered)
    allowed = int(alpha * (n + (not exact)) + 1e-9) - (not exact)
    return float(ordered[min(allowed, n - 1)]) if allowed >= 0 else -float("inf")
