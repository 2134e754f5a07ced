"""Split halves, and overlap against chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.reliability import (
    chance_overlap,
    correlation,
    dice,
    halves,
    jaccard,
    rank_agreement,
    spearman_brown,
    split_half,
)


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


def test_rank_agreement_is_scipys_spearman(rng):
    a = rng.integers(0, 9, 200).astype(float)  # with ties
    b = a + rng.normal(0, 4, 200).round()
    ours = rank_agreement(a.reshape(10, 20), b.reshape(10, 20), n=4000)
    assert ours.value == pytest.approx(stats.spearmanr(a, b).statistic, rel=1e-12)
    theirs = stats.bootstrap(
        (a, b), lambda x, y: stats.spearmanr(x, y).statistic, paired=True, vectorized=False, n_resamples=2000,
        method="percentile", rng=rng,
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_rank_agreement_ignores_scale_and_units_that_are_not_finite(rng):
    a = rng.normal(size=300)
    b = a + rng.normal(size=300)
    with_dead = rank_agreement(np.append(np.exp(a), [np.nan, 1]), np.append(b**3, [1, np.inf]), n=50)
    assert with_dead == rank_agreement(a, b, n=50)
    assert with_dead != rank_agreement(a, b, n=50, seed=1)
    assert rank_agreement(a, -a, n=50).value == pytest.approx(-1)


def test_groups_widen_the_rank_agreement_where_their_units_repeat_each_other(rng):
    a, b = rng.normal(size=20), rng.normal(size=20)
    repeated = [np.repeat(x, 10) + 1e-6 * rng.normal(size=200) for x in (a, b)]
    alone = rank_agreement(*repeated)
    grouped = rank_agreement(*repeated, groups=np.repeat(np.arange(20), 10))
    assert (grouped.high - grouped.low) > 2 * (alone.high - alone.low)
    assert grouped.value == alone.value


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: correlation([1, 2], [1, 2]), "2 units are finite"),
        (lambda: correlation([1, 2, 3], [1, 2]), "same units"),
        (lambda: correlation([1, 1, 1], [1, 2, 3]), "constant"),
        (lambda: spearman_brown(1.5), "r is 1.5"),
        (lambda: rank_agreement([1, 2, np.nan], [1, 2, 3]), "2 units are finite"),
        (lambda: rank_agreement([1, 2, 3], [1, 2, 3], groups=[1, 1, 1]), "in 1 group"),
        (lambda: rank_agreement([1, 2, 3], [1, 2, 3], groups=[1, 2]), "one group per unit"),
        (lambda: rank_agreement([1, 2, 3], [4, 4, 4]), "constant"),
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
