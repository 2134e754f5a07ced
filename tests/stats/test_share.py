from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from broca.errors import StatisticsError
from broca.stats.share import share_interval


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (3, 7), (24, 24), (1, 1000)])
def test_without_groups_it_is_the_exact_interval(hits, n):
    found = share_interval([True] * hits + [False] * (n - hits))
    exact = binomtest(hits, n).proportion_ci(method="exact")
    assert (found.value, found.low, found.high) == pytest.approx((hits / n, exact.low, exact.high))


def test_groups_that_agree_count_as_one_item_each():
    hits, groups = np.repeat([True, False, True, True, False], 20), np.repeat(np.arange(5), 20)
    wide, narrow = share_interval(hits, groups), share_interval(hits)
    assert wide.low < narrow.low < narrow.high < wide.high
    # All right in every group: the groups show no variance, and are five.
    assert share_interval(np.ones(100), groups).low == pytest.approx(binomtest(5, 5).proportion_ci(method="exact").low)


def test_groups_that_are_mixed_make_it_no_narrower():
    hits, groups = np.tile([True, False], 50), np.repeat(np.arange(10), 10)
    found, alone = share_interval(hits, groups), share_interval(hits)
    assert found.low <= alone.low
    assert found.high >= alone.high


def test_one_group_has_no_interval():
    with pytest.raises(StatisticsError, match="1 independent group"):
        share_interval([True, False], ["a", "a"])


def test_it_covers_the_truth_in_groups_that_are_alike():
    draw, held = np.random.default_rng(0), 0
    for _ in range(400):
        rate = np.repeat(draw.beta(2.8, 1.2, 20), 5)
        found = share_interval(draw.random(100) < rate, np.repeat(np.arange(20), 5))
        held += 0.7 in found
    assert 0.93 <= held / 400 <= 1.0
