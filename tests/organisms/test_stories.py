"""The belief localizer stimuli: the file is what the script makes, pairs match, every one of them is held out."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

from broca.errors import StimulusError
from broca.organisms.beliefs import stories
from broca.organisms.beliefs.lessons import Pace, lessons
from broca.organisms.beliefs.stories import rows, text
from broca.organisms.beliefs.tokens import build, vocabulary

FILE = files("broca.stimuli").joinpath("data", "belief.jsonl")
ROWS = rows()
TOKENIZER = build()


def side(label: str) -> list[dict]:
    return [row for row in ROWS if row["label"] == label]


def right(row: dict) -> str:
    return row["choices"][row["answer"]]


def test_the_file_is_what_the_script_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == text()


def test_there_are_64_pairs_and_no_story_twice() -> None:
    assert len(side("positive")) == len(side("negative")) == 64
    assert Counter(row["group"] for row in ROWS) == dict.fromkeys((row["group"] for row in ROWS), 2)
    assert len({row["id"] for row in ROWS}) == len({row["story"] for row in ROWS}) == 128


@pytest.mark.parametrize("field", ["story", "question"])
def test_pairs_have_as_many_words(field: str) -> None:
    for one, two in zip(side("positive"), side("negative"), strict=True):
        assert one["group"] == two["group"]
        assert len(one[field].split()) == len(two[field].split()), (one[field], two[field])


def test_the_sides_have_as_many_tokens() -> None:
    means = [
        np.mean([len(TOKENIZER.encode(f"{r['story']} {r['question']}")) for r in side(s)])
        for s in ("positive", "negative")
    ]
    assert abs(means[0] - means[1]) < 0.02 * means[1]


@pytest.mark.parametrize("label", ["positive", "negative"])
def test_neither_place_nor_order_gives_the_answer_away(label: str) -> None:
    chosen = side(label)
    assert sum(row["answer"] for row in chosen) == 32
    assert sum(row["kind"].startswith("true") for row in chosen) == 32
    assert max(Counter(right(row) for row in chosen).values()) <= 16


def test_every_word_is_known() -> None:
    known = {word.strip() for word in vocabulary()}
    for row in ROWS:
        assert set(re.findall(r"[A-Za-z]+", f"{row['story']} {row['question']}")) <= known


def test_no_training_text_has_one_of_these_stories() -> None:
    source, stories = lessons(np.random.default_rng(0), TOKENIZER, Pace(1.0)), {row["story"] for row in ROWS}
    for _ in range(16):
        for ids in next(source)[0].ids.tolist():
            assert TOKENIZER.decode(ids).split("\nQuestion")[0].removeprefix("Story: ") not in stories


def test_where_there_are_too_few_stories_it_is_said(monkeypatch) -> None:
    monkeypatch.setattr(stories, "POOL", 40)
    with pytest.raises(
        StimulusError, match=r"At detail 1 \d+ pairs of stories have the same lengths, and 32 are needed"
    ):
        rows()
    story = stories.tell("false-belief", np.random.default_rng(0), "held-out")
    monkeypatch.setattr(stories, "tell", lambda *_, **__: story)
    with pytest.raises(StimulusError, match="too few different stories of the kind 'false-belief'"):
        rows()
