"""Shuffled groups against enumeration written out, SciPy's t tests, and simulated error rates."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.permutation import permutation_test
from broca.stats.shuffle import shuffle_test


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def studentised(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """Cluster by cluster, as a textbook has it; each cluster is an array of values."""
    mean, variance = [], 0.0
    for side in (a, b):
        n, k = sum(map(len, side)), len(side)
        centre = np.concatenate(side).mean()
        mean.append(centre)
        variance += k / (k - 1) * sum((c.sum() - centre * len(c)) ** 2 for c in side) / n**2
    return (mean[0] - mean[1]) / variance**0.5


def test_groups_are_shuffled_whole_and_all_ways_are_tried(rng):
    clusters = [rng.normal(i % 3, 1, size) for i, size in enumerate((3, 1, 4, 2, 2, 5, 3, 3))]
    a, b = clusters[:4], clusters[4:]
    seen = studentised(a, b)
    drawn = [
        studentised([clusters[i] for i in chosen], [clusters[i] for i in range(8) if i not in chosen])
        for chosen in combinations(range(8), 4)
    ]
    groups = tuple(np.repeat(np.arange(len(side)) + 10 * at, [len(c) for c in side]) for at, side in enumerate((a, b)))
    values = np.concatenate(a), np.concatenate(b)
    two = shuffle_test(*values, groups=groups, alpha=0.1)
    one = shuffle_test(*values, groups=groups, alpha=0.1, tail="greater")
    assert two.exact
    assert (two.n, two.value) == (70, pytest.approx(values[0].mean() - values[1].mean()))
    assert two.p == np.mean(np.abs(drawn) >= abs(seen) - 1e-9)
    assert one.p == np.mean(np.array(drawn) >= seen - 1e-9)
    assert shuffle_test(*values[::-1], groups=groups[::-1], alpha=0.1, tail="greater").p == np.mean(
        np.array(drawn) <= seen + 1e-9
    )


def test_groups_with_both_sides_swap_them(rng):
    """With one item a side that is Student's t of the differences, whose signs are flipped."""
    a, b = rng.normal(0.4, 1, 7), rng.normal(0, 1, 7)
    found = shuffle_test(a, b, groups=(range(7), range(7)))
    drawn = [stats.ttest_1samp(np.array(signs) * (a - b), 0).statistic for signs in product([1, -1], repeat=7)]
    assert (found.n, found.exact) == (128, True)
    assert found.p == np.mean(np.abs(drawn) >= abs(stats.ttest_rel(a, b).statistic) - 1e-9)
    half = (found.high - found.low) / 2
    allowed = np.sort(np.abs(drawn))[::-1][int(0.05 * 128)]
    assert half == pytest.approx(allowed * (a - b).std(ddof=1) / 7**0.5)


def test_single_values_have_welchs_t(rng):
    a, b = rng.normal(0.3, 1, 25), rng.normal(0, 3, 14)
    found = shuffle_test(a, b, n=999)
    assert found.p == permutation_test(a, b, n=999).p
    wide = shuffle_test(a, b, n=20_000)
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (wide.low, wide.high) == pytest.approx((theirs.low, theirs.high), abs=0.12)


@pytest.mark.parametrize("tail", ["two-sided", "greater"])
@pytest.mark.parametrize("seed", range(25))
def test_the_interval_says_what_p_says(tail, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.5, 1, 30).round(1), rng.normal(0, 1, 24).round(1)
    groups = np.arange(30) // 3, 90 + np.arange(24) // 4
    found = shuffle_test(a, b, groups=groups, n=99, tail=tail, alpha=0.06)
    outside = found.low > 0 if tail == "greater" else not found.low <= 0 <= found.high
    assert outside == (found.p <= 0.06)


def test_weights_are_as_good_as_repetition(rng):
    a, b = rng.normal(1, 1, 12), rng.normal(0, 1, 12)
    groups = np.arange(12) // 2, 50 + np.arange(12) // 2
    times = np.tile([1, 3], 6)
    weighted = shuffle_test(a, b, groups=groups, weights=(times, None), n=300)
    repeated = shuffle_test(np.repeat(a, times), b, groups=(np.repeat(groups[0], times), groups[1]), n=300)
    assert weighted.value == pytest.approx(repeated.value)
    assert (weighted.low, weighted.high, weighted.p) == pytest.approx((repeated.low, repeated.high, repeated.p))


@pytest.mark.parametrize(("here", "there"), [((40, 0.0), (8, 0.9)), ((8, 0.9), (40, 0.0)), ((10, 0.5), (10, 0.0))])
def test_groups_that_are_alike_on_one_side_only_are_not_overcalled(here, there):
    rng = np.random.default_rng(2)

    def side(groups: int, alike: float) -> np.ndarray:
        return alike**0.5 * np.repeat(rng.normal(size=groups), 5) + (1 - alike) ** 0.5 * rng.normal(size=5 * groups)

    labels = [at * 100 + np.repeat(np.arange(k), 5) for at, (k, _) in enumerate((here, there))]
    found = [shuffle_test(side(*here), side(*there), groups=labels, tail="greater", n=99) for _ in range(400)]
    assert np.mean([each.p <= 0.05 for each in found]) <= 0.085  # .14 and .18 where values, not groups, are studentised
    assert np.mean([each.low <= 0 <= each.high for each in found]) >= 0.83  # 0.90 is meant, .86 is reached


def test_what_is_undefined_is_said():
    with pytest.raises(StatisticsError, match="nothing to compare"):
        shuffle_test([1.0] * 5, [1.0] * 5)
    with pytest.raises(StatisticsError, match="not positive"):
        shuffle_test([1.0, 2, 3, 4], [0.0] * 4, weights=([1, 1, 1, 0], None))
    with pytest.raises(StatisticsError, match="an item"):
        shuffle_test([1.0, 2, 3, 4], [0.0] * 4, groups=([1, 2], None))
    with pytest.raises(StatisticsError, match=r"at least 4 \+ 4"):
        shuffle_test([1.0, 2], [0.0, 1])


def test_one_side_needs_half_as_many_arrangements_where_both_have_as_many_groups():
    a, b = np.arange(3.0) + 9, np.arange(3.0)
    assert shuffle_test(a, b, tail="greater").p == 1 / 20
    with pytest.raises(StatisticsError, match=r"at least 4 \+ 4"):
        shuffle_test(a, b)
