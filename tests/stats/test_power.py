"""Power against statsmodels, quadrature, enumeration and simulation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special, stats
from scipy.stats import multinomial

from broca.errors import StatisticsError
from broca.stats import power
from broca.stats.mean_tests import paired_t, welch_from_samples
from broca.stats.pairs import mcnemar_exact


@pytest.mark.parametrize("d", [0.0, 0.2, 0.5, -0.8, 1.2])
@pytest.mark.parametrize("n", [5, 20, 50, 200])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_it_is_statsmodels(d, n, alpha):
    from statsmodels.stats.power import tt_ind_solve_power, tt_solve_power

    for ours, theirs in ((power.welch_power, tt_ind_solve_power), (power.paired_power, tt_solve_power)):
        expected = theirs(d, n, alpha)
        if np.isnan(expected):  # SciPy's nct, on which statsmodels stands, fails in far tails
            assert ours(d, n, alpha=alpha) > 0.999
        else:
            assert ours(d, n, alpha=alpha) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("df", [2.0, 5.5, 38.0, 5000.0])
@pytest.mark.parametrize("shift", [0.3, 5.0, 12.0])
@pytest.mark.parametrize("alpha", [0.05, 1e-4, 1e-7])
def test_far_tails_are_those_of_another_integral(df, shift, alpha):
    critical = -special.stdtrit(df, alpha / 2)

    def found(s):  # given the standard deviation s that the sample shows, in true ones
        density = stats.chi.pdf(s * df**0.5, df) * df**0.5
        return (special.ndtr(shift - critical * s) + special.ndtr(-shift - critical * s)) * density

    edges = np.unique(
        np.clip(
            [0, shift / critical, (shift + 9) / critical, 1 - 8 / df**0.5, 1, 1 + 8 / df**0.5, 2 + 16 / df**0.5],
            0,
            None,
        )
    )
    pieces = [integrate.quad(found, a, b, limit=200)[0] for a, b in pairwise(edges)]
    assert power._t_power(shift, df, alpha) == pytest.approx(sum(pieces), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("d", "n_a", "n_b", "tests"), [(0.5, 40, 40, 1), (1.0, 12, 30, 1), (1.2, 50, 50, 1000)])
def test_it_is_what_simulation_finds(d, n_a, n_b, tests):
    generator = np.random.default_rng(1)
    a, b = generator.normal(d, 1, (n_a, 20_000)), generator.normal(0, 1, (n_b, 20_000))
    found = (welch_from_samples(a, b).p <= 0.05 / tests).mean()
    assert power.welch_power(d, n_a, n_b, tests=tests) == pytest.approx(found, abs=0.015)


def test_pairs_too():
    differences = np.random.default_rng(2).normal(0.4, 1, (30, 20_000))
    found = (paired_t(differences, 0 * differences).p <= 0.05).mean()
    assert power.paired_power(0.4, 30) == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize("m_rho", [(6, 0.3), (6, 0.0), (6, 1.0), (1, 0.9)])
def test_clustered_stimuli_are_worth_their_design_effect(m_rho):
    m, rho = m_rho
    generator = np.random.default_rng(3)
    sides = []
    for mean in (0.6, 0.0):
        shared = np.repeat(generator.normal(0, rho**0.5, (20, 4000)), m, axis=0)
        sides.append(mean + shared + generator.normal(0, (1 - rho) ** 0.5, (20 * m, 4000)))
    by_cluster = [side.reshape(20, m, -1).mean(1) for side in sides]  # what a test that respects clusters sees
    found = (welch_from_samples(*by_cluster).p <= 0.05).mean()
    assert power.welch_power(0.6, 20 * m, m=m, rho=rho) == pytest.approx(found, abs=0.04)
    assert power.design_effect(m, rho) == pytest.approx(1 + (m - 1) * rho)


@pytest.mark.parametrize(("lost", "gained", "n"), [(0.3, 0.1, 8), (0.5, 0.0, 12), (0.4, 0.4, 10), (0.05, 0.02, 9)])
def test_mcnemars_power_is_that_of_all_outcomes(lost, gained, n):
    total = 0.0
    for x in range(n + 1):
        for y in range(n + 1 - x):
            p = stats.binomtest(x, x + y).pvalue if x + y else 1.0
            total += (p <= 0.05) * multinomial.pmf([x, y, n - x - y], n, [lost, gained, 1 - lost - gained])
    assert power.mcnemar_power(lost, gained, n) == pytest.approx(total, abs=1e-9)


def test_mcnemars_power_is_what_simulation_finds():
    generator = np.random.default_rng(4)
    before = generator.random((1500, 120)) < 0.8
    after = np.where(generator.random(before.shape) < 0.2, ~before, before)
    found = np.mean([mcnemar_exact(a, b).p <= 0.05 for a, b in zip(before, after, strict=True)])
    assert power.mcnemar_power(0.16, 0.04, 120) == pytest.approx(found, abs=0.04)


@pytest.mark.parametrize("more", [{}, {"tests": 10_000}, {"power": 0.95}, {"m": 5, "rho": 0.2}, {"alpha": 0.01}])
def test_what_is_needed_undoes_power(more):
    wanted = more.get("power", 0.8)
    how = {name: value for name, value in more.items() if name != "power"}
    for function, needed in ((power.welch_power, power.welch_needed), (power.paired_power, power.paired_needed)):
        n = needed(0.4, **more)
        assert function(0.4, n, **how) >= wanted > function(0.4, n - 1, **how)


def test_numbers_a_reader_can_check():
    assert power.welch_needed(0.5) == 64  # Cohen (1988), table 2.4.1
    assert power.paired_needed(0.5) == 34
    assert power.welch_needed(50) == 2
    assert power.mcnemar_power(1, 0, 5) == 0  # 2 / 2^5 > 0.05
    assert power.mcnemar_power(1, 0, 6) == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: power.welch_power(0.5, 1), "worth 1. Give at least 2"),
        (lambda: power.welch_power(0.5, 10, m=10, rho=1), "worth 1. Give at least 20"),
        (lambda: power.welch_power(0.5, 10, alpha=0), "alpha is 0"),
        (lambda: power.welch_power(0.5, 10, tests=0), "0 tests"),
        (lambda: power.welch_power(0.5, 10, rho=2, m=2), "rho 2"),
        (lambda: power.welch_needed(0), "d is 0"),
        (lambda: power.welch_needed(0.5, power=1), "power is 1"),
        (lambda: power.paired_needed(1e-9), "No feasible number"),
        (lambda: power.mcnemar_power(0.7, 0.5, 10), "sum to 1"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
