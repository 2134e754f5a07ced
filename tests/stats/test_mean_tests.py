"""Welch and paired t against SciPy, and the units that have no statistic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.mean_tests import mean_difference, paired_t, paired_t_from_moments, welch, welch_from_samples

GENERATOR = np.random.default_rng(7)
A = GENERATOR.normal(0.4, 2.0, (9, 6, 5))
B = GENERATOR.normal(0.0, 0.5, (14, 6, 5))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def moments(sample):
    return sample.mean(0), sample.var(0, ddof=1), len(sample)


def test_welch_is_scipys():
    ours, theirs = welch(*moments(A), *moments(B)), stats.ttest_ind(A, B, equal_var=False)
    for name in ("t", "df", "p"):
        got, right = getattr(ours, name), np.asarray(getattr(theirs, {"t": "statistic", "p": "pvalue"}.get(name, name)))
        np.testing.assert_allclose(got, right, rtol=1e-12, atol=0)
    assert ours.t.shape == (6, 5)


def test_samples_are_their_moments():
    np.testing.assert_array_equal(welch_from_samples(A, B).p, welch(*moments(A), *moments(B)).p)


def test_effect_size_is_the_difference_in_pooled_standard_deviations():
    d = welch_from_samples(A, B).d
    pooled = np.sqrt((((A - A.mean(0)) ** 2).sum(0) + ((B - B.mean(0)) ** 2).sum(0)) / (len(A) + len(B) - 2))
    np.testing.assert_allclose(d, (A.mean(0) - B.mean(0)) / pooled, rtol=1e-12)


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, -1e-3, 1e30])
def test_a_constant_unit_is_dead(rng, constant):
    a, b = np.full((10, 2), constant), np.full((13, 2), constant)
    a[:, 1], b[:, 1] = rng.normal(size=10), rng.normal(size=13)
    result = welch_from_samples(a, b)
    for field in (result.t, result.df, result.p, result.d):
        assert np.isnan(field[0])
        assert np.isfinite(field[1])


def test_a_unit_that_is_not_a_number_is_dead():
    a = A.copy()
    a[0, 2, 2] = np.nan
    a[0, 3, 3] = np.inf
    dead = np.isnan(welch_from_samples(a, B).t)
    assert dead[2, 2]
    assert dead[3, 3]
    assert dead.sum() == 2


def test_one_constant_side_is_enough_to_test():
    result = welch(1.0, 0.0, 5, 0.0, 1.0, 5)
    np.testing.assert_allclose(result.t, np.sqrt(5), rtol=1e-15)
    np.testing.assert_allclose(result.df, 4, rtol=1e-15)


def test_degrees_of_freedom_survive_tiny_variances():
    small, large = welch(1e-100, 1e-200, 5, 0.0, 2e-200, 7), welch(1.0, 1.0, 5, 0.0, 2.0, 7)
    np.testing.assert_allclose([small.t, small.df, small.p], [large.t, large.df, large.p], rtol=1e-12)


def test_the_interval_of_a_difference_is_scipys():
    ours = mean_difference(*moments(A), *moments(B), level=0.9)
    theirs = stats.ttest_ind(A, B, equal_var=False).confidence_interval(0.9)
    np.testing.assert_allclose(ours.low, theirs.low, rtol=1e-10)
    np.testing.assert_allclose(ours.high, theirs.high, rtol=1e-10)
    np.testing.assert_allclose(ours.value, A.mean(0) - B.mean(0))


def test_paired_t_is_scipys():
    ours, theirs = paired_t(A, B[:9]), stats.ttest_rel(A, B[:9])
    np.testing.assert_allclose(ours.t, theirs.statistic, rtol=1e-12)
    np.testing.assert_allclose(ours.p, theirs.pvalue, rtol=1e-12)
    np.testing.assert_array_equal(ours.df, np.full((6, 5), 8.0))
    again = paired_t_from_moments(*moments(A - B[:9]))
    np.testing.assert_array_equal(again.t, ours.t)


def test_equal_pairs_have_no_t():
    assert np.isnan(paired_t(A, A).t).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: welch(0, 1, 1, 0, 1, 5), "n_a is 1"),
        (lambda: welch(0, 1, 5, 0, 1, 1), "n_b is 1"),
        (lambda: welch(0, -1, 5, 0, 1, 5), "var_a is -1"),
        (lambda: welch(np.zeros(3), 1, 5, np.zeros(4), 1, 5), "same units"),
        (lambda: welch_from_samples(A[:1], B), "a holds 1 stimuli"),
        (lambda: paired_t(A, B), "as many values"),
        (lambda: mean_difference(0, 1, 5, 0, 1, 5, level=95), "level is 95"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
