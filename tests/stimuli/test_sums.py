"""Written arithmetic: what is asked, what is held out, and that one word alone decides."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import StimulusError
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.sums import LARGEST, OPERATIONS, WORDINGS, WORDS, draw_operands, frame_request, held_out, sums


def test_answers_are_what_the_word_asks_for():
    for item in sums(n=500, seed=3):
        a, b = map(int, re.findall(r"\d+", item.prompt))
        assert item.choices[item.answer] == f" {OPERATIONS[item.tags['operation']](a, b)}."
        assert {int(choice[1:-1]) for choice in item.choices} == {made(a, b) for made in OPERATIONS.values()}
        assert held_out(a, b)
        assert len(item.choices) > 1
        assert item.tags["word"] in item.prompt
        assert item.prompt.endswith(" =")


def test_operations_come_in_turn_and_seeds_differ():
    items = sums(n=10)
    assert [item.tags["operation"] for item in items] == [*OPERATIONS, *OPERATIONS]
    assert sums(n=10) == items != sums(n=10, seed=1)
    assert benchmark("sums", n=4, seed=2) == sums(n=4, seed=2)


def test_words_for_other_operations_stand_in_texts_that_do_not_mean_them():
    prompts = [item.prompt for item in sums(n=400)]
    several = [prompt for prompt in prompts if len(set(re.findall(r"[a-z]+", prompt.lower())) & WORDS) > 1]
    assert len(several) > 40


def test_an_eighth_of_all_operands_is_held_out():
    share = np.mean([held_out(a, b) for a in range(LARGEST + 1) for b in range(LARGEST + 1)])
    assert 0.1 < share < 0.15


@given(st.integers(0, 2**31), st.booleans())
def test_operands_are_drawn_from_one_side(seed, held):
    a, b = draw_operands(np.random.default_rng(seed), held=held)
    assert held_out(a, b) == held
    assert 0 <= min(a, b) <= max(a, b) <= LARGEST


@given(st.integers(0, 2**31))
def test_a_frame_changes_no_word_of_the_request(seed):
    made = frame_request(np.random.default_rng(seed), "Find the sum of 3 and 4 =")
    assert "Find the sum of 3 and 4" in made
    assert made.endswith(" =")


def test_every_wording_asks_for_one_operation():
    said: dict[str, set[str]] = {}
    for frame, operation, word in WORDINGS:
        said.setdefault(frame.format(op=word, a="#", b="#"), set()).add(operation)
    assert all(len(each) == 1 for each in said.values())
    assert {operation for _, operation, _ in WORDINGS} == set(OPERATIONS)


def test_impossible_numbers_are_refused():
    with pytest.raises(StimulusError, match="n"):
        benchmark("sums", n=0)
