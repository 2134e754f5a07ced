from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.benchmarks import all_orders, shuffle_choices


def item(name, count, answer=0, group=""):
    return Item(name, "Which?", tuple(f"c{i}" for i in range(count)), answer % count, "a", group)


some = st.builds(item, st.sampled_from("xyz"), st.integers(1, 5), st.integers(0, 4), st.sampled_from(["", "g"]))


@given(st.lists(some, max_size=6), st.integers(0, 2**40))
def test_permuting_moves_choices_and_answer_together(items, seed):
    found = shuffle_choices(items, seed)
    assert found == shuffle_choices(items, seed)
    for before, after in zip(items, found, strict=True):
        assert sorted(after.choices) == sorted(before.choices)
        assert after.choices[after.answer] == before.choices[before.answer]
        assert [before.choices[int(i)] for i in after.tags["order"].split("-")] == list(after.choices)
        assert (after.id, after.prompt, after.group) == (before.id, before.prompt, before.group)


@given(some)
def test_all_orders_are_all_of_them_in_one_group(before):
    found = all_orders([before])
    count = len(before.choices)
    assert len({after.choices for after in found}) == len(found) == math.factorial(count)
    assert len({after.id for after in found}) == len(found)
    assert {after.group for after in found} == {before.cluster}
    assert all(after.choices[after.answer] == before.choices[before.answer] for after in found)
    assert [sum(after.answer == i for after in found) for i in range(count)] == [math.factorial(count - 1)] * count


def test_positions_even_out():
    found = shuffle_choices([item(str(i), 2) for i in range(2000)], seed=0)
    assert 900 < sum(after.answer for after in found) < 1100


def test_too_many_orders_and_no_seed():
    with pytest.raises(StimulusError, match=r"'x' has 6 choices, too many for all orders"):
        all_orders([item("x", 6)])
    with pytest.raises(StimulusError, match=r"seed is -1. Give 0 or more"):
        shuffle_choices([], -1)
