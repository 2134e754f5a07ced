"""How much of a selection is surely true: a lower bound that is calibrated by the permutations that tested the units.

Simes' line bounds the p of true nulls only where tests are independent or positively dependent, and wastes where they hang together.
Its slope can be learned instead: in each arrangement, the *pivot* is the steepest line that its sorted p still keep above; the slope
that all but alpha of the arrangements keep holds at any dependence (Blanchard, Neuvial & Roquain, 2020, Ann Stat 48:1281-1303; Blain,
Thirion & Neuvial, 2022, NeuroImage 260:119492). The bound then holds for all selections at once, also for one picked after looking.

    pivots = simes_pivots(p_of_arrangements)               # (arrangement, unit) at hand
    bound = calibrated_share(p, chosen, pivots)

`MaxT(arrangements, calibrate=True)` finds pivots of units that arrive in blocks, within memory that does not grow with them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy import special

from broca.errors import StatisticsError
from broca.stats.corrections import count_true, read_selection
from broca.stats.exchange import Arrangements, Sides
from broca.stats.intervals import Array

_RATIO = 1.03
"""Between the edges of bins of p: how much a streamed pivot may lie below the exact one."""
_SMALLEST = 1e-12
"""Of p; those below are taken for 0."""
_EDGES = np.append(0.0, _SMALLEST * _RATIO ** np.arange(int(-np.log(_SMALLEST) / np.log(_RATIO)) + 1))
"""(bin,) the lower end of each."""
_BITS = 12
"""Of a float32, its last ones, that are dropped to look up the bin of a statistic."""


def calibrated_share(p: Any, chosen: Any, pivots: Any, *, exact: bool = False, alpha: float = 0.05) -> float:
    """Lower bound on the share of the `chosen` units whose null is false, with probability 1 - alpha.

    Args:
        p: (unit,) of the observed arrangement, by the same map from statistic to p as the pivots'; NaN for dead units.
        chosen: (unit,) whether a unit is in the selection, in the same shape.
        pivots: (arrangement,) see `simes_pivots`.
        exact: whether the arrangements are all there are, the observed one among them.
        alpha: the share of studies in which the bound may be wrong.

    Raises:
        StatisticsError: if shapes differ, nothing is chosen, a p is not valid, or there are no pivots.
    """
    values, ours = read_selection(p, chosen)
    slope = calibrated_level(pivots, exact=exact, alpha=alpha) / values.size
    return count_true(ours, slope * (1 - 1e-9), side="left") / ours.size


def calibrated_level(pivots: Any, *, exact: bool = False, alpha: float = 0.05) -> float:
    """The level at which Simes' line is crossed by no more than alpha of the arrangements: alpha where tests are independent.

    0 where there are too few arrangements for alpha.

    Raises:
        StatisticsError: if there are no pivots, or alpha is impossible.
    """
    ordered = np.sort(np.asarray(pivots, np.float64))
    if not ordered.size or not 0 < alpha < 1:
        raise StatisticsError(
            f"There are {ordered.size} pivots at alpha = {alpha}. Give 1 or more, at a level in 0 to 1."
        )
    # The observed pivot lies below the j-th of n others with probability j / (n + 1); among all n, below it with (j - 1) / n.
    j = int(alpha * ordered.size + 1e-9) + 1 if exact else int(alpha * (ordered.size + 1) + 1e-9)
    return float(min(ordered[j - 1], 1.0)) if j else 0.0


def simes_pivots(p: Any) -> Array:
    """The steepest Simes line below the sorted p of each arrangement: min over k of m p_(k) / k, ``(arrangement,)``.

    Args:
        p: (arrangement, unit); a few rows at a time are sorted.

    Raises:
        StatisticsError: if p is no table, or is not finite.
    """
    table = np.asarray(p)
    if table.ndim != 2 or not table.size:
        raise StatisticsError(f"p has shape {table.shape}. Give (arrangement, unit).")
    m = table.shape[1]
    found = np.empty(len(table))
    step = max(1, (1 << 21) // m)
    for start in range(0, len(table), step):
        rows = np.sort(table[start : start + step].astype(np.float64), axis=1)
        found[start : start + step] = (rows * (m / np.arange(1, m + 1))).min(1)
    if not np.isfinite(found).all():
        raise StatisticsError("Some p are not finite. Leave dead units out.")
    return found


def p_of_t(t: Any, sides: Sides) -> Array:
    """Two-sided p by Student's t with as many degrees of freedom as the groups leave: the map that calibration uses."""
    return 2 * special.stdtr(_df(sides), -np.abs(np.asarray(t, np.float64)))


def _df(sides: Sides) -> int:
    return max(1, sides.n_groups - (1 if sides.scheme == "pairs" else 2))


class BinnedPivots:
    """How many p of each arrangement lie in each of about 900 bins; a monoid. Pivots come out up to 4 % too small, never too large."""

    def __init__(self, arrangements: Arrangements) -> None:
        self._bin_of = _bins(_df(arrangements.sides))
        self.counts = np.zeros((len(arrangements), len(_EDGES)), np.int64)

    def update(self, at: slice, squared: Array, alive: Array) -> None:
        """Take in squared statistics of the arrangements `at`, (row, unit), of units that are alive."""
        bits = squared[:, alive].astype(np.float32).view(np.uint32) >> _BITS
        bins = self._bin_of[bits].astype(np.int64)
        bins += np.arange(len(bins))[:, None] * len(_EDGES)
        found = np.bincount(bins.ravel(), minlength=len(bins) * len(_EDGES))
        self.counts[at] += found.reshape(len(bins), len(_EDGES))

    def pivots(self) -> Array:
        """As `simes_pivots`, (arrangement,)."""
        reached = self.counts.cumsum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            lines = np.where(self.counts > 0, _EDGES * reached[:, -1:] / reached, np.inf)
        return lines.min(1)


@lru_cache(maxsize=8)
def _bins(df: int) -> Array:
    """The bin of p, by the upper bits of a squared statistic: of the largest that has these bits, so that p is never too large."""
    cells = np.arange(1, (1 << (31 - _BITS)) + 1, dtype=np.uint32)
    with np.errstate(invalid="ignore", over="ignore"):
        ends = (cells << _BITS).astype(np.uint32).view(np.float32).astype(np.float64)
        p = 2 * special.stdtr(df, -np.sqrt(np.where(np.isnan(ends), np.inf, ends)))
    return (np.searchsorted(_EDGES, p, side="right") - 1).astype(np.int16)
