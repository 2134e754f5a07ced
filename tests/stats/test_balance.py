"""Weights under which every answer counts equally."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.stats.balance import LEAST, balanced_weights


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_values_of_five_items_or_more_have_equal_totals(values):
    weights = balanced_weights(values)
    assert weights.mean() == pytest.approx(1)
    assert (weights > 0).all()
    counts = np.bincount(values, minlength=4)
    totals = np.bincount(values, weights, minlength=4)[counts >= LEAST]
    assert np.allclose(totals, totals[:1])


def test_balanced_items_keep_their_weight():
    np.testing.assert_allclose(balanced_weights([0, 1] * 20, ["a", "a", "b", "b"] * 10), 1)


def test_two_factors_are_balanced_at_once():
    rng = np.random.default_rng(0)
    place, word = rng.choice([0, 1], 200, p=[0.8, 0.2]), rng.choice(list("abc"), 200, p=[0.6, 0.3, 0.1])
    weights = balanced_weights(place, word)
    np.testing.assert_allclose(np.bincount(place, weights), 100, rtol=1e-6)
    np.testing.assert_allclose([weights[word == w].sum() for w in "abc"], 200 / 3, rtol=1e-6)


def test_a_bias_towards_one_answer_is_no_loss():
    """Four fifths of the answers lie in the half that a lesion disfavours: raw accuracy falls, balanced accuracy does not."""
    answer = np.repeat([0, 1], [80, 20])
    lost = np.where(answer == 0, 0.5, -0.5)
    assert lost.mean() == pytest.approx(0.3)
    assert np.average(lost, weights=balanced_weights(answer)) == pytest.approx(0)
