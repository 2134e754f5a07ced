"""What is known of `induction`: it goes on with any list, by two steps that patching each edge shows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from broca.capture.edges import score_exactly
from broca.models.circuit.parts import circuit_parts
from broca.models.lm import LM
from broca.organisms import organism_path
from broca.organisms.induction.train import lesson, train
from broca.organisms.induction.truth import SEED, WORDS, N, beside
from broca.stimuli.induction import induction

PREVIOUS, INDUCTION = "a0.h0", ("a1.h1", "a1.h2", "a1.h3")


@pytest.fixture(scope="module")
def truth():
    return json.loads((organism_path("induction") / "truth.json").read_text())


def test_it_is_small_and_finished():
    path = organism_path("induction")
    assert (path / "model.safetensors").stat().st_size < 300_000
    report = json.loads((path / "training.json").read_text())
    assert report["finished"]
    assert min(report["accuracy"].values()) > 0.99


def test_one_head_tells_the_word_before_and_others_look_behind_the_earlier_copy(truth):
    assert truth["attention"]["0.0"]["previous"] > 0.8
    assert all(truth["attention"][name[1] + "." + name[-1]]["induction"] > 0.7 for name in INDUCTION)
    assert truth["accuracy"]["nothing"] == 1
    assert truth["accuracy"]["0.0"] < 0.7


def test_the_two_steps_are_the_edges_that_cost_most(truth):
    costs = truth["edges"]
    top = sorted(costs, key=lambda name: -abs(costs[name]))[:12]
    assert f"input->{PREVIOUS}<v>" in top
    assert any(f"{PREVIOUS}->{name}<k>" in top for name in INDUCTION)
    assert any(f"{name}->logits" in top for name in INDUCTION)


def test_the_truth_is_what_patching_shows(truth):
    lm = LM.load("induction", dtype="float32", device="cpu")
    pairs = [beside(lm, item) for item in induction(n=N, words=WORDS, seed=SEED)[:40]]
    graph = circuit_parts(lm).graph
    edges = [graph.places[name] for name in (f"input->{PREVIOUS}<v>", "a1.h1->logits")]
    found = score_exactly(lm, pairs, edges).mean(0)
    assert found == pytest.approx([truth["edges"][graph.name(edge)] for edge in edges], rel=0.15)


def test_a_lesson_asks_every_word_of_the_second_time():
    made = lesson(np.random.default_rng(0))
    n = made.targets.shape[1] + 1
    assert made.ids.shape[1] == 2 * n
    assert (made.ids[:, 1 : n + 1][:, 1:] == made.targets).all()
    assert (made.ids[:, 1:n] == made.ids[:, n + 1 :]).all()


def test_training_writes_model_report_and_truth(tmp_path, monkeypatch):
    monkeypatch.setattr("broca.organisms.induction.train.EXAM", 20)
    monkeypatch.setattr("broca.organisms.induction.truth.N", 8)
    train(tmp_path / "made", steps=2)
    assert {"model.safetensors", "training.json", "truth.json"} <= {path.name for path in (tmp_path / "made").iterdir()}
