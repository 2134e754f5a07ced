"""The world of `beliefs`: answers are true in their stories, and nothing held out is ever in the training part."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broca.errors import StimulusError, UnknownName
from broca.items import Item
from broca.organisms.beliefs import benchmark
from broca.organisms.beliefs.courses import RIVALS
from broca.organisms.beliefs.exam import shortcuts
from broca.organisms.beliefs.phrases import Split, bank, expand, patterns
from broca.organisms.beliefs.story import held_out
from broca.organisms.beliefs.world import ABILITIES, items, narrative

seeds = st.integers(0, 10**6)
abilities = st.sampled_from(ABILITIES)
stories = st.sampled_from([ability for ability in ABILITIES if not ability.startswith("arithmetic")])
splits: st.SearchStrategy[Split] = st.sampled_from(["train", "held-out"])


def answer(item: Item) -> str:
    return item.choices[item.answer].strip()


@given(stories, seeds, splits)
@settings(max_examples=40)
def test_combinations_belong_to_one_part_alone(ability: str, seed: int, split: Split) -> None:
    for item in items(ability, 5, seed, split):
        assert held_out(*item.tags["names"].split()) == (split == "held-out")
        assert held_out(item.tags["thing"], *item.tags["values"].split()) == (split == "held-out")
        assert held_out(item.tags["course"], *item.tags["template"].split()) == (split == "held-out")
        assert item.tags["thing"] in re.findall(r"\w+", str(item.prompt))


@given(st.sampled_from(["arithmetic-easy", "arithmetic-hard"]), seeds, splits)
@settings(max_examples=40)
def test_sums_are_right_and_belong_to_one_part_alone(ability: str, seed: int, split: Split) -> None:
    for item in items(ability, 5, seed, split):
        a, b = map(int, item.tags["numbers"].split())
        assert held_out(str(a), str(b)) == held_out(str(b), str(a)) == (split == "held-out")
        assert {str(a), str(b)} <= set(re.findall(r"\d+", str(item.prompt)))
        assert answer(item) == str(a + b)
        assert len({len(choice) for choice in item.choices}) == 1
        carries = a % 10 + b % 10 > 9
        assert (carries and min(a, b) > 9) if ability == "arithmetic-hard" else (not carries or max(a, b) < 10)


@given(stories, seeds, splits)
@settings(max_examples=60)
def test_answers_follow_from_the_story(ability: str, seed: int, split: Split) -> None:
    for item in items(ability, 4, seed, split):
        right, now, origin = answer(item), item.tags["now"], item.tags["origin"]
        assert {"false-belief": right != now, "true-belief": right == now}.get(ability, True)
        assert {"reality": right == now, "memory": right == origin}.get(ability, True)
        if "belief" in ability:
            assert (item.tags["course"] in RIVALS) == (ability == "rival-belief")
        if ability == "photograph" and item.tags["kind"] == "photograph-after" and item.tags["course"].endswith("snap"):
            assert right == now
        if item.tags["course"] == "leave move return?":
            assert item.prompt.index("Question") > item.prompt.index(right) > 0  # type: ignore[union-attr]


@given(abilities, seeds, splits)
@settings(max_examples=30)
def test_items_are_the_same_from_the_same_seed_and_more_only_adds(ability: str, seed: int, split: Split) -> None:
    few = items(ability, 3, seed, split)
    assert few == items(ability, 6, seed, split)[:3]
    assert few != items(ability, 3, seed + 1, split)


@given(abilities, seeds)
@settings(max_examples=30)
def test_an_item_offers_two_words_of_one_form(ability: str, seed: int) -> None:
    for item in items(ability, 4, seed):
        assert str(item.prompt).endswith("\nAnswer:")
        assert item.ability == ability
        assert len(set(item.choices)) == 2
        assert all(re.fullmatch(r" \w+", choice) for choice in item.choices)
        assert not re.search(r"[{}|()*]|  ", str(item.prompt))


def test_the_right_choice_stands_first_in_half_of_the_items() -> None:
    first = np.mean([item.answer for ability in ABILITIES for item in items(ability, 200)])
    assert abs(first - 0.5) < 0.05


def test_held_out_phrases_have_no_word_that_training_lacks() -> None:
    words: dict[Split, set[str]] = {"train": set(), "held-out": set()}
    for split, seen in words.items():
        for name in patterns():
            for phrase in bank(name, split):
                seen |= set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", phrase.text).lower()))
    assert words["held-out"] - words["train"] == set()


@pytest.mark.parametrize(("pattern", "texts"), [("a (b|c) d", ["a b d", "a c d"]), ("x (y|).", ["x y.", "x."])])
def test_patterns_expand_to_each_choice(pattern: str, texts: list[str]) -> None:
    assert list(expand(pattern)) == texts


@pytest.mark.parametrize("name", ["belief", "photograph"])
def test_no_shortcut_solves_the_balanced_benchmarks(name: str) -> None:
    scores = shortcuts(benchmark(name, n=600))
    assert max(scores.values()) <= 0.6, scores
    assert min(scores.values()) >= 0.4, scores


def test_shortcuts_would_be_noticed() -> None:
    assert shortcuts(items("memory", 100))["original"] == 1.0
    assert shortcuts(benchmark("false-belief", n=200))["original"] > 0.75


def test_benchmarks_are_held_out_and_mixed_as_they_say() -> None:
    assert [item.ability for item in benchmark("belief", n=5)] == ["false-belief", "true-belief"] * 2 + ["false-belief"]
    assert benchmark("memory", n=4, seed=3) == items("memory", 4, 3, "held-out")
    assert {item.ability for item in benchmark("all", n=2)} == set(ABILITIES)
    assert len({item.id for item in benchmark("all", n=9)}) == 9 * len(ABILITIES)
    kinds = [item.tags["kind"] for item in benchmark("photograph", n=40)]
    assert kinds.count("photograph-before") == kinds.count("photograph-after") == 20


def test_unknown_names_are_answered_with_near_ones() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'false-belief'"):
        benchmark("false-beleif")
    with pytest.raises(UnknownName, match="Known"):
        items("painting", 1)
    with pytest.raises(UnknownName, match="held-out"):
        items("memory", 1, 0, "heldout")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="held-out"):
        narrative(1, 0, "test")  # type: ignore[arg-type]


@pytest.mark.parametrize("detail", [-0.1, 1.1, float("nan")])
def test_detail_is_a_share(detail: float) -> None:
    with pytest.raises(StimulusError, match=r"detail is .*\. Give 0 \(bare events\) to 1"):
        items("reality", 1, detail=detail)


def test_stories_without_detail_are_told_of_every_ability_without_a_rival() -> None:
    for ability in set(ABILITIES) - {"rival-belief"}:
        assert len({item.prompt for item in items(ability, 12, detail=0)}) > 6
