"""An observed value among draws."""

from __future__ import annotations

import numpy as np
import pytest

from broca.errors import StatisticsError
from broca.stats.nulls import empirical_p, quantile_band

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


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: empirical_p(1, []), "0 draws|of 0 null draws"),
        (lambda: empirical_p(1, [1, np.nan]), "1 of 2 null draws are NaN"),
        (lambda: empirical_p(1, [1], "above"), "two-sided"),
        (lambda: quantile_band([1, 2], level=0), "level is 0"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
