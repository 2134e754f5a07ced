"""Does a number rise with the dose, item by item? Kendall's tau of each item over doses, with the signs of groups flipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from broca.errors import StatisticsError
from broca.stats.pairs import sign_flip_test


@dataclass(frozen=True, slots=True)
class Trend:
    """How far a number rises with the dose: 1 where it does at every step of every item, -1 where it falls."""

    tau: float
    low: float
    high: float
    p: float
    """Two-sided, of flipped signs of groups."""
    groups: int


def dose_trend(doses: Any, values: Any, *, groups: Any, alpha: float = 0.05, n: int = 10_000, seed: int = 0) -> Trend:
    """The mean over items of Kendall's tau (1938) between dose and value, ties counted 0, and its test over groups.

    Args:
        doses: (dose,) two or more, all different.
        values: (item, dose).
        groups: of the items: the sign of each group's trend is arbitrary if the dose does nothing.
        alpha: level of the interval.
        n: sign patterns.
        seed: of random ones.

    Raises:
        StatisticsError: if there are fewer than 2 doses or groups, doses repeat, or shapes do not fit.
    """
    x, y = np.asarray(doses, np.float64), np.asarray(values, np.float64)
    if x.ndim != 1 or x.size < 2 or len(set(x.tolist())) < x.size or y.ndim != 2 or y.shape[1] != x.size:
        raise StatisticsError(
            f"There are doses {x.tolist()} and values of shape {y.shape}. Give (item, dose), two different doses or more."
        )
    first, second = np.triu_indices(x.size, 1)
    signs = np.sign(x[second] - x[first]) * np.sign(y[:, second] - y[:, first])
    test = sign_flip_test(signs.mean(1), groups=groups, n=n, seed=seed, alpha=alpha)
    return Trend(test.value, test.low, test.high, test.p, test.groups)
