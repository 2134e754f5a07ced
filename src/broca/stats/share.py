"""A share of items that come in groups, with an interval that holds at 0 and 1 too."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import beta

from broca.stats.intervals import Interval, clusters, tails


def share_interval(hits: Any, groups: Any | None = None, *, level: float = 0.95) -> Interval:
    """The share of hits, between the limits of Clopper & Pearson (1934) for as many items as the groups are worth.

    Items of one group are alike, so n of them are worth p (1 - p) / var(p) independent ones, where the variance is that of the
    groups' totals (Korn & Graubard, 1998, Survey Methodology 24:193-201); never more than n. Where all are hits, or none,
    the groups show no variance, and each counts as one item. Without groups the interval is exact.

    Args:
        hits: true or false, one an item.
        groups: one label an item; each item is its own where None.
        level: the share of such intervals that hold the true value.

    Raises:
        StatisticsError: if there are no two groups.
    """
    sums, sizes = clusters(np.asarray(hits, np.float64), groups)
    n, count = float(sizes.sum()), len(sizes)
    p = float(sums.sum() / n)
    variance = count / (count - 1) * float(((sums - p * sizes) ** 2).sum()) / n**2
    worth = n if count == n else min(n, p * (1 - p) / variance) if variance else float(count)
    low, high = tails(level)
    k = p * worth
    return Interval(
        p,
        float(beta.ppf(low, k, worth - k + 1)) if k > 0 else 0.0,
        float(beta.ppf(high, k + 1, worth - k)) if k < worth else 1.0,
    )
