"""Paired comparisons against SciPy, enumeration, and simulated coverage."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.pairs import (
    difference_interval,
    difference_test,
    mcnemar_exact,
    mean_interval,
    paired_bootstrap,
    ratio_interval,
    sign_flip_p,
    sign_flip_test,
)
from broca.stats.shuffle import shuffle_test


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize("seed", range(5))
def test_mcnemar_is_a_binomial_test_of_the_changes(seed):
    generator = np.random.default_rng(seed)
    a, b = generator.random(80) < 0.8, generator.random(80) < 0.6
    result = mcnemar_exact(a, b)
    assert (result.lost, result.gained) == (int((a & ~b).sum()), int((~a & b).sum()))
    assert result.p == stats.binomtest(result.lost, result.lost + result.gained).pvalue


def test_mcnemar_of_no_change_is_1():
    assert mcnemar_exact([True, False], [True, False]).p == 1


def test_a_bootstrap_interval_is_scipys_in_the_limit(rng):
    values = rng.exponential(size=40)
    ours = mean_interval(values, n=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=rng).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_paired_is_the_interval_of_the_differences(rng):
    a, b = rng.random(30), rng.random(30)
    assert paired_bootstrap(a, b, seed=4) == mean_interval(a - b, seed=4)
    assert paired_bootstrap(a, b, seed=4) != paired_bootstrap(a, b, seed=5)


def test_values_that_are_no_numbers_are_left_out(rng):
    values, groups = rng.random(30), np.arange(30) // 3
    with_nan = np.concatenate([values, [np.nan, np.nan]])
    assert mean_interval(with_nan, groups=[*groups, 99, 0]) == mean_interval(values, groups=groups)


def test_groups_widen_the_interval_where_items_repeat_each_other(rng):
    once = rng.normal(size=25)
    alone = mean_interval(np.repeat(once, 8))
    grouped = mean_interval(np.repeat(once, 8), groups=np.repeat(np.arange(25), 8))
    plain = mean_interval(once)
    assert (grouped.high - grouped.low) > 2 * (alone.high - alone.low)
    assert (grouped.low, grouped.high) == pytest.approx((plain.low, plain.high))


def test_the_difference_of_separate_sets_has_their_joint_spread(rng):
    a, b = rng.normal(1, 1, 400), rng.normal(0, 2, 300)
    interval = difference_interval(np.append(a, np.nan), b)
    assert interval.value == pytest.approx(a.mean() - b.mean())
    half = stats.norm.ppf(0.975) * np.sqrt(a.var() / 400 + b.var() / 300)
    assert (interval.low, interval.high) == pytest.approx((interval.value - half, interval.value + half), abs=0.03)
    grouped = difference_interval(a, b, groups=(np.arange(400) // 40, None))
    assert grouped.value == difference_interval(a, b).value
    with pytest.raises(StatisticsError, match="1 independent group"):
        difference_interval(a, b, groups=(None, np.zeros(300)))


def test_groups_of_unequal_size_weigh_by_their_items():
    groups, values = [0] * 5 + [1] + [2] * 3, np.array([2.0] * 5 + [2.0] + [2.0] * 3)
    assert mean_interval(values, groups=groups) == mean_interval([2.0, 2.0])
    values[5] = 11  # nine items of which the lone one is 9 higher
    interval = mean_interval(values, groups=groups, n=20_000)
    assert interval.value == 3
    assert (interval.low, interval.high) == (2, 11)  # the lone item thrice in 1 of 27, never in 8 of 27


def test_names_of_groups_do_not_matter(rng):
    values = rng.random(12)
    labels = ["z", "z", "a", "a", "m", "m"] * 2
    assert mean_interval(values, groups=labels) == mean_interval(values, groups=[0, 0, 1, 1, 2, 2] * 2)


def test_the_interval_covers():
    generator = np.random.default_rng(2)
    effects = generator.normal(size=(400, 40, 1)) + generator.normal(size=(400, 40, 3))
    groups = np.repeat(np.arange(40), 3)
    hit = sum(0 in mean_interval(sample.ravel(), groups=groups, n=400, seed=i) for i, sample in enumerate(effects))
    assert 0.90 <= hit / 400 <= 0.98


def test_sign_flips_are_enumerated_when_few(rng):
    differences = rng.normal(0.3, 1, 8)
    flipped = [abs(np.dot(signs, differences)) for signs in product([-1, 1], repeat=8)]
    result = sign_flip_test(differences, n=256)
    assert result.exact
    assert result.n == 256
    assert result.p == np.mean(np.array(flipped) >= abs(differences.sum()) - 1e-9)
    sampled = sign_flip_test(differences, n=255)
    assert not sampled.exact
    assert sampled.p == pytest.approx(result.p, abs=0.12)


def test_sign_flips_of_groups_flip_them_whole(rng):
    differences = rng.normal(size=6)
    grouped = sign_flip_test(np.repeat(differences, 3), groups=np.repeat(np.arange(6), 3))
    assert grouped.p == sign_flip_test(differences).p
    assert grouped.n == 64


def test_the_p_of_two_conditions_is_that_of_flipped_groups_and_1_where_there_is_one_group(rng):
    a, b = rng.random((2, 40)) < [[0.8], [0.4]]
    groups = np.arange(40) // 5
    assert sign_flip_p(a, b, groups=groups) == sign_flip_test(a * 1.0 - b, groups=groups).p
    assert sign_flip_p(a, b) == sign_flip_test(a * 1.0 - b).p
    assert sign_flip_p(a, b, groups=np.zeros(40)) == sign_flip_p([True], [False]) == 1
    assert sign_flip_p(a, a) == 1


@pytest.mark.parametrize("seed", range(20))
def test_the_limits_are_the_means_that_the_test_does_not_reject(seed):
    rng = np.random.default_rng(seed)
    values, groups = rng.normal(0.4, 1, 21).round(1), np.sort(rng.integers(0, 8, 21))
    weights = None if seed % 2 else rng.uniform(0.5, 2, 21)
    n = 10_000 if seed % 3 else 99

    def test(at: float):
        return sign_flip_test(values - at, groups=groups, weights=weights, n=n, alpha=0.1)

    found = test(0)
    for limit, outward in ((found.low, -1), (found.high, 1)):
        assert test(limit - outward * 1e-6).p > 0.1
        assert test(limit + outward * 1e-6).p <= 0.1
    assert (found.low <= 0 <= found.high) == (found.p > 0.1)


def test_weights_of_signs_are_as_good_as_repetition(rng):
    values, times = rng.normal(0.3, 1, 9), np.tile([1, 2, 5], 3)
    weighted = sign_flip_test(np.append(values, np.nan), weights=np.append(times, 1))
    repeated = sign_flip_test(np.repeat(values, times), groups=np.repeat(np.arange(9), times))
    assert (weighted.p, weighted.groups, weighted.smallest_p) == (repeated.p, 9, 2 / 512)
    assert (weighted.value, weighted.low, weighted.high) == pytest.approx((repeated.value, repeated.low, repeated.high))


def test_the_interval_of_signs_covers():
    generator = np.random.default_rng(4)
    effects = 0.3 + generator.normal(size=(500, 15, 1)) + generator.normal(size=(500, 15, 3))
    groups = np.repeat(np.arange(15), 3)
    found = [sign_flip_test(sample.ravel(), groups=groups, n=499, alpha=0.1) for sample in effects]
    assert np.mean([each.low <= 0.3 <= each.high for each in found]) == pytest.approx(0.9, abs=0.03)


def test_five_groups_allow_no_limit_at_five_per_cent():
    found = sign_flip_test([1.0, 2, 3, 4, 5])
    assert (found.smallest_p, found.low, found.high) == (1 / 16, -np.inf, np.inf)
    six = sign_flip_test([1.0, 2, 3, 4, 5, 6])
    assert (six.smallest_p, six.p, six.low, six.high) == (1 / 32, 1 / 32, 1.0, 6.0)


def test_no_sign_pattern_is_more_extreme_than_one_sign():
    assert sign_flip_test(np.full(10, 0.1)).p == 2 / 1024
    assert sign_flip_test(np.zeros(10)).p == 1
    assert sign_flip_test(np.full(70, 0.1), n=99).p == pytest.approx(0.01)


def test_separate_sets_are_shuffled_by_group_without_what_is_no_number(rng):
    a, b = rng.normal(0.5, 1, 30), rng.normal(0, 2, 24)
    groups = (np.arange(30) // 3, 100 + np.arange(24) // 2)
    result = difference_test(a, b, groups=groups, n=999)
    assert (result.value, result.n, result.exact) == (pytest.approx(a.mean() - b.mean()), 999, False)
    assert result == shuffle_test(a, b, groups=groups, n=999)
    with_nan = difference_test(np.append(a, np.nan), b, groups=(np.append(groups[0], 7), groups[1]), n=999)
    assert with_nan == result


def test_an_ability_that_is_lost_whole_differs_from_one_that_is_kept():
    result = difference_test(np.full(40, -1.0), np.zeros(40))
    assert result.value == -1
    assert result.p == 1 / 10_001


def test_the_difference_of_sets_that_differ_in_spread_and_size_is_not_overcalled():
    generator = np.random.default_rng(0)
    p = [difference_test(generator.normal(0, 4, 12), generator.normal(0, 1, 48), n=199).p for _ in range(400)]
    assert np.mean(np.array(p) <= 0.05) <= 0.085  # 0.05 expected; shuffled means alone would give about 0.3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mcnemar_exact([True], [True, False]), "same 1 or more items"),
        (lambda: mcnemar_exact([], []), "0 and 0 items"),
        (lambda: paired_bootstrap([1.0, 2.0], [1.0]), "2 and 1 items"),
        (lambda: mean_interval([np.nan, np.nan]), "None of 2 values"),
        (lambda: mean_interval([1.0, 2.0], groups=[1, 1]), "1 independent group"),
        (lambda: mean_interval([1.0, 2.0], groups=[1]), "one group per value"),
        (lambda: mean_interval([[1.0, 2.0]]), "one dimension"),
        (lambda: mean_interval([1.0, 2.0], n=0), "n is 0"),
        (lambda: mean_interval([1.0, 2.0], level=1.0), "level is 1.0"),
        (lambda: sign_flip_test([1.0]), "1 independent group"),
        (lambda: difference_test([1.0, 2.0], [1.0, 2.0]), r"at least 4 \+ 4 stimuli"),
        (lambda: difference_test(np.zeros(9), np.zeros(9)), "nothing to compare"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()


def test_a_ratio_weighs_items_by_their_denominator_and_leaves_undefined_ones_out():
    top, bottom, groups = np.array([1.0, 3, np.nan, 0, 9]), np.array([2.0, 4, 5, 4, np.nan]), np.array([0, 1, 1, 2, 2])
    found = ratio_interval(top, bottom, groups=groups, n=200)
    assert found.value == pytest.approx(4 / 10)
    assert found.low <= found.value <= found.high
    scaled = ratio_interval(3 * top, bottom, groups=groups, n=200)
    assert (scaled.low, scaled.high) == pytest.approx((3 * found.low, 3 * found.high))
    with pytest.raises(StatisticsError, match="not defined"):
        ratio_interval([1, 2], [1, -1])
    with pytest.raises(StatisticsError, match="independent group"):
        ratio_interval([1, 2], [1, 1], groups=["a", "a"])
