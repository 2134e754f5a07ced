"""Many tests at once: what remains after correction.

NaN p-values (dead units) are not tests: they do not count in m and come back as NaN.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.intervals import Array


def bh(p: Any) -> Array:
    """Adjusted p that control the false discovery rate (Benjamini & Hochberg, 1995); the shape of `p`.

    Raises:
        StatisticsError: if no p is a number, or one lies outside 0 to 1.
    """
    values, tested = _read_p_values(p)
    q = np.full(values.shape, np.nan)
    q[tested] = stats.false_discovery_control(values[tested])
    return q


def holm(p: Any) -> Array:
    """Adjusted p that control the family-wise error rate (Holm, 1979); the shape of `p`.

    Raises:
        StatisticsError: if no p is a number, or one lies outside 0 to 1.
    """
    values, tested = _read_p_values(p)
    kept = values[tested]
    order = np.argsort(kept, kind="stable")
    stepped = np.maximum.accumulate(kept[order] * np.arange(kept.size, 0, -1))
    adjusted = np.empty_like(kept)
    adjusted[order] = np.minimum(stepped, 1)
    q = np.full(values.shape, np.nan)
    q[tested] = adjusted
    return q


def true_share(p: Any, chosen: Any, *, alpha: float = 0.05) -> float:
    """Lower bound on the share of the `chosen` tests whose null is false, however they were chosen.

    All-resolutions inference (Rosenblatt et al., 2018): with probability 1 - alpha it holds for every subset at once,
    so also for one that was picked after looking. Uses Hommel's h (Goeman et al., 2019), so it needs Simes'
    inequality: independent or positively dependent tests.

    Raises:
        StatisticsError: if `chosen` names no test, shapes differ, or a p is not valid.
    """
    values, ours = read_selection(p, chosen)
    # Simes' line at Hommel's h (Goeman et al., 2019, eq. 5)
    return count_true(ours * _hommel(values, alpha), alpha, side="right") / ours.size


def read_selection(p: Any, chosen: Any) -> tuple[Array, Array]:
    """The sorted p of all tests, and of the chosen ones.

    Raises:
        StatisticsError: if `chosen` names no test, shapes differ, or a p is not valid.
    """
    values, tested = _read_p_values(p)
    picked = np.asarray(chosen, bool)
    if picked.shape != values.shape:
        raise StatisticsError(f"p has shape {values.shape}, chosen has {picked.shape}. Give one flag per test.")
    if not (picked & tested).any():
        raise StatisticsError("None of the tests is chosen. Choose at least 1 with a p that is a number.")
    return np.sort(values[tested]), np.sort(values[picked & tested])


def count_true(ordered: Array, slope: float, *, side: Literal["left", "right"]) -> float:
    """The fewest tests that are no true nulls, if no k true nulls lie below k times `slope`.

    Args:
        ordered: (test,) sorted p of a selection.
        slope: of the line.
        side: *right* where a p on the line lies below it.
    """
    below = np.searchsorted(ordered, np.arange(1, ordered.size + 1) * slope, side=side)
    return float(max(0, np.max(below - np.arange(ordered.size))))


def _hommel(ordered: Array, alpha: float) -> int:
    """Hommel's (1988) h: the largest number of hypotheses that may all be null, Simes' test not objecting."""
    m = ordered.size
    low, high = 0, m
    while low < high:  # what Simes accepts for i it accepts for each smaller i
        i = (low + high + 1) // 2
        accepted = bool((i * ordered[m - i :] > np.arange(1, i + 1) * alpha).all())
        low, high = (i, high) if accepted else (low, i - 1)
    return low


def _read_p_values(p: Any) -> tuple[Array, Array]:
    values = np.asarray(p, np.float64)
    tested = ~np.isnan(values)
    if not tested.any():
        raise StatisticsError(f"None of {values.size} p-values is a number. Give at least 1.")
    if (values[tested] < 0).any() or (values[tested] > 1).any():
        worst = values[tested][np.argmax(np.abs(values[tested] - 0.5))]
        raise StatisticsError(f"A p-value is {worst:g}. Give values from 0 to 1.")
    return values, tested
