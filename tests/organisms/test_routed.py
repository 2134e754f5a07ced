"""Gradient routing: each pass teaches its own part alone, and without the region is what a lesion of it gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from broca.interventions.lesion import Lesion, Zero
from broca.models.build import fresh, save
from broca.models.lm import LM
from broca.organisms import trainer
from broca.organisms.beliefs import train as beliefs
from broca.organisms.beliefs.lessons import Pace, lessons
from broca.organisms.beliefs.tokens import build
from broca.organisms.routed import train as routed
from broca.units import UnitMask

TOKENIZER = build()
SMALL = {**routed.CONFIG, "vocab_size": TOKENIZER.get_vocab_size(), "num_hidden_layers": 2}


@pytest.fixture
def model():
    return fresh(SMALL, seed=0)


@pytest.fixture(scope="module")
def lesson():
    return next(lessons(np.random.default_rng(0), TOKENIZER, Pace(0.0, limit=0.0)))


def test_the_region_is_a_head_and_the_last_units_of_each_layer(model):
    inside = routed.RoutedWeights(model.get_decoder()).inside
    sizes = {name.split(".")[-2]: int(mask.sum()) for name, mask in inside.items() if name.startswith("layers.0")}
    assert sizes == {
        **dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), 32 * 160),
        **dict.fromkeys(("gate_proj", "up_proj", "down_proj"), 64 * 160),
    }


def test_the_first_pass_is_the_model_with_its_region_lesioned(model, lesson, tmp_path):
    parts = routed.RoutedWeights(model.get_decoder())
    without = parts.states(parts.without(), lesson[1]).detach()
    whole = parts.states(parts.with_region(), lesson[1]).detach()
    save(model, TOKENIZER, tmp_path)
    lm = LM.load(str(tmp_path))
    heads = UnitMask.of({f"{layer}.z": [routed.HEAD] for layer in range(2)}, n=5, grain="head")
    units = UnitMask.of({f"{layer}.mlp_act": list(range(384, 448)) for layer in range(2)}, n=448)
    with torch.no_grad():
        shown = beliefs.model_inputs(lesson[1])
        torch.testing.assert_close(lm.model.get_decoder()(**shown).last_hidden_state, whole)
        with lm.under(Lesion(heads, Zero()), Lesion(units, Zero())):
            torch.testing.assert_close(lm.model.get_decoder()(**shown).last_hidden_state, without)


def test_a_step_leaves_the_rest_out_of_the_region_and_the_region_out_of_the_rest(model, lesson):
    parts = routed.RoutedWeights(model.get_decoder())
    before = {name: (parts.rest[name].detach().clone(), parts.region[name].detach().clone()) for name in parts.inside}
    matrices = [w for n, w in parts.rest.items() if w.ndim == 2 and "embed" not in n]
    others = [w for n, w in parts.rest.items() if w.ndim == 1 or "embed" in n]
    stepping = beliefs.optimizers([*matrices, *parts.region.values()], others)
    beliefs.set_rates(stepping, 30, 100)
    routed._step(parts, stepping, lesson)
    for name, mask in parts.inside.items():
        rest, region = parts.rest[name].detach(), parts.region[name].detach()
        assert (rest * mask).abs().max() == 0
        assert (region * (1 - mask)).abs().max() == 0
        assert not torch.equal(rest, before[name][0])
        assert not torch.equal(region, before[name][1])
    parts.settle()
    settled = dict(model.get_decoder().named_parameters())
    for name in parts.inside:
        assert torch.equal(settled[name], parts.rest[name] + parts.region[name])


def test_belief_answers_are_marked_apart(lesson):
    stories, sums, plain = lesson
    assert stories.beliefs.any()
    assert (stories.answers & ~stories.beliefs).any()
    assert not (stories.beliefs & ~stories.answers).any()
    assert not sums.beliefs.any()
    assert not plain.beliefs.any()


@pytest.mark.slow
def test_training_writes_the_model_and_what_ablations_show(tmp_path, monkeypatch):
    monkeypatch.setattr(routed, "EXAM", 2)
    report = trainer("routed")(tmp_path, seed=0, steps=2)
    table = json.loads((tmp_path / "truth.json").read_text())
    assert table[0] == {"ablated": "nothing", "accuracy": report.accuracy}
    names = [row["ablated"] for row in table]
    assert len(set(names)) == len(names) > 1 + 20 + 6
    assert "heads *.4 (region)" in names
    assert LM.load(str(tmp_path)).n_parameters == report.parameters
