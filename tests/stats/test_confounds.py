"""Covariates against least squares of statsmodels and NumPy, Welch without them, and a contrast that is only length."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from broca.errors import StatisticsError
from broca.stats import confounds
from broca.stats.confounds import partial_welch
from broca.stats.mean_tests import welch_from_samples


@pytest.fixture
def rng():
    return np.random.default_rng(17)


@pytest.fixture
def sample(rng):
    x, y = rng.normal(0.5, 1, (18, 2)), rng.normal(0, 1, (25, 2))
    a = rng.normal(1, 3, (18, 6)) + x @ rng.normal(size=(2, 6))
    b = rng.normal(0, 1, (25, 6)) + y @ rng.normal(size=(2, 6))
    return a, b, x, y


def test_it_is_statsmodels_least_squares_with_hc2(sample):
    from statsmodels.regression.linear_model import OLS

    a, b, x, y = sample
    design = np.column_stack([np.repeat([1.0, 0.0], [18, 25]), np.ones(43), np.concatenate([x, y])])
    ours = partial_welch(a.reshape(18, 2, 3), b.reshape(25, 2, 3), x, y)
    for unit in range(6):
        theirs = OLS(np.concatenate([a, b])[:, unit], design).fit(cov_type="HC2")
        assert ours.t.ravel()[unit] == pytest.approx(theirs.tvalues[0], rel=1e-9)
        assert ours.difference.ravel()[unit] == pytest.approx(theirs.params[0], rel=1e-9)
    plain = a.mean(0) - b.mean(0)
    np.testing.assert_allclose(ours.kept.ravel(), ours.difference.ravel() / plain, rtol=1e-9)
    covariates = np.column_stack([np.ones(43), np.concatenate([x, y])])
    side = design[:, 0]
    left = side - covariates @ np.linalg.lstsq(covariates, side)[0]
    assert ours.overlap == pytest.approx(1 - left @ left / (18 * 25 / 43), rel=1e-9)


@pytest.mark.parametrize("covariate", [np.ones(43), np.full(43, 0.1), np.zeros((43, 2)), np.zeros((43, 0))])
def test_without_covariates_it_is_welch(sample, covariate):
    a, b, *_ = sample
    ours, theirs = partial_welch(a, b, covariate[:18], covariate[18:]), welch_from_samples(a, b)
    for name in ("t", "df", "p"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9)
    np.testing.assert_allclose(ours.kept, 1)
    assert ours.overlap == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("n_a", "n_b"), [(12, 9), (300, 400)])
def test_degrees_of_freedom_are_those_of_dense_matrices(rng, n_a, n_b):
    x, y = rng.normal(1, 1, n_a), rng.exponential(size=n_b)
    a, b = rng.normal(0, 2, n_a), rng.normal(0, 1, n_b)
    side = np.arange(n_a + n_b) < n_a
    design = np.column_stack([side, np.ones(n_a + n_b), np.concatenate([x, y])])
    maker = np.eye(n_a + n_b) - design @ np.linalg.pinv(design)
    left = np.diag(maker)
    residual = maker @ np.concatenate([a, b])
    variance = np.where(
        side, (residual[side] ** 2).sum() / left[side].sum(), (residual[~side] ** 2).sum() / left[~side].sum()
    )
    pull = np.diag(np.linalg.pinv(design)[0] ** 2 / left)
    noise = pull @ maker @ np.diag(variance) @ maker
    expected = (np.linalg.pinv(design)[0] ** 2 * variance).sum()
    assert float(partial_welch(a, b, x, y).df) == pytest.approx(expected**2 / np.trace(noise @ noise), rel=1e-9)


def test_redundant_covariates_and_other_units_of_them_change_nothing(sample):
    a, b, x, y = sample
    once = partial_welch(a, b, x, y)
    again = partial_welch(a, b, *(np.column_stack([z * [1e6, 1e-6] + 3, z.sum(1), np.ones(len(z))]) for z in (x, y)))
    np.testing.assert_allclose(again.t, once.t, rtol=1e-6)
    np.testing.assert_allclose(again.df, once.df, rtol=1e-6)


def test_a_contrast_that_is_only_length_disappears(rng):
    long, short = rng.normal(12, 2, 60), rng.normal(10, 2, 60)
    slopes = rng.normal(1, 0.1, 200)
    a, b = (np.outer(length, slopes) + rng.normal(0, 1, (60, 200)) for length in (long, short))
    plain, held = welch_from_samples(a, b), partial_welch(a, b, long, short)
    assert (plain.p <= 0.05).mean() > 0.9
    assert (held.p <= 0.05).mean() < 0.12
    assert abs(np.median(held.kept)) < 0.2
    a += 3
    assert (partial_welch(a, b, long, short).p <= 0.05).all()


def test_p_is_uniform_when_only_the_covariate_differs(rng):
    p = []
    for _ in range(400):
        x, y = rng.normal(0.7, 1, 20), rng.normal(0, 1, 12)
        a, b = 2 * x + rng.normal(0, 3, 20), 2 * y + rng.normal(0, 1, 12)
        p.append(float(partial_welch(a, b, x, y).p))
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_dead_units_have_no_t(sample):
    a, b, x, y = sample
    a[:, 1], b[:, 1], a[0, 3], a[2, 4] = 0.1, 0.1, np.nan, np.inf
    found = partial_welch(a, b, x, y)
    assert np.isnan(found.t[[1, 3, 4]]).all()
    assert np.isfinite(found.p[[0, 2, 5]]).all()


def test_units_are_worked_on_in_blocks(sample, monkeypatch):
    whole = partial_welch(*sample)
    monkeypatch.setattr(confounds, "UNITS", 4)
    np.testing.assert_allclose(partial_welch(*sample).t, whole.t, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: partial_welch(np.eye(4), np.eye(5), [0] * 4, [0] * 5), "Units differ"),
        (lambda: partial_welch([1, 2, 3], [1, 2, 3], [0, 1], [0, 1, 2]), "for 3 and 3 stimuli"),
        (lambda: partial_welch([1, 2, 3], [1, 2, 3], [0, 1, 2], np.ones((3, 2))), "Give .stimulus, covariate."),
        (lambda: partial_welch([1, 2, 3], [1, 2, 3], [0, 1, np.nan], [0, 1, 2]), "1 covariates are not finite"),
        (lambda: partial_welch([1, 2], [1, 2, 3], [0, 1], [1, 0, 2]), "Give at least 3 on each side"),
        (lambda: partial_welch(range(9), range(9), [1] * 9, [0] * 9), "tell the sides apart completely"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
