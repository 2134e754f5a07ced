"""The organism `kth`: its lessons, its shipped weights, and that its attention carries the tree."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from broca.models.lm import LM
from broca.organisms import organism_path, trainer
from broca.organisms.course import NOTHING
from broca.organisms.kth import train as kth
from broca.organisms.training import poser
from broca.scoring.likelihood import Likelihood
from broca.stimuli.trees import trees


@cache
def lm() -> LM:
    return LM.load("kth")


def test_the_lessons_ask_the_kth_smallest_so_far():
    lesson = kth.lesson(np.random.default_rng(3), 3)
    for row, targets in zip(lesson.ids.tolist(), lesson.targets.tolist(), strict=True):
        begin, *numbers = row
        assert begin == 1
        assert len(set(numbers)) == kth.LENGTH
        for end, target in enumerate(targets, start=1):
            assert target == (sorted(numbers[:end])[2] if end >= 3 else NOTHING)


def test_the_tokenizer_reads_numbers_whole_and_the_shipped_one_is_it():
    ids = lm().tokenizer("7 63 0")["input_ids"]
    assert ids == kth.tokenizer().encode("7 63 0").ids == [1, 4 + 7, 4 + 63, 4 + 0]
    assert lm().tokenizer.decode(ids[1:]) == "7 63 0"
    assert kth.tokenizer().encode("64").ids == [1, 3]


def test_what_is_shipped_is_small_and_says_how_it_was_made():
    path = organism_path("kth")
    assert (path / "model.safetensors").stat().st_size <= 2 * 2**20
    report = json.loads((path / "training.json").read_text())
    assert report["finished"]
    assert report["command"] == f"broca organism train kth --seed 0 --steps {kth.STEPS} --options.k 2"
    assert min(report["accuracy"].values()) >= 0.97


@pytest.mark.parametrize("m", [8, 16])
def test_it_still_knows_the_second_smallest(m):
    asked = trees("kth", m=m, n=300, seed=7, tokenizer=lm().tokenizer)
    lesson = poser(kth.tokenizer())(asked)
    with torch.no_grad():
        said = lm().model(input_ids=lesson.ids).logits[:, -1].argmax(-1)
    assert (said == lesson.targets[:, -1]).float().mean() >= 0.97
    scored = Likelihood()(lm(), [tree.item for tree in asked[:50]])
    assert scored["correct"].mean() >= 0.97


def test_its_attention_picks_the_second_smallest_out():
    asked = trees("kth", n=300, seed=11, tokenizer=lm().tokenizer)
    lm().model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            found = lm().model(input_ids=poser(kth.tokenizer())(asked).ids, output_attentions=True).attentions
    finally:
        lm().model.set_attn_implementation("sdpa")
    heads = torch.stack(found)[:, :, :, -1, 1:]  # (layer, list, head, number)
    rank = torch.tensor(
        [[sorted(map(int, tree.statement_texts)).index(int(said)) for said in tree.statement_texts] for tree in asked]
    )
    to_second = (heads * (rank == 1)[None, :, None]).sum(-1).mean(1)
    to_largest = (heads * (rank == 15)[None, :, None]).sum(-1).mean(1)
    assert to_second.max() > 0.4
    assert to_second.mean(1).max() > 3 * to_largest.mean(1).max()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(kth, "EXAM", 10)
    for name, seed, k in (("one", 0, 2), ("two", 0, 2), ("other", 1, 2), ("third", 0, 3)):
        trainer("kth")(tmp_path / name, seed=seed, steps=3, k=k)
    one, two, other, third = (
        load_file(tmp_path / name / "model.safetensors") for name in ("one", "two", "other", "third")
    )
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    assert any(not torch.equal(one[key], third[key]) for key in one)
