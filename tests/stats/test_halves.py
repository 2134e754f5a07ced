"""Halves part what they say, keep groups whole where they can, and are as large as each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import StatisticsError
from broca.stats.halves import LEAST, halves, margin_halves, value_halves


def test_items_alone_are_parted_at_the_median():
    margin = np.random.default_rng(0).normal(size=31)
    slim = margin_halves(margin)
    assert slim.sum() in {15, 16}
    assert margin[slim].max() < margin[~slim].min()
    assert (margin_halves(margin, np.arange(31)) == slim).all()


@given(st.integers(0, 10_000), st.integers(2, 30))
def test_groups_stay_whole_or_stand_on_both_sides(seed, k):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(k), rng.integers(2, 6, k))
    margin = rng.normal(size=len(groups)).round(1)
    slim = margin_halves(margin, groups)
    if len(groups) < 2 * LEAST:
        assert slim is None
        return
    share = np.bincount(groups, slim) / np.bincount(groups)
    if k >= 2 * LEAST:
        assert set(share) <= {0.0, 1.0}
        assert min(share.sum(), k - share.sum()) >= LEAST
        means = np.bincount(groups, margin) / np.bincount(groups)
        assert means[share == 1].max() <= means[share == 0].min()
    elif slim is not None:
        assert (share > 0).all()
        assert (share < 1).all()
        for group in range(k):
            inside = groups == group
            assert margin[slim & inside].max() <= margin[~slim & inside].min()
        assert abs(slim.sum() - (~slim).sum()) <= 1 + k % 2 * 2 + k // 2


def test_items_without_a_margin_are_slim():
    margin = np.r_[np.full(4, np.nan), np.arange(8.0)]
    assert margin_halves(margin)[:4].all()
    assert "intact margin" not in halves(np.full(12, np.nan), {})


def test_values_are_parted_whole_and_evenly():
    values = ["a"] * 12 + ["b"] * 9 + ["c"] * 8 + ["d"] * 1
    first = value_halves(values)
    assert {value for value, here in zip(values, first, strict=True) if here} == {"a", "d"}
    assert {value for value, here in zip(values, first, strict=True) if not here} == {"b", "c"}
    assert value_halves([0, 1] * 10).sum() == 10


@pytest.mark.parametrize("values", [["a"] * 30, ["a"] * 30 + ["b"] * 4, []])
def test_where_a_half_would_be_too_small_there_is_none(values):
    assert value_halves(values) is None


def test_all_halves_have_their_names():
    found = halves(np.arange(20.0), {"answer": ["x", "y"] * 10, "position": [0] * 20})
    assert list(found) == ["intact margin", "answer"]
    with pytest.raises(StatisticsError, match="one an item"):
        halves(np.arange(20.0), {"answer": ["x"]})
    with pytest.raises(StatisticsError, match="one group an item"):
        margin_halves(np.arange(20.0), [1, 2])
