"""Components of streamed differences are scikit-learn's, however the stream was cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from broca.capture.spread import NARROW, Spread


def values_of(n, units, seed=0):
    """Rows with five strong directions, far from the origin: ``(stimulus, site, unit)``."""
    draw = np.random.default_rng(seed)
    strong = draw.normal(size=(n, 2, 5)) * [9, 6, 4, 3, 2]
    return 50 + strong @ draw.normal(size=(2, 5, units)).transpose(0, 1, 2)[0] + 0.3 * draw.normal(size=(n, 2, units))


def fed(*parts):
    spread = Spread()
    for part in parts:
        spread.update(part)
    return spread


@pytest.mark.parametrize(
    ("units", "n", "tolerance"), [(12, 40, 1e-9), (NARROW + 40, 90, 1e-9), (NARROW + 40, 700, 1e-3)]
)
def test_components_are_sklearns(units, n, tolerance):
    values = values_of(n, units)
    found = sum((fed(values[i : i + 64]) for i in range(0, n, 64)), Spread()).result(5)
    for site in range(2):
        pca = PCA(5).fit(values[:, site])
        np.testing.assert_allclose(found.explained[site], pca.explained_variance_ratio_, rtol=tolerance)
        assert found.coordinate[site] == np.abs(pca.components_[0]).argmax()
        assert found.share[site] == pytest.approx(np.abs(pca.components_[0]).max(), rel=tolerance)


@settings(max_examples=25)
@given(st.integers(0, 30), st.sampled_from([8, NARROW + 4]), st.integers(0, 5))
def test_cuts_do_not_show(cut, units, seed):
    values = values_of(30, units, seed)
    whole, parts = fed(values).result(), (fed(values[:cut]) + fed(values[cut:])).result()
    np.testing.assert_allclose(parts.explained, whole.explained, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(parts.share, whole.share, rtol=1e-6)
    fed_twice = fed(values[:cut], values[cut:]).result()
    np.testing.assert_allclose(fed_twice.explained, parts.explained, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("units", [20, NARROW + 20])
def test_coordinates_can_be_left_out(units):
    values = values_of(60, units)
    values[:, :, 3] *= 1000
    left_out = np.zeros((2, units), bool)
    left_out[:, 3] = True
    whole, robust = fed(values).result(2), fed(values).result(2, left_out)
    assert whole.coordinate.tolist() == [3, 3]
    assert whole.share.min() > 0.99
    pca = PCA(2).fit(np.delete(values[:, 0], 3, 1))
    np.testing.assert_allclose(robust.explained[0], pca.explained_variance_ratio_, rtol=1e-8)
    np.testing.assert_allclose(robust.share[0], np.abs(pca.components_[0]).max(), rtol=1e-6)


def test_what_does_not_vary_has_no_components():
    found = fed(np.ones((4, 1, 6))).result(8)
    assert found.explained.shape == (1, 8)
    assert np.isnan(found.explained).all()
    assert np.isnan(found.share).all()
