"""Two samples whose labels are shuffled: p per unit, and family-wise over all units.

Stimuli are what is shuffled, never tokens. The family-wise p compares each unit with the largest statistic of each
shuffle (max-T: Westfall & Young, 1993), so it holds for all units at once whatever their dependence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from broca.errors import StatisticsError
from broca.stats.intervals import Array, block, drawn


@dataclass(frozen=True, slots=True)
class Permutation:
    """The observed statistic of each unit, and how often shuffled labels do as well."""

    observed: Array
    p: Array
    """Two-sided, for each unit by itself; NaN for dead units."""
    p_max: Array
    """Two-sided, corrected for all units (family-wise)."""
    largest: Array
    """The largest absolute statistic over units in each of the n shuffles."""


def permutation_test(
    a: Any, b: Any, *, n: int = 1000, seed: int = 0, statistic: Literal["mean", "t"] = "mean"
) -> Permutation:
    """Is the mean of a unlike that of b? Samples are (stimulus, ...unit); labels are shuffled n times.

    `statistic` is the difference of means, or Welch's t, which puts units of different scale on one footing and is
    the right one for `p_max`. p = (1 + #) / (1 + n) (Phipson & Smyth, 2010).

    Raises:
        StatisticsError: if a side has fewer than 2 stimuli, units differ, no unit varies, or n is not positive.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.ndim == 0 or second.ndim == 0 or len(first) < 2 or len(second) < 2:
        raise StatisticsError(
            f"Samples hold {first.size} and {second.size} numbers. Give 2 or more stimuli on each side."
        )
    if first.shape[1:] != second.shape[1:]:
        raise StatisticsError(f"Units differ: {first.shape[1:]} and {second.shape[1:]}. Compare the same units.")
    if statistic not in ("mean", "t"):
        raise StatisticsError(f"statistic is {statistic!r}. Choose 'mean' or 't'.")
    pooled = np.concatenate([first, second]).reshape(len(first) + len(second), -1)
    with np.errstate(invalid="ignore"):
        alive = np.ptp(pooled, axis=0) > 0
    if not alive.any():
        raise StatisticsError(f"None of {alive.size} units varies over the stimuli. There is nothing to compare.")
    observed, p, p_max, largest = _shuffle(pooled[:, alive], len(first), n=drawn(n), seed=seed, statistic=statistic)
    shape = first.shape[1:]
    return Permutation(
        observed=_restored(observed, alive, shape),
        p=_restored(p, alive, shape),
        p_max=_restored(p_max, alive, shape),
        largest=largest,
    )


def _shuffle(pooled: Array, n_first: int, *, n: int, seed: int, statistic: str) -> tuple[Array, Array, Array, Array]:
    values = pooled - pooled.mean(0)
    values /= np.abs(values).max(0)  # squares of any scale then keep their digits
    scale = np.abs(pooled - pooled.mean(0)).max(0) if statistic == "mean" else np.ones(values.shape[1])
    squares = values**2
    labels = np.zeros((1, len(values)))
    labels[0, :n_first] = 1
    observed = scale * _statistic(labels, values, squares, statistic)[0]
    # Equal arrangements must count as equal although their sums were taken in another order.
    bar = np.abs(observed) * (1 - 1e-9) - 1e-12 * scale
    generator = np.random.default_rng(seed)
    as_extreme = np.zeros(values.shape[1], np.int64)
    largest = np.empty(n)
    step = block(n, 4 * max(values.shape))
    for start in range(0, n, step):
        rows = min(step, n - start)
        shuffled = generator.permuted(np.repeat(labels, rows, axis=0), axis=1)
        drawn_now = np.abs(scale * _statistic(shuffled, values, squares, statistic))
        as_extreme += (drawn_now >= bar).sum(0)
        largest[start : start + rows] = drawn_now.max(1)
    beaten = n - np.searchsorted(np.sort(largest), bar, side="left")
    return observed, (1 + as_extreme) / (1 + n), (1 + beaten) / (1 + n), largest


def _statistic(labels: Array, values: Array, squares: Array, statistic: str) -> Array:
    """One row per labelling, one column per unit; `values` are centred, so the other side's sum is the negative."""
    n_a = labels[0].sum()
    n_b = labels.shape[1] - n_a
    sums = labels @ values
    mean_a, mean_b = sums / n_a, (values.sum(0) - sums) / n_b
    if statistic == "mean":
        return mean_a - mean_b
    squared = labels @ squares
    error = _squared_error(squared, mean_a, n_a) + _squared_error(squares.sum(0) - squared, mean_b, n_b)
    # No spread within either side: the labels separate the stimuli entirely, as extreme as a statistic can be.
    floor = 1e-24
    return (mean_a - mean_b) / np.sqrt(np.maximum(error, floor))


def _squared_error(squared: Array, mean: Array, n: float) -> Array:
    return np.maximum(squared - n * mean**2, 0) / (n - 1) / n


def _restored(values: Array, alive: Array, shape: tuple[int, ...]) -> Array:
    whole = np.full(alive.size, np.nan)
    whole[alive] = values
    return whole.reshape(shape)
