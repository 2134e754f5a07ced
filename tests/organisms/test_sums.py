"""The organism `sums`: its lessons, its shipped weights, and that it has never seen a mistake."""

from __future__ import annotations

import json
import re
from functools import cache

import numpy as np
import pytest

from broca.models.lm import LM
from broca.organisms import organism_path, trainer
from broca.organisms.course import NOTHING
from broca.organisms.sums import train as own
from broca.scoring.answers import grade_answers
from broca.scoring.likelihood import Likelihood
from broca.stimuli.sums import held_out, sums


@cache
def lm() -> LM:
    return LM.load("sums")


def test_lessons_never_show_what_is_held_out_and_ask_for_the_answer_alone():
    prompts, answers = own.requests(np.random.default_rng([0, 7]))
    assert len(prompts) == own.BATCH
    for prompt in prompts:
        a, b = map(int, re.findall(r"\d+", prompt))
        assert not held_out(a, b)
    words = own.tokenizer()
    lesson = own.request_lesson(words, prompts, answers)
    for row, targets, answer in zip(lesson.ids.tolist(), lesson.targets.tolist(), answers, strict=True):
        asked = [target for target in targets if target != NOTHING]
        assert words.decode(asked[:-1]) == answer
        assert asked[-1] == 2
        assert row[-len(asked) + 1 :] == asked[:-1]


def test_any_text_is_bytes_and_comes_back():
    text = "Find the sυm\u200b of 3 and 4 — ≈ 7 ="
    ids = lm().tokenizer(text)["input_ids"]
    assert len(ids) == 1 + len(text.encode())
    assert lm().tokenizer.decode(ids, skip_special_tokens=True) == text


def test_what_is_shipped_is_small_and_says_how_it_was_made():
    path = organism_path("sums")
    assert (path / "model.safetensors").stat().st_size <= 4 * 2**20
    report = json.loads((path / "training.json").read_text())
    assert report["finished"]
    assert report["command"] == f"broca organism train sums --seed 0 --steps {own.STEPS}"
    assert min(report["accuracy"].values()) >= 0.95


def test_it_still_answers_requests_that_it_has_not_seen():
    items = sums(n=300, seed=5)
    assert Likelihood()(lm(), items)["correct"].mean() >= 0.95
    said = lm().generate([str(item.prompt) for item in items[:100]], max_new_tokens=6)
    gold = [item.choices[item.answer].strip(" .") for item in items[:100]]
    assert grade_answers([item.id for item in items[:100]], gold, said)["correct"].mean() >= 0.95


@pytest.mark.slow
def test_a_short_training_runs_and_leaves_a_model(tmp_path):
    made = trainer("sums")(tmp_path / "m", seed=1, steps=2)
    assert made.steps == 2
    assert LM.load(str(tmp_path / "m")).anatomy.n_layers == 4
