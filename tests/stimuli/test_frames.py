"""Contrasts and items from lists and data frames: as from a file, and as data frames again."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

import broca
from broca.errors import StimulusError, UnknownName
from broca.items import Message
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.contrasts import contrast

LABELLED = [
    {"text": f"text {i}", "label": ("positive", "negative")[i % 2], "group": f"g{i // 2}", "topic": i} for i in range(6)
]
PAIRED = [{"positive": f"good {i}", "negative": f"bad {i}"} for i in range(3)]
ITEMS = [{"prompt": f"q{i}", "choices": ["box", "bag"], "answer": i % 2, "group": "a"} for i in range(4)]
KINDS = {"polars": pl.DataFrame, "pandas": pd.DataFrame, "a list": list}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("rows", [LABELLED, PAIRED], ids=["labelled", "paired"])
def test_a_contrast_of_a_frame_is_that_of_its_file(tmp_path, kind, rows):
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    read, made = contrast(path), broca.Contrast.from_frame(kind(rows), name="mine")
    assert made.fingerprint == read.fingerprint
    assert (made.name, made.paired) == (read.name, read.paired)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_items_of_a_frame_are_those_of_its_file(tmp_path, kind):
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, ITEMS)))
    made = broca.Items.from_frame(kind(ITEMS), name="mine")
    assert made == benchmark(path)
    assert isinstance(benchmark(path), broca.Items)
    assert made.frame().to_dicts()[1] == {
        "id": "2", "ability": "mine", "group": "a", "prompt": "q1", "choices": ["box", "bag"], "answer": 1
    }  # fmt: skip
    assert broca.Items.from_frame(made.frame()) == made


def test_numbers_and_lists_of_numpy():
    rows = [{"prompt": f"q{i}", "choices": np.array(["box", "bag"]), "answer": np.int64(i % 2)} for i in range(2)]
    assert [item.answer for item in broca.Items.from_frame(rows)] == [0, 1]
    assert broca.Items.from_frame(pd.DataFrame(rows)) == broca.Items.from_frame(rows)


def test_labels_are_chosen():
    rows = [{"text": f"t{i}", "label": "abc"[i % 3]} for i in range(9)]
    made = broca.Contrast.from_frame(pl.DataFrame(rows), positive="b", negative="a")
    assert [each.text for each in made.positive] == ["t1", "t4", "t7"]
    with pytest.raises(UnknownName, match="'z' is not known"):
        broca.Contrast.from_frame(pl.DataFrame(rows), positive="z")


def test_two_lists():
    made = broca.Contrast.from_lists(["a", "b"], ["c", "d", "e"])
    assert [each.text for each in made.negative] == ["c", "d", "e"]
    assert not made.paired
    assert made.frame().row(2) == ("1-negative", "negative", "c", "")
    chats = [[{"role": "user", "content": f"hi {i}"}] for i in range(4)]
    talk = broca.Contrast.from_lists(chats[:2], chats[2:], name="talk", paired=True)
    assert talk.paired
    assert talk.positive[0].text == (Message("user", "hi 0"),)
    assert talk.frame()["text"][0] == "user: hi 0"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: broca.Contrast.from_lists("ab", ["c", "d"]), "The positive side is one text, 'ab'. Give a list"),
        (lambda: broca.Contrast.from_lists(["a"], ["c", "d"]), "has 1 positive stimuli"),
        (lambda: broca.Contrast.from_lists(["a", "b"], ["c", ""]), "'2-negative' is empty"),
        (lambda: broca.Contrast.from_lists(["a", "b"], [1, 2]), "A text is int"),
        (lambda: broca.Contrast.from_lists(["a", "b"], ["c", "d", "e"], paired=True), "is paired but has 2 positive"),
        (lambda: broca.Contrast.from_frame(pl.DataFrame({"txt": ["a"]})), "frame needs the columns 'text' and 'label'"),
        (lambda: broca.Contrast.from_frame(pl.DataFrame()), "frame has no rows"),
        (lambda: broca.Contrast.from_frame([]), "frame has no rows"),
        (lambda: broca.Contrast.from_frame("mine.csv"), "frame is str. Give a data frame of polars or pandas"),
        (lambda: broca.Contrast.from_frame([{"text": "a", "label": 1}, {"text": "b"}]), "row 2: its fields differ"),
        (lambda: broca.Items.from_frame(pl.DataFrame({"question": ["a"]})), "frame has no column 'prompt'"),
        (lambda: broca.Items.from_frame(ITEMS, answers="number"), "answers is 'number'. Choose one of auto, index"),
        (
            lambda: broca.Items.from_frame([{"prompt": "q", "choices": ["a", "b"], "answer": "c"}]),
            "frame, row 1: .*'c'",
        ),
    ],
)
def test_malformed_ones_are_refused(make, message):
    with pytest.raises(StimulusError, match=message):
        make()


def test_they_show_themselves():
    page = broca.Contrast.from_lists(["<b>a</b>", "b"], ["c", "d", "e"], name="mine")._repr_html_()
    assert "mine: 2 positive, 3 negative" in page
    assert "&lt;b&gt;a&lt;/b&gt;" in page
    many = broca.Items.from_frame([{**ITEMS[0], "prompt": f"q{i}"} for i in range(20)])._repr_html_()
    assert "20 items of frame" in many
    assert "box | bag" in many
    assert "8 more" in many
    assert "q12" not in many
    mask = broca.UnitMask.heads("0.1,2.3", n_heads=4)._repr_html_()
    assert "0.1, 2.3" in mask
    assert "2.z" in mask
