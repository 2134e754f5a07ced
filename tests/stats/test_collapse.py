"""Answers that collapse are marked; answers that are wrong at random, or by chance, are not."""

from __future__ import annotations

import numpy as np
import pytest

from broca.errors import StatisticsError
from broca.stats.collapse import collapse


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_all_answers_on_one_value_are_a_collapse(rng):
    right = ["box", "basket"] * 20
    found = collapse(["box"] * 40, right)
    assert (found.value, found.given, found.right, found.excess, found.collapsed) == ("box", 1.0, 0.5, 1.0, True)
    assert found.p == pytest.approx(2 * 2 / 2**20)  # 20 answers left the other value, of two values


def test_coin_tosses_and_right_answers_are_none(rng):
    marked = 0
    for _ in range(200):
        right = rng.choice(["a", "b"], 40, p=[0.8, 0.2])
        marked += collapse(rng.choice(["a", "b"], 40).tolist(), right.tolist()).collapsed
    assert marked == 0
    same = collapse(["a", "b", "c"] * 5, ["a", "b", "c"] * 5)
    assert (same.excess, same.p, same.collapsed) == (0, 1, False)


def test_one_of_many_values_is_enough():
    right = [str(i % 10) for i in range(60)]
    given = [answer if i % 7 == 0 else "3" for i, answer in enumerate(right)]
    found = collapse(given, right)
    assert found.collapsed
    assert found.value == "3"
    assert found.excess == pytest.approx((np.mean([g == "3" for g in given]) - 0.1) / 0.9)


def test_a_bias_that_is_no_collapse_has_a_small_p_and_no_mark():
    right = [0, 1] * 50
    given = [0 if i % 4 == 1 else each for i, each in enumerate(right)]  # half of the ones become zeros
    found = collapse(given, right)
    assert found.excess == pytest.approx(0.5)
    assert found.p < 1e-4
    assert not found.collapsed


def test_a_handful_of_items_collapses_by_chance_and_is_not_marked():
    assert not collapse([0, 0, 0, 0], [0, 1, 0, 1]).collapsed
    assert collapse([0] * 20, [0, 1] * 10).collapsed


def test_answers_that_cannot_be_read_are_a_value():
    found = collapse([None] * 30, ["a", "b"] * 15)
    assert (found.value, found.right, found.collapsed) == (None, 0.0, True)


def test_groups_move_together_where_they_are_enough(rng):
    right = ["a", "b"] * 60
    wide = collapse(["a"] * 120, right, groups=np.arange(120) // 12)
    assert wide.p == 2 * 2 / 2**10
    assert collapse(["a"] * 120, right, groups=np.arange(120) // 40).collapsed, "three groups: items are counted"


def test_answers_without_items_are_refused():
    with pytest.raises(StatisticsError, match="1 answers to 2"):
        collapse(["a"], ["a", "b"])
    with pytest.raises(StatisticsError, match="0 answers"):
        collapse([], [])
