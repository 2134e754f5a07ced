"""Massive activations: the definition, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from broca.errors import StatisticsError
from broca.stats.massive import massive


@pytest.fixture
def states():
    values = np.random.default_rng(0).normal(0, 0.1, (50, 64))
    values[:, 7] = -40
    values[:5, 20] = 25
    return values


def test_coordinates_that_tower_over_their_rows_are_found(states):
    found = massive(states)
    assert np.flatnonzero(found.units).tolist() == [7, 20]
    assert found.share[[7, 20]] == pytest.approx([1.0, 0.1])
    assert found.largest[[7, 20]] == pytest.approx([40, 25])
    medians = np.median(np.abs(states), axis=1)
    np.testing.assert_allclose(found.ratio, (np.abs(states) / medians[:, None]).max(0))


def test_both_thresholds_must_be_passed(states):
    assert np.flatnonzero(massive(states, floor=30).units).tolist() == [7]
    assert not massive(states, ratio=1e4).units.any()
    assert not massive(states / 100).units.any()  # as far above its row, but below 1
    assert massive(states / 100, floor=0.1).units.sum() == 2


def test_the_model_scale_alone_makes_nothing_massive(states):
    assert np.flatnonzero(massive(states * 1e6).units).tolist() == [7, 20]
    assert not massive(np.random.default_rng(0).normal(0, 1e6, (20, 64))).units.any()


def test_zeros_and_dead_units_are_no_part_of_the_median(states):
    sparse = np.hstack([states, np.zeros((50, 500)), np.full((50, 3), np.nan)])
    found = massive(sparse)
    assert np.flatnonzero(found.units).tolist() == [7, 20]
    np.testing.assert_allclose(found.ratio[:64], massive(states).ratio)
    assert not found.largest[64:].any()
    assert not massive(np.zeros((2, 4))).units.any()


def test_one_row_will_do(states):
    np.testing.assert_array_equal(massive(states[0]).units, massive(states[:1]).units)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: massive(np.zeros((0, 4))), "not empty"),
        (lambda: massive(np.zeros((2, 2, 2))), "row, unit"),
        (lambda: massive([1.0, 2.0], ratio=0), "ratio is 0"),
        (lambda: massive([1.0, 2.0], floor=-1), "floor -1"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
