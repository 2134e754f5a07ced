from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import StimulusError
from broca.items import Item, Message
from broca.stimuli.blind_rules import BASELINES, baselines, mention_index


def item(prompt, choices, answer=0, ability="a"):
    return Item("i", prompt, tuple(choices), answer, ability)


def accuracies(*items):
    return {(ability, name): value for ability, name, value in baselines(items).rows()}


def test_each_shortcut_by_hand():
    found = accuracies(
        item("The key is in the box. Then in the bag.", ["bag", "box"], 1),
        item("The key is in the bag. Then in the box.", ["box", "bag"], 0),
        item("The key is in the box. Then in the bag.", ["bag", "box"], 0),
        item("Where?", ["Box", "tin", "sack", "bag"], 0),
    )
    assert found == {
        ("a", "majority"): 0.75,  # box three times, whatever its case
        ("a", "majority-position"): 0.75,
        ("a", "first-mentioned"): (1 + 0 + 0 + 0.25) / 4,
        ("a", "last-mentioned"): (0 + 1 + 1 + 0.25) / 4,
        ("a", "chance"): (3 * 0.5 + 0.25) / 4,
    }


@pytest.mark.parametrize(
    ("prompt", "choices", "first", "last"),
    [
        ("the BOX, the bag", ["bag", "box"], 1, 0),
        ("a boxer and a bag", ["box", "bag"], 1, 1),
        ("the box of tea", ["box", "box of tea"], 1, 1),
        ("box bag box", ["bag", "box"], 1, 1),
        ("Box or box", ["box", "BOX"], 0, 0),
        ("is 5 (yes) or c++", ["c++", "(yes)"], 1, 0),
        ("nothing", ["box", "bag"], None, None),
    ],
)
def test_mentions_are_whole_words_in_any_case_and_ties_go_to_the_longer(prompt, choices, first, last):
    assert mention_index(item(prompt, choices)) == first
    assert mention_index(item(prompt, choices), last=True) == last


def test_chats_are_searched_too():
    chat = (Message("system", "the bag"), Message("user", "the box"))
    assert mention_index(Item("i", chat, ("box", "bag"), 0)) == 1


def test_abilities_are_kept_apart_and_in_order():
    found = baselines([item("x", "ab", 0, "z"), item("x", "ab", 1, "y"), item("x", "ab", 1, "z")])
    assert found.schema == {"ability": pl.String, "baseline": pl.String, "accuracy": pl.Float64}
    assert found["ability"].to_list() == ["z"] * 5 + ["y"] * 5
    assert found.filter(pl.col("baseline") == "majority")["accuracy"].to_list() == [0.5, 1.0]


@given(
    st.lists(
        st.builds(
            item, st.text("ab c", min_size=1), st.just(["a", "b", "c"]), st.integers(0, 2), st.sampled_from("xy")
        ),
        min_size=1,
    )
)
def test_accuracies_are_accuracies(items):
    found = baselines(items)
    assert found.height == len(BASELINES) * len({i.ability for i in items})
    assert found["accuracy"].is_between(0, 1).all()
    table = accuracies(*items)
    for ability in {i.ability for i in items}:
        assert table[ability, "majority-position"] >= table[ability, "chance"] - 1e-12


def test_no_items():
    with pytest.raises(StimulusError, match=r"no items to take baselines of"):
        baselines([])
