"""A number with the range that its data allow, and the checks that every resampling shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from broca.errors import StatisticsError
from broca.items import cluster

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate between its limits."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: Any, draws: Array, level: float) -> Interval:
        """An estimate with the range that holds `level` of its resamplings, of which those that are NaN are left out.

        Raises:
            StatisticsError: if `level` does not lie between 0 and 1.
        """
        known, limits = draws[~np.isnan(draws)], tails(level)
        low, high = np.quantile(known, limits) if known.size else (np.nan, np.nan)
        return cls(float(value), float(low), float(high))

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high


def tails(level: float) -> tuple[float, float]:
    """The two quantiles that leave the same share outside on each side of `level`.

    Raises:
        StatisticsError: if `level` does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise StatisticsError(f"level is {level}. Give the share that the interval shall cover, for instance 0.95.")
    return (1 - level) / 2, (1 + level) / 2


def require_draws(n: int) -> int:
    """`n` itself, if that many draws can be made.

    Raises:
        StatisticsError: if `n` is not positive.
    """
    if n < 1:
        raise StatisticsError(f"n is {n} draws. Give at least 1; 2000 make a steady interval.")
    return n


def block(n: int, width: int) -> int:
    """How many of `n` draws of `width` numbers fit into memory (32 MiB) at once."""
    return max(1, min(n, (1 << 22) // max(width, 1)))


def clusters(values: Array, groups: Any | None) -> tuple[Array, Array]:
    """Sums and sizes per group, in order of first appearance; a value without a group is its own.

    Values that are NaN are left out (a score may be undefined).

    Raises:
        StatisticsError: if lengths differ, nothing is left, or only one group is.
    """
    if values.ndim != 1:
        raise StatisticsError(f"Values have shape {values.shape}. Give one number per item, in one dimension.")
    labels = np.arange(values.size) if groups is None else np.asarray(groups)
    if labels.shape != values.shape:
        raise StatisticsError(f"There are {values.size} values but {labels.size} groups. Give one group per value.")
    kept = ~np.isnan(values)
    if not kept.any():
        raise StatisticsError(f"None of {values.size} values is a number. Give at least 2.")
    index = codes(labels[kept])
    n_groups = int(index.max()) + 1
    if n_groups < 2:
        raise StatisticsError(
            f"There is 1 independent group among {int(kept.sum())} values. Resampling needs at least 2 groups, and 20 "
            "to be worth reading: give more items, or finer groups."
        )
    return np.bincount(index, values[kept], n_groups), np.bincount(index, minlength=n_groups).astype(np.float64)


def codes(labels: Array) -> Array:
    """Each label as a number, counted from 0 in order of first appearance; one that names no group stands for itself."""
    if labels.dtype.kind not in "biu":
        labels = np.array([cluster(label, i) for i, label in enumerate(labels.tolist())])
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.int64)
    rank[np.argsort(first)] = np.arange(first.size)
    return rank[inverse]
