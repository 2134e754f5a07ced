"""Reducers are monoids, and their statistics are NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from broca.capture import Covariance, Extremes, Gather, Moments

VALUES = arrays(np.float64, st.tuples(st.integers(2, 12), st.just(3)), elements=st.floats(-1e3, 1e3, width=32))


def fed(kind, *parts):
    reducer = kind()
    for part in parts:
        reducer.update(part)
    return reducer


@given(VALUES, st.integers(0, 12))
def test_moments_of_parts_add_up_to_numpys(values, cut):
    whole = fed(Moments, values[:cut]) + fed(Moments, values[cut:])
    assert whole.count == len(values)
    np.testing.assert_allclose(whole.mean, values.mean(0), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(whole.variance, values.var(0, ddof=1), rtol=1e-9, atol=1e-6)


def test_moments_keep_their_precision_under_a_large_offset():
    values = np.array([[0.1], [0.2], [0.3], [0.4]]) + 1e8
    np.testing.assert_allclose(fed(Moments, values[:2], values[2:]).variance, values.var(0, ddof=1), rtol=1e-6)


def test_moments_of_one_value_have_no_variance():
    assert np.isnan(fed(Moments, np.ones((1, 2))).variance).all()


@given(VALUES, st.integers(0, 12))
def test_covariance_is_numpys(values, cut):
    whole = fed(Covariance, values[:cut]) + fed(Covariance, values[cut:])
    np.testing.assert_allclose(whole.result(), np.cov(values.T), rtol=1e-9, atol=1e-5)


@given(VALUES, st.integers(0, 12))
def test_extremes_say_which_stimulus_came_first(values, cut):
    whole = fed(Extremes, values[:cut]) + fed(Extremes, values[cut:])
    np.testing.assert_array_equal(whole.low, values.min(0))
    np.testing.assert_array_equal(whole.high_at, values.argmax(0))
    np.testing.assert_array_equal(whole.low_at, values.argmin(0))


@given(VALUES, st.integers(0, 12))
def test_gather_keeps_the_order(values, cut):
    np.testing.assert_array_equal((fed(Gather, values[:cut]) + fed(Gather, values[cut:])).result(), values)


@pytest.mark.parametrize("kind", [Moments, Covariance, Extremes, Gather])
def test_the_empty_reducer_is_neutral(kind):
    values = np.arange(6.0).reshape(3, 2)
    left, right = kind() + fed(kind, values), fed(kind, values) + kind()
    for a, b in zip(_arrays(left.result()), _arrays(right.result()), strict=True):
        np.testing.assert_array_equal(a, b)
    assert _arrays((kind() + kind()).result()) is not None


def _arrays(result):
    if isinstance(result, np.ndarray):
        return [result]
    return [np.asarray(getattr(result, name)) for name in result.__slots__]
