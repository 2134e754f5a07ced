"""Clustered logistic regression against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.api import Logit as Reference
from statsmodels.api import add_constant

from broca.errors import StatisticsError
from broca.stats.logit import logit


def data(seed, slope=1.0, n=300, scale=1.0):
    draw = np.random.default_rng(seed)
    group = draw.integers(0, 40, n)
    x = scale * (draw.normal(size=n) + 3 + draw.normal(size=40)[group])
    y = draw.random(n) < 1 / (1 + np.exp(-slope * (x / scale - 3) - draw.normal(size=40)[group]))
    return y, x, group


@pytest.mark.parametrize("scale", [1.0, 0.1, 30.0])
@pytest.mark.parametrize("seed", range(3))
def test_slope_interval_and_p_are_statsmodels(seed, scale):
    y, x, group = data(seed, scale=scale)
    found = logit(y, x, groups=group)
    fit = Reference(y.astype(float), add_constant(x / scale)).fit(
        disp=0, cov_type="cluster", cov_kwds={"groups": group}, tol=1e-12, method="newton"
    )
    low, high = fit.conf_int()[1]
    assert found.slope.value * scale == pytest.approx(fit.params[1], rel=1e-6)
    assert (found.slope.low * scale, found.slope.high * scale) == pytest.approx((low, high), rel=1e-6)
    assert found.p == pytest.approx(fit.pvalues[1], rel=1e-5)
    assert found.intercept == pytest.approx(fit.params[0], rel=1e-6)
    assert (found.n, found.n_clusters) == (300, len(set(group)))


def test_no_link_is_found_where_there_is_none():
    low = sum(logit(*data(seed, slope=0.0)[:2]).p <= 0.05 for seed in range(100, 300))
    assert low < 40  # clusters ignored: too many, but the fit itself is no nonsense
    held = sum(logit(y, x, groups=g).p <= 0.05 for y, x, g in (data(seed, slope=0.0) for seed in range(100, 300)))
    assert held <= low
    assert held < 22


def test_what_has_no_estimate_is_refused():
    x = np.arange(10.0)
    for y in (x > 4, x <= 4):
        with pytest.raises(StatisticsError, match="separates the answers completely"):
            logit(y, x)
    with pytest.raises(StatisticsError, match="answers of both kinds"):
        logit(np.ones(10), x)
    with pytest.raises(StatisticsError, match="3 or more clusters"):
        logit(x % 2, x, groups=x > 4)
    with pytest.raises(StatisticsError, match="10 answers, 9 values"):
        logit(x % 2, x[:9])
