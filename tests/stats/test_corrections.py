"""Corrections against SciPy and against their definitions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.corrections import _hommel, bh, holm, true_share

GENERATOR = np.random.default_rng(3)
P = np.concatenate([GENERATOR.uniform(size=40), GENERATOR.uniform(0, 1e-3, 12), [0.0, 1.0, 0.02, 0.02]]).reshape(8, 7)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_bh_is_scipys():
    np.testing.assert_array_equal(bh(P), stats.false_discovery_control(P.ravel()).reshape(P.shape))


def test_dead_units_are_no_tests():
    with_dead = np.concatenate([[np.nan], P.ravel(), [np.nan, np.nan]])
    for correction in (bh, holm):
        np.testing.assert_array_equal(correction(with_dead)[1:-2], correction(P).ravel())
        assert np.isnan(correction(with_dead)[[0, -1, -2]]).all()


def test_holm_and_bh_are_statsmodels():
    from statsmodels.stats.multitest import multipletests

    np.testing.assert_allclose(holm(P).ravel(), multipletests(P.ravel(), method="holm")[1], rtol=1e-12)
    np.testing.assert_allclose(bh(P).ravel(), multipletests(P.ravel(), method="fdr_bh")[1], rtol=1e-12)


def test_holm_steps_down():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert (holm(P) >= P).all()
    assert (holm(P) <= np.minimum(P * P.size, 1)).all()


def brute_force_share(p, chosen, alpha):
    """Closed testing with Simes' test: the largest part of the chosen that no rejection contradicts."""

    def rejected(members):
        ordered = np.sort(p[list(members)])
        return bool((ordered * len(ordered) <= np.arange(1, len(ordered) + 1) * alpha).any())

    every = [s for k in range(1, len(p) + 1) for s in combinations(range(len(p)), k)]
    kept = [set(s) for s in every if not rejected(s)]
    largest_null = max((len(s & chosen) for s in kept), default=0)
    return (len(chosen) - largest_null) / len(chosen)


@pytest.mark.parametrize("seed", range(12))
def test_the_true_share_is_that_of_closed_testing(seed):
    generator = np.random.default_rng(seed)
    p = np.where(generator.random(8) < 0.5, generator.uniform(0, 0.03, 8), generator.uniform(size=8))
    chosen = set(np.argsort(p)[: generator.integers(1, 8)].tolist())
    flags = np.isin(np.arange(8), list(chosen))
    assert true_share(p, flags, alpha=0.1) == pytest.approx(brute_force_share(p, chosen, 0.1))


@pytest.mark.parametrize("seed", range(20))
def test_the_true_share_where_p_lies_on_the_line(seed):
    generator = np.random.default_rng(seed)
    p = generator.choice([1, 2, 4, 8, 16, 32, 64], 7) / 256  # exact in binary, as is alpha
    flags = generator.random(7) < 0.6
    flags[0] = True
    assert true_share(p, flags, alpha=0.125) == brute_force_share(p, set(np.flatnonzero(flags).tolist()), 0.125)


def test_a_p_on_the_line_of_hommels_h_counts():
    p, flags = np.array([3, 8, 10, 21, 44, 75]) / 256, np.array([1, 1, 0, 0, 1, 0], bool)
    assert true_share(p, flags, alpha=0.125) == brute_force_share(p, {0, 1, 4}, 0.125) == 2 / 3


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("seed", range(15))
def test_the_true_share_is_nilearns(seed, alpha):
    from nilearn.glm.thresholding import _compute_hommel_value, _true_positive_fraction

    generator = np.random.default_rng(seed)
    z = generator.normal(size=400) + 3 * (generator.random(400) < 0.05 * (seed % 5))
    p = stats.norm.sf(z)
    assert _hommel(np.sort(p), alpha) == _compute_hommel_value(z, alpha)
    for k in (1, 4, 20, 100, 400):
        chosen = np.isin(np.arange(400), np.argsort(-z)[:k] if seed % 2 else generator.choice(400, k, replace=False))
        theirs = _true_positive_fraction(z[chosen], _compute_hommel_value(z, alpha), alpha)
        assert true_share(p, chosen, alpha=alpha) == pytest.approx(theirs, abs=1e-12)


def test_where_every_test_is_rejected_the_share_is_1_and_nilearns_exceeds_it():
    from nilearn.glm.thresholding import _compute_hommel_value, _true_positive_fraction

    z = np.linspace(5, 9, 20)
    assert true_share(stats.norm.sf(z), np.ones(20, bool)) == 1
    assert _true_positive_fraction(z, _compute_hommel_value(z, 0.05), 0.05) == 1.05  # counts one too many


def test_the_true_share_of_noise_is_hardly_ever_positive():
    generator = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        p = generator.uniform(size=200)
        wrong += true_share(p, p <= np.sort(p)[9]) > 0
    assert wrong <= 30  # 15 expected at alpha 0.05; P(more than 30) < 1e-4


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bh([np.nan, np.nan]), "None of 2"),
        (lambda: holm([]), "None of 0"),
        (lambda: bh([0.1, 1.2]), "A p-value is 1.2"),
        (lambda: true_share([0.1, 0.2], [False, False]), "None of the tests is chosen"),
        (lambda: true_share([0.1, 0.2], [True]), "one flag per test"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
