"""Counterfactuals of items: brought along, exchanged, perturbed; and generators whose counterfactuals have another right answer."""

from __future__ import annotations

import json

import pytest

from broca.errors import StimulusError, UnknownName
from broca.items import Item
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.counterfactuals import Counterfactual, check_way, exchange, own_counterfactual, perturb_item
from fuzz.samples import MIB_CHOICE, MIB_IOI, MIB_SUMS


def test_both_choices_are_exchanged_wherever_they_stand_as_words():
    item = Item("1", "Ann put the tree by the bench. A treehouse. The bench, then the tree?", (" tree", " bench"), 0)
    found = exchange(item)
    assert found == Counterfactual("Ann put the bench by the tree. A treehouse. The tree, then the bench?", " bench")


def test_where_a_choice_does_not_stand_in_the_text_nothing_is_exchanged():
    assert exchange(Item("1", "Where is the box?", (" box", " bag"), 0)) is None
    assert own_counterfactual(Item("1", "Where is the box?", (" box", " bag"), 0)) is None


def test_without_an_answer_of_its_own_the_first_other_choice_is_right_of_a_counterfactual():
    for name in "abcdef":
        item = Item(name, "Is it red?", ("red", "blue", "green", "white"), 1, tags={"counterfactual": "Is it blue?"})
        assert own_counterfactual(item) == Counterfactual("Is it blue?", "red")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("prompt,choices,answer,counterfactual_answer", "none 'counterfactual'"),
        ("prompt,choices,answer,counterfactuals", "no column 'counterfactual'. Did you mean 'counterfactuals'"),
        ("prompt,choices,answer,counterfactual,counterfactual_anwser", "no column 'counterfactual_answer'"),
    ],
)
def test_a_column_that_is_all_but_called_so_is_not_passed_over(columns, told, tmp_path):
    path = tmp_path / "items.csv"
    path.write_text(f"{columns}\nWhere?,box|bag,0{',bag' * (columns.count(',') - 2)}\n")
    with pytest.raises(StimulusError, match=told):
        benchmark(path)


def test_a_perturbed_text_keeps_its_choices():
    found = perturb_item(
        Item("1", "The yellow elephant sleeps in the box, not the bag", (" box", " bag"), 0), "delete", 1
    )
    assert found is not None
    assert " box" in found.text
    assert found.answer == " bag"


def test_a_way_that_there_is_not_is_refused():
    check_way("keyboard")
    with pytest.raises(UnknownName, match="exchange"):
        check_way("exchnge")


@pytest.mark.parametrize("kind", ["s2_io_flip", "s1_io_flip", "abc", "random_names"])
def test_indirect_objects_bring_each_kind(kind):
    for item in benchmark("ioi", n=40, counterfactual=kind):
        io, s = item.choices[item.answer].strip(), item.choices[1 - item.answer].strip()
        told = item.tags["counterfactual"]
        assert item.prompt.count(s) == 2
        assert item.prompt.count(io) == 1
        if kind == "s2_io_flip":
            assert told.count(io) == 2
            assert told.count(s) == 1
        if kind in ("abc", "random_names"):
            assert io not in told
            assert s not in told
        assert len(told.split()) == len(item.prompt.split())
    assert len({item.group for item in benchmark("ioi", n=200)}) == 20


@pytest.mark.parametrize("kind", ["answerPosition", "symbol"])
def test_the_colour_of_the_counterfactual_stands_under_another_letter(kind):
    for item in benchmark("mcqa", n=24, counterfactual=kind):
        told, letter = item.tags["counterfactual"], item.tags["counterfactual answer"].strip()
        right = item.choices[item.answer].strip()
        colour = next(line[3:] for line in item.prompt.splitlines() if line.startswith(f"{right}. "))
        assert f"{letter}. {colour}" in told.splitlines()
        assert letter != right
        assert (f" {letter}" in item.choices) == (kind == "answerPosition")


@pytest.mark.parametrize("kind", ["key", "value"])
def test_the_other_word_follows_in_the_counterfactual_of_a_list(kind):
    for item in benchmark("induction", n=30, words=8, counterfactual=kind):
        words, told = item.prompt.split(), item.tags["counterfactual"].split()
        last, again = words[-1], int(item.tags["again"])
        assert told[8:] == words[8:]
        assert words[again] == item.choices[item.answer].strip()
        assert told[told.index(last) + 1] == item.tags["counterfactual answer"].strip()
        assert told[:8] != words[:8]
        assert sorted(told) == sorted(words)


def test_a_table_may_bring_counterfactuals(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("prompt,choices,answer,counterfactual,counterfactual_answer\na b,x|y,x,a c,y\nd e,x|y,y,,\n")
    first, second = benchmark(path)
    assert own_counterfactual(first) == Counterfactual("a c", "y")
    assert own_counterfactual(second) is None


@pytest.mark.parametrize(
    ("rows", "right", "wrong"),
    [(MIB_IOI, " Mary", " John"), (MIB_CHOICE, "A", "X"), (MIB_SUMS, "2", "3")],
    ids=["ioi", "mcqa", "sums"],
)
def test_task_files_of_mib_are_known_by_their_columns(rows, right, wrong, tmp_path):
    path = tmp_path / "task.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    first = benchmark(path)[0]
    assert first.choices[first.answer] == right
    assert own_counterfactual(first).answer == wrong
    with pytest.raises(UnknownName, match="Counterfactual 'abcd'"):
        benchmark(path, counterfactual="abcd")


def test_a_damaged_task_file_is_refused_by_its_row(tmp_path):
    path = tmp_path / "task.jsonl"
    path.write_text("\n".join(map(json.dumps, [MIB_IOI[0], {**MIB_IOI[1], "answerKey": 7}])))
    with pytest.raises(StimulusError, match=r"line 2.*answerKey"):
        benchmark(path)
