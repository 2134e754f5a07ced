"""What covariates leave, against least squares of NumPy; and a contrast that is only length."""

from __future__ import annotations

import numpy as np
import pytest

from broca.errors import StatisticsError
from broca.stats.confounds import residuals
from broca.stats.mean_tests import welch_from_samples
from broca.stats.permutation import permutation_test


@pytest.fixture
def rng():
    return np.random.default_rng(17)


@pytest.fixture
def sample(rng):
    x, y = rng.normal(0.5, 1, (18, 2)), rng.normal(0, 1, (25, 2))
    a = rng.normal(1, 3, (18, 6)) + x @ rng.normal(size=(2, 6))
    b = rng.normal(0, 1, (25, 6)) + y @ rng.normal(size=(2, 6))
    return a, b, x, y


def test_they_are_those_of_least_squares(sample):
    a, b, x, y = sample
    design = np.column_stack([np.ones(43), np.concatenate([x, y])])
    first, second, overlap = residuals(*sample)

    def left(values):
        return values - design @ np.linalg.lstsq(design, values)[0]

    np.testing.assert_allclose(np.concatenate([first, second]), left(np.concatenate([a, b])), atol=1e-12)
    side = left(np.repeat([1.0, 0.0], [18, 25]))
    assert overlap == pytest.approx(1 - side @ side / (18 * 25 / 43), rel=1e-9)


@pytest.mark.parametrize("covariate", [np.ones((43, 1)), np.full((43, 1), 0.1), np.zeros((43, 2)), np.zeros((43, 0))])
def test_without_covariates_the_mean_alone_is_taken_out(sample, covariate):
    a, b, *_ = sample
    first, second, overlap = residuals(a, b, covariate[:18], covariate[18:])
    whole = np.concatenate([a, b])
    np.testing.assert_allclose(np.concatenate([first, second]), whole - whole.mean(0), atol=1e-12)
    assert overlap == pytest.approx(0, abs=1e-12)


def test_redundant_covariates_and_other_units_of_them_change_nothing(sample):
    a, b, x, y = sample
    again = residuals(a, b, *(np.column_stack([z * [1e6, 1e-6] + 3, z.sum(1), np.ones(len(z))]) for z in (x, y)))
    for ours, theirs in zip(again, residuals(*sample), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_sides_that_covariates_tell_apart_overlap_completely():
    assert residuals(np.eye(9), np.eye(9), np.ones(9), np.zeros(9))[2] == pytest.approx(1)


def test_a_contrast_that_is_only_length_disappears(rng):
    long, short = rng.normal(12, 2, 60), rng.normal(10, 2, 60)
    slopes = rng.normal(1, 0.1, 200)
    a, b = (np.outer(length, slopes) + rng.normal(0, 1, (60, 200)) for length in (long, short))
    assert (welch_from_samples(a, b).p <= 0.05).mean() > 0.9
    assert (permutation_test(*residuals(a, b, long, short)[:2], n=499).p <= 0.05).mean() < 0.12
    assert (permutation_test(*residuals(a + 3, b, long, short)[:2], n=499).p <= 0.05).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: residuals(np.eye(3), np.eye(3), [0, 1], [0, 1, 2]), "for 3 and 3 stimuli"),
        (lambda: residuals(np.eye(3), np.eye(3), [0, 1, 2], np.ones((3, 2))), "Give .stimulus, covariate."),
        (lambda: residuals(np.eye(3), np.eye(3), [0, 1, np.nan], [0, 1, 2]), "1 covariates are not finite"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
