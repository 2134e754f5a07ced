"""Label permutation against SciPy, its uniformity under the null, and family-wise control."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.permutation import permutation_test
from broca.stats.welch import welch_from_samples


@pytest.fixture
def rng():
    return np.random.default_rng(13)


def test_the_observed_statistics_are_the_means_and_welchs_t(rng):
    a, b = rng.normal(3, 1, (7, 4, 2)), rng.normal(2, 5, (9, 4, 2))
    np.testing.assert_allclose(permutation_test(a, b, n=9).observed, a.mean(0) - b.mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        permutation_test(a, b, n=9, statistic="t").observed, welch_from_samples(a, b).t, rtol=1e-9
    )


@pytest.mark.parametrize("statistic", ["mean", "t"])
def test_p_is_scipys_in_the_limit(rng, statistic):
    a, b = rng.normal(0.8, 1, (6, 3)), rng.normal(0, 1, (5, 3))

    def measure(x, y, axis):
        if statistic == "mean":
            return x.mean(axis) - y.mean(axis)
        return stats.ttest_ind(x, y, axis=axis, equal_var=False).statistic

    exact = stats.permutation_test((a, b), measure, vectorized=True, n_resamples=np.inf).pvalue
    ours = permutation_test(a, b, n=20_000, statistic=statistic).p
    # SciPy doubles the smaller tail, we count both: the same up to the asymmetry of unequal sizes
    np.testing.assert_allclose(ours, exact, atol=0.05)


def test_p_is_uniform_under_the_null(rng):
    a, b = rng.normal(size=(10, 2000)), rng.normal(size=(12, 2000))
    p = permutation_test(a, b, n=199, seed=1).p
    assert stats.kstest(p, "uniform").statistic < 0.05
    assert 0.03 < (p <= 0.05).mean() < 0.07


def test_the_family_wise_p_holds_for_all_units_at_once():
    false = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        noise = generator.normal(size=(20, 1)) + generator.normal(size=(20, 60))  # correlated units
        false += permutation_test(noise[:10], noise[10:], n=99, seed=seed, statistic="t").p_max.min() <= 0.05
    assert false / 200 <= 0.10  # 0.05 expected


def test_a_planted_unit_is_found(rng):
    a, b = rng.normal(size=(30, 50)), rng.normal(size=(30, 50))
    a[:, 7] += 3
    result = permutation_test(a, b, n=199, statistic="t")
    assert result.p_max[7] == 1 / 200
    assert (np.delete(result.p_max, 7) > 0.05).all()
    assert (result.p_max >= result.p).all()
    assert result.largest.shape == (199,)


def test_scale_and_sign_do_not_matter(rng):
    a, b = rng.normal(1, 1, (8, 3)), rng.normal(0, 1, (8, 3))
    first = permutation_test(a, b, n=99, statistic="t")
    scaled = permutation_test(a * [1e-8, 1, -1e8], b * [1e-8, 1, -1e8], n=99, statistic="t")
    np.testing.assert_array_equal(first.p, scaled.p)
    np.testing.assert_array_equal(first.p_max, scaled.p_max)


def test_dead_units_have_no_p_and_disturb_nobody(rng):
    a, b = rng.normal(1, 1, (8, 3)), rng.normal(0, 1, (8, 3))
    with_dead = [np.insert(np.insert(side, 1, 0.1, axis=1), 0, np.nan, axis=1) for side in (a, b)]
    result, plain = permutation_test(*with_dead, n=99), permutation_test(a, b, n=99)
    assert np.isnan(result.p[[0, 2]]).all()
    np.testing.assert_array_equal(result.p[[1, 3, 4]], plain.p)


def test_entirely_separated_samples_are_as_extreme_as_can_be():
    result = permutation_test(np.ones((10, 1)), np.zeros((10, 1)), n=99, seed=1, statistic="t")
    assert result.p == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: permutation_test([1.0], [1.0, 2.0]), "2 or more stimuli"),
        (lambda: permutation_test(np.zeros((3, 2)), np.zeros((3, 4))), "Units differ"),
        (lambda: permutation_test(np.zeros((3, 2)), np.zeros((3, 2))), "None of 2 units varies"),
        (lambda: permutation_test([1.0, 2.0], [1.0, 2.0], n=0), "n is 0"),
        (lambda: permutation_test([1.0, 2.0], [1.0, 2.0], statistic="max"), "'mean' or 't'"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
