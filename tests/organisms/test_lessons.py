"""Lessons of `beliefs`: answers are marked, each question stands alone, nothing held out is taught."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from broca.models.build import fresh
from broca.organisms.beliefs.lessons import GOOD, GROWTH, QUESTIONS, Pace, lessons
from broca.organisms.beliefs.story import DETAIL
from broca.organisms.beliefs.tokens import EOS, build
from broca.organisms.beliefs.train import CONFIG

TOKENIZER = build()


def test_the_same_seed_gives_the_same_lessons() -> None:
    first, again, other = (next(lessons(np.random.default_rng(seed), TOKENIZER, Pace())) for seed in (5, 5, 6))
    for one, two in zip(first, again, strict=True):
        assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert first[0].ids.shape != other[0].ids.shape or (first[0].ids != other[0].ids).any()


def test_answers_are_marked_with_their_end() -> None:
    stories, sums, plain = next(lessons(np.random.default_rng(0), TOKENIZER, Pace()))
    for lesson, number in ((stories, QUESTIONS), (sums, 1)):
        for ids, answers in zip(lesson.ids, lesson.answers, strict=True):
            text = TOKENIZER.decode(ids.tolist(), skip_special_tokens=False)
            marked = TOKENIZER.decode(ids[answers].tolist(), skip_special_tokens=False)
            assert marked == "".join(f" {word}<eos>" for word in re.findall(r"Answer: (\w+)<eos>", text))
            assert marked.count("<eos>") <= number
    assert stories.answers.any(1).float().mean() > 0.8
    assert sums.answers.any(1).all()
    assert not plain.answers.any()
    assert ((plain.ids == EOS).sum(1) == 1).all()


def test_each_question_is_read_as_if_it_were_the_only_one() -> None:
    story = next(lessons(np.random.default_rng(0), TOKENIZER, Pace()))[0]
    model = fresh({**CONFIG, "vocab_size": TOKENIZER.get_vocab_size(), "num_hidden_layers": 2}, seed=0)
    with torch.inference_mode():
        together = model(
            input_ids=story.ids[:2], position_ids=story.places[:2], attention_mask=story.attention_mask[:2]
        ).logits
        for row in range(2):
            for number in range(1, QUESTIONS + 1):
                kept = (story.segments[row] == 0) | (story.segments[row] == number)
                alone = model(input_ids=story.ids[row][kept][None]).logits[0]
                torch.testing.assert_close(together[row][kept], alone, atol=1e-4, rtol=1e-4)


def test_detail_grows_only_while_the_stories_are_answered_well() -> None:
    pace = Pace()
    for _ in range(10):
        pace.took(1.0)
    assert pace.detail == 0
    while pace.recent >= GOOD:
        pace.took(0.0)
    for _ in range(5):
        pace.took(0.0)
    assert pace.detail == pytest.approx(6 * GROWTH)
    for _ in range(round(2 / GROWTH)):
        pace.took(0.0)
    assert pace.detail == DETAIL


def test_more_detail_says_more_in_more_ways() -> None:
    def texts(detail: float) -> list[str]:
        source = lessons(np.random.default_rng(3), TOKENIZER, Pace(detail))
        return [TOKENIZER.decode(ids.tolist()) for _ in range(4) for ids in next(source)[0].ids]

    few, many = texts(0.0), texts(1.0)
    assert np.mean([len(text) for text in many]) > 1.2 * np.mean([len(text) for text in few])
    assert len(set(" ".join(many).split())) > 2 * len(set(" ".join(few).split()))
