"""Tones: pairs that differ in the tone alone, groups that keep what decides it, items that are balanced."""

from __future__ import annotations

from collections import Counter

import pytest

import broca
from broca.errors import StimulusError
from broca.stimuli.benchmarks import second_wording
from broca.stimuli.natural.texts import BAD, GOOD


def test_reviews_differ_in_the_word_that_judges_which_is_their_group():
    contrast = broca.contrast("sentiment", n=40, seed=3)
    for good, bad in zip(contrast.positive, contrast.negative, strict=True):
        assert good.text.replace(good.group, "_") == bad.text.replace(bad.group, "_")
        assert good.group in GOOD
        assert bad.group in BAD
    assert contrast.fingerprint == broca.contrast("sentiment", n=40, seed=3).fingerprint
    assert contrast.fingerprint != broca.contrast("sentiment", n=40, seed=4).fingerprint


def test_formal_and_casual_sentences_are_pairs_of_the_same_thing():
    contrast = broca.contrast("formality", n=32)
    assert contrast.paired
    assert {each.group for each in contrast.positive} == {f"speech {i}" for i in range(16)}
    for formal, casual in zip(contrast.positive, contrast.negative, strict=True):
        assert formal.group == casual.group
        assert formal.text[0].isupper()
        assert formal.text != casual.text


def test_items_ask_for_the_tone_half_of_each_answer_in_either_order():
    items = broca.benchmark("formality", n=120)
    assert Counter(item.choices[item.answer] for item in items) == {"formal": 60, "casual": 60}
    assert 35 < sum(item.answer for item in items) < 85
    assert len({item.id for item in items}) == 120
    other = second_wording("formality", n=120)
    assert [(i.choices, i.answer) for i in other] == [(i.choices, i.answer) for i in items]
    assert all(a.prompt != b.prompt for a, b in zip(items, other, strict=True))
    with pytest.raises(StimulusError, match="2 or more"):
        broca.benchmark("formality", n=1)
