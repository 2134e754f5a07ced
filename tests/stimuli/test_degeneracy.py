from __future__ import annotations

import pytest

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.degeneracy import FEW, flags, refuse_constant
from broca.stimuli.orders import shuffle_choices


def items(keys, choices=("Yes", "No"), n=12, **more):
    return [Item(str(i), f"Story {i}?", choices, keys[i % len(keys)], "a", **more) for i in range(n)]


def test_a_constant_key_is_told_and_refused():
    assert flags(items([0])) == ("a: every answer is 'yes'; accuracy is a liking for it.",)
    with pytest.raises(StimulusError, match=r"f.json: all 12 items of 'a' have the answer 'no'"):
        refuse_constant("f.json", items([1]))
    refuse_constant("f.json", items([0, 1]))
    refuse_constant("f.json", items([1], n=FEW - 1))
    assert flags(items([1], n=FEW - 1)) == ()


def test_letters_stand_for_what_is_behind_them():
    asked = [
        Item(str(i), f"Story {i}?", ("a", "b"), i % 2, "a", tags={"options": "Yes|No" if i % 2 == 0 else "No|Yes"})
        for i in range(12)
    ]
    assert flags(asked) == ("a: every answer is 'yes'; accuracy is a liking for it.",)


def test_a_constant_place_and_what_heals_it():
    asked = [Item(str(i), f"Story {i}?", (f"x{i}", f"y{i}"), 0, "a") for i in range(40)]
    assert flags(asked) == ("a: the right choice is always number 1; shuffle the choices (permuted).",)
    assert flags(shuffle_choices(asked, 3)) == ()


def test_shortcuts_and_twins():
    asked = [Item(str(i), f"In the box {i} or in the bag {i}?", (f"bag {i}", f"box {i}"), 1, "a") for i in range(10)]
    assert any("the shortcut first-mentioned alone scores 100%" in told for told in flags(asked))
    same = [Item(str(i), "Where?", ("box", "bag"), i % 2, "a") for i in range(10)]
    assert flags(same) == ("a: 9 of 10 items repeat another one word for word.",)


def test_abilities_are_looked_at_apart():
    other = [Item(f"o{i}", f"Story {i}", ("x", "y"), i % 2, "b") for i in range(12)]
    assert [told[:2] for told in flags([*items([0]), *other])] == ["a:"]


def test_pass_keys():
    asked = benchmark("passkey", n=40)
    assert asked == benchmark("passkey", n=40) != benchmark("passkey", n=40, seed=1)
    assert asked[:10] == benchmark("passkey", n=10)
    assert flags(asked) == ()
    for item in asked:
        key, name = item.choices[item.answer], item.prompt.rpartition("What is ")[2].partition("'s")[0]
        assert f"{name}'s pass key is {key}." in item.prompt
        assert len(item.choices) == len(set(item.choices)) == 4
        assert all(len(choice) == 6 and choice in item.prompt for choice in item.choices)
    alone = benchmark("passkey", n=10, decoys=0, digits=3, sentences=50)
    assert any("first-mentioned" in told for told in flags(alone))
    assert {sum(choice in item.prompt for choice in item.choices) for item in alone} == {1}
    assert len(alone[0].prompt.split()) > 300


@pytest.mark.parametrize("depth", [0.0, 1.0])
def test_the_place_of_a_pass_key(depth):
    (item,) = benchmark("passkey", n=1, decoys=0, depth=depth)
    text = item.prompt.partition("\nQuestion")[0]
    key = f"pass key is {item.choices[item.answer]}."
    assert text.endswith(key) if depth else key in text[: len(key) + 20]


@pytest.mark.parametrize("bad", [{"n": 0}, {"digits": 1}, {"depth": 1.5}, {"decoys": 12}, {"sentences": 0}])
def test_pass_keys_out_of_range(bad):
    with pytest.raises(StimulusError, match=r"Give|greater than or equal to 1; 0 was given"):
        benchmark("passkey", **bad)
