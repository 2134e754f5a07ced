"""Laws of every ability in natural language, at every level, and what is said of single ones."""

from __future__ import annotations

from collections import Counter

import pytest

from broca.errors import StimulusError, UnknownName
from broca.stimuli.benchmarks import BENCHMARKS, benchmark
from broca.stimuli.blind_rules import baselines
from broca.stimuli.contrasts import contrast
from broca.stimuli.natural import ABILITIES
from broca.stimuli.natural.controls import CONTRASTS, RECALLED
from broca.stimuli.natural.lists import countries, lists, rows
from broca.stimuli.natural.questions import MOST_SHOTS
from broca.writing import occurrences

LEVELS = ("easy", "usual", "hard")
EVERY = [(name, level) for name in ABILITIES for level in LEVELS]
every = pytest.mark.parametrize(("name", "level"), EVERY)


def asked(item):
    return item.prompt.rpartition("\n")[2]


@every
def test_it_is_large_and_spread_over_groups(name, level):
    items = benchmark(name, level=level)
    assert len(items) >= 200
    groups = Counter(item.group for item in items)
    assert len(groups) >= 20
    assert max(groups.values()) <= len(items) / 8
    assert {item.ability for item in items} == {name}
    assert len({item.id for item in items}) == len(items)
    assert len({(item.prompt, frozenset(item.choices)) for item in items}) >= 0.9 * len(items)


@every
def test_kinds_of_answers_and_their_positions_are_balanced(name, level):
    items = benchmark(name, level=level)
    kinds = Counter(item.tags["kind"] for item in items)
    assert max(kinds.values()) - min(kinds.values()) <= 1
    places = Counter(item.answer for item in items)
    assert len(places) == len(items[0].choices)
    assert max(places.values()) - min(places.values()) <= len(items) * 0.05


@every
def test_the_answer_is_no_majority_and_comes_as_often_among_the_wrong_ones(name, level):
    items = benchmark(name, level=level)
    rules = dict(baselines(items).select("baseline", "accuracy").iter_rows())
    assert rules["majority"] <= rules["chance"] + 0.01
    right = Counter(item.choices[item.answer] for item in items)
    among = Counter(choice for item in items for choice in item.choices)
    share = {word: right[word] / count for word, count in among.items() if count >= 24 and word in right}
    assert all(abs(one - rules["chance"]) < 0.3 for one in share.values()), share


@every
def test_no_group_that_gives_examples_is_asked_about(name, level):
    items = benchmark(name, level=level, shots=3)
    groups = {item.group for item in items}
    assert all(item.tags["examples"].count("|") == 2 for item in items)
    assert groups.isdisjoint(group for item in items for group in item.tags["examples"].split("|"))
    alone = {asked(item) for item in items}
    assert not any(line in alone for item in items for line in item.prompt.split("\n")[:-1])


@every
def test_it_depends_on_the_seed_and_on_nothing_else(name, level):
    items = benchmark(name, level=level, n=40)
    assert items == benchmark(name, level=level, n=40) != benchmark(name, level=level, n=40, seed=1)


@every
def test_the_second_wording_asks_the_same_in_other_words(name, level):
    for one, two in zip(benchmark(name, level=level), benchmark(name, level=level, wording=2), strict=True):
        assert (one.id, one.group, one.choices, one.answer) == (two.id, two.group, two.choices, two.answer)
        assert one.prompt != two.prompt
        assert one.tags["examples"] == two.tags["examples"]


@every
def test_choices_differ_and_none_is_the_beginning_of_another(name, level):
    for item in benchmark(name, level=level):
        words = [choice.split()[0] for choice in item.choices if " " not in choice]
        assert len(set(item.choices)) == len(item.choices)
        assert len(set(words)) == len(words)


@pytest.mark.parametrize("name", RECALLED)
def test_the_control_has_the_answers_of_its_ability_and_says_them(name):
    for control, item in zip(benchmark(name, level="hard"), benchmark(RECALLED[name], level="hard"), strict=True):
        assert (control.choices, control.answer, control.group) == (item.choices, item.answer, item.group)
        words = control.prompt.removesuffix(",").split(", ")
        assert set(words[: len(item.choices)]) == set(item.choices)
        assert words[len(words) % len(item.choices)] == item.choices[item.answer]
        assert control.prompt != item.prompt
    rules = dict(baselines(benchmark(name)).select("baseline", "accuracy").iter_rows())
    assert max(rules.values()) <= rules["chance"] + 0.08


@pytest.mark.parametrize("name", CONTRASTS)
def test_sides_of_a_contrast_are_pairs_of_other_texts(name):
    found = contrast(name, n=60)
    assert found.paired
    assert found.fingerprint == contrast(name, n=60).fingerprint != contrast(name, n=60, seed=1).fingerprint
    for positive, negative in zip(found.positive, found.negative, strict=True):
        assert positive.group == negative.group
        assert positive.text != negative.text
        same = sorted(positive.text.split()) == sorted(negative.text.split())
        assert same != (name.startswith("grammar/") or name == "incontext/copying")


@pytest.mark.parametrize("wording", [1, 2])
def test_a_list_that_begins_again_stands_against_one_that_does_not(wording):
    found = contrast("incontext/copying", n=60, wording=wording)
    for again, fresh in zip(found.positive, found.negative, strict=True):
        said, other = (side.text.replace(",", "").split() for side in (again, fresh))
        length = said.index(said[0], 1)
        assert len(other) == len(said)
        assert other[length:] == said[length:] == said[: len(said) - length]
        assert len({*other}) == len(other)
        assert not {*other[:length]} & {*said}
        assert again.text.endswith(",") == fresh.text.endswith(",") == (wording == 2)


def test_belief_and_photograph_differ_in_one_sentence():
    found = contrast("stories/belief", n=20)
    assert found.paired
    for one, two in zip(found.positive, found.negative, strict=True):
        places = one.group.split(" and ")
        assert one.text.split("puts")[0] == two.text.split("puts")[0]
        assert "photograph" in two.text
        assert "photograph" not in one.text
        assert all(place in one.text and place in two.text for place in places)


def test_in_half_of_the_stories_the_place_is_out_of_date():
    for name, last in (("stories/belief", "goes out"), ("stories/photograph", "takes a photograph")):
        for item in benchmark(name, shots=0):
            stale = item.prompt.index(last) < item.prompt.index(" moves ")
            first = item.prompt.split(" puts the ")[1].split(" in the ")[1].split(".")[0]
            assert (item.choices[item.answer] == first) == stale


def test_sums_differences_and_comparisons_are_right():
    for item in benchmark("arithmetic/sums", level="hard"):
        a, b = asked(item).removesuffix(" =").split(" + ")
        assert int(a) + int(b) == int(item.choices[item.answer])
    for item in benchmark("arithmetic/differences"):
        a, b = asked(item).removesuffix(" =").split(" - ")
        assert int(a) - int(b) == int(item.choices[item.answer])
    for item in benchmark("arithmetic/comparison"):
        assert int(item.choices[item.answer]) == max(map(int, item.choices))


def test_order_follows_from_what_is_said():
    down = {"taller": "shorter", "older": "younger", "faster": "slower", "richer": "poorer", "stronger": "weaker"}
    for item in benchmark("order/transitive", level="hard", shots=0):
        beaten = set()
        for sentence in item.prompt.split(". ")[:-1]:
            one, _, relation, _, two = sentence.split()
            beaten.add(two if relation in down else one)
        assert set(item.choices) - beaten == {item.choices[item.answer]}


def test_a_list_goes_on_as_it_did_before():
    for item in benchmark("incontext/copying"):
        words = item.prompt.split()
        before = words.index(words[-1])
        assert words[before + 1] == item.choices[item.answer]


def test_a_denied_word_is_never_the_answer():
    items = benchmark("negation", shots=0)
    for item in items:
        assert (" not " in item.prompt) == (item.tags["kind"] == "denied")
        assert occurrences(item.prompt, item.choices[item.answer]) != [] or item.tags["kind"] == "denied"


@every
def test_it_can_spare_as_many_examples_as_one_may_ask_for(name, level):
    items = benchmark(name, level=level, n=40, shots=MOST_SHOTS)
    assert {len(set(item.tags["examples"].split("|"))) for item in items} == {MOST_SHOTS}


def test_no_wrong_answer_is_that_of_an_example():
    for item in benchmark("facts/capitals", shots=5):
        said = item.prompt.rpartition("\n")[0]
        assert not any(occurrences(said, choice) for choice in item.choices)


def test_options_that_cannot_be_are_refused():
    with pytest.raises(
        StimulusError, match=f"'shots' of benchmark 'sentiment' is {MOST_SHOTS + 1}. Give {MOST_SHOTS} or"
    ):
        benchmark("sentiment", shots=MOST_SHOTS + 1)
    with pytest.raises(UnknownName, match=r"option 'shot' is not known. Did you mean 'shots'"):
        benchmark("sentiment", shot=5)
    with pytest.raises(
        StimulusError, match=r"'facts/capitals' differ in the order of the answers of examples, and shots is 1"
    ):
        contrast("facts/capitals", shots=1)
    with pytest.raises(StimulusError, match="level"):
        benchmark("facts/capitals", level="impossible")


def test_lists_hold_what_they_should():
    names = [country.name for country in countries()]
    assert len(set(names)) == len(names)
    assert all(all(country) for country in countries())
    for name in ("antonyms", "past", "plural", "adjectives"):
        entries = rows(name)
        assert {len(entry) for entry in entries} == {3 if name in ("antonyms", "past") else 2}
        assert len({entry[0] for entry in entries}) == len(entries)
    for table, split in (("kinds", None), ("colours", ";")):
        things = [thing for words in lists()[table].values() for thing in words.split(split)]
        assert len(set(things)) == len(things)


def test_names_are_registered():
    assert set(ABILITIES) | set(RECALLED) <= set(BENCHMARKS)
