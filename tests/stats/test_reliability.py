"""Split halves, and overlap against chance."""

from __future__ import annotations

import numpy as np
import pytest

from broca.errors import StatisticsError
from broca.stats.reliability import chance_overlap, correlation, dice, halves, jaccard, spearman_brown, split_half


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_correlation_is_numpys_over_units_finite_in_both(rng):
    a, b = rng.normal(size=(4, 30)), rng.normal(size=(4, 30))
    right = np.corrcoef(a[:, 2:].ravel(), b[:, 2:].ravel())[0, 1]
    a[:, 0], b[:, 1] = np.nan, np.inf
    np.testing.assert_allclose(correlation(a, b), right, rtol=1e-12)
    result = split_half(a, b)
    assert result.n_units == 112
    assert result.r == correlation(a, b)


def test_spearman_brown():
    assert spearman_brown(0.5) == pytest.approx(2 / 3)
    assert spearman_brown(1.0) == 1
    assert spearman_brown(0.5, times=1) == 0.5
    assert spearman_brown(-0.5) == -0.5


def test_spearman_brown_predicts_the_longer_test(rng):
    truth = rng.normal(size=200_000)
    quarters = [truth + rng.normal(0, 2, truth.size) for _ in range(4)]
    short = correlation(quarters[0], quarters[1])
    long = correlation(quarters[0] + quarters[1], quarters[2] + quarters[3])
    assert spearman_brown(short) == pytest.approx(long, abs=0.01)


@pytest.mark.parametrize("scheme", ["random", "odd-even"])
def test_halves_cover_all_and_keep_groups_together(rng, scheme):
    groups = np.repeat(np.arange(20), rng.integers(1, 6, 20))
    groups = rng.permutation(groups)
    first, second = halves(groups.size, seed=3, groups=groups, scheme=scheme)
    np.testing.assert_array_equal(np.sort(np.concatenate([first, second])), np.arange(groups.size))
    assert not set(groups[first]) & set(groups[second])
    assert abs(first.size - second.size) <= 5


def test_halves_differ_by_seed_alone():
    np.testing.assert_array_equal(halves(50, seed=0)[0], halves(50, seed=0)[0])
    assert not np.array_equal(halves(50, seed=0)[0], halves(50, seed=1)[0])
    assert [len(half) for half in halves(51)] == [26, 25]
    np.testing.assert_array_equal(halves(5, scheme="odd-even")[0], [0, 2, 4])


def test_dice_and_jaccard():
    a, b = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 0, 1, 1], bool)
    assert dice(a, b) == pytest.approx(2 / 3)
    assert jaccard(a, b) == 0.5
    assert np.isnan(dice(np.zeros(3, bool), np.zeros(3, bool)))


def test_chance_is_what_random_selections_share(rng):
    n, k1, k2 = 60, 12, 20
    shared = [
        np.intersect1d(rng.choice(n, k1, replace=False), rng.choice(n, k2, replace=False)).size for _ in range(4000)
    ]
    chance = chance_overlap(k1, k2, n)
    assert chance.shared == 4
    assert np.mean(shared) == pytest.approx(4, abs=0.1)
    assert chance.dice == pytest.approx(8 / 32)


def test_chance_at_equal_shares_is_share_over_two_minus_share():
    assert chance_overlap(10, 10, 1000).jaccard == pytest.approx(0.01 / 1.99)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: correlation([1, 2], [1, 2]), "2 units are finite"),
        (lambda: correlation([1, 2, 3], [1, 2]), "same units"),
        (lambda: correlation([1, 1, 1], [1, 2, 3]), "constant"),
        (lambda: spearman_brown(1.5), "r is 1.5"),
        (lambda: halves(4, groups=["a"] * 4), "4 stimuli in 1 group"),
        (lambda: halves(0), "0 stimuli"),
        (lambda: halves(4, groups=["a"]), "one group per stimulus"),
        (lambda: halves(4, scheme="odd"), "odd-even"),
        (lambda: dice([True], [True, False]), "same units"),
        (lambda: chance_overlap(5, 2, 4), "sizes from 0 to n"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
