"""An observed value among draws."""

from __future__ import annotations

import numpy as np
import pytest

from broca.errors import StatisticsError
from broca.stats.nulls import dose_area, dose_response, empirical_p, quantile_band

NULL = np.arange(1, 20.0)


@pytest.mark.parametrize(
    ("observed", "side", "p"),
    [
        (20.0, "greater", 1 / 20),
        (19.0, "greater", 2 / 20),
        (0.0, "greater", 1.0),
        (0.0, "less", 1 / 20),
        (1.0, "less", 2 / 20),
        (20.0, "two-sided", 2 / 20),
        (0.0, "two-sided", 2 / 20),
        (10.0, "two-sided", 1.0),
    ],
)
def test_p_counts_itself_among_the_draws(observed, side, p):
    assert empirical_p(observed, NULL[::-1], side) == pytest.approx(p)


def test_p_of_many_values_at_once():
    np.testing.assert_allclose(empirical_p([[20, np.nan, 1]], NULL, "greater"), [[0.05, np.nan, 1.0]])


def test_the_band_is_numpys_quantiles():
    band = quantile_band(NULL, level=0.9)
    assert (band.value, band.low, band.high) == (10, *np.quantile(NULL, [0.05, 0.95]))
    assert 10 in band
    assert 1 not in band


def test_the_area_is_the_mean_effect_over_the_doses():
    assert dose_area([0, 1, 4], [0, -0.2, -0.2]) == pytest.approx(-(0.1 * 1 + 0.2 * 3) / 4)
    assert dose_area([0, 2], [0.3, 0.3]) == pytest.approx(0.3)
    many = np.random.default_rng(0).normal(size=(5, 7, 4))
    doses = [0, 0.5, 1, 5]
    np.testing.assert_allclose(dose_area(doses, many)[2, 3], np.trapezoid(many[2, 3], doses) / 5)


def test_a_curve_is_compared_with_those_of_draws():
    generator = np.random.default_rng(1)
    doses = [0, 1, 2, 5]
    draws = -0.02 * np.array(doses) * generator.normal(1, 0.5, (199, 1))
    found = dose_response(doses, -0.1 * np.array(doses), draws, side="less")
    areas = dose_area(doses, draws)
    assert found.area == pytest.approx(-0.25)
    assert found.p == 1 / 200
    assert found.null == quantile_band(areas)
    middling = dose_response(doses, draws[0], draws, side="less")
    assert middling.p == pytest.approx((1 + (areas <= areas[0]).sum()) / 200)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: empirical_p(1, []), "0 draws|of 0 null draws"),
        (lambda: empirical_p(1, [1, np.nan]), "1 of 2 null draws are NaN"),
        (lambda: empirical_p(1, [1], "above"), "two-sided"),
        (lambda: quantile_band([1, 2], level=0), "level is 0"),
        (lambda: dose_area([1], [1]), "2 or more in rising order"),
        (lambda: dose_area([0, 2, 1], [1, 2, 3]), "rising order"),
        (lambda: dose_area([0, 1], [1, 2, 3]), "for 2 doses"),
        (lambda: dose_response([0, 1], [1, 2], np.zeros((0, 2))), "of 0 null draws"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
