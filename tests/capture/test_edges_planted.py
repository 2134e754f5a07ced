"""A unit that selftest's way plants in a random model: its part's edge to the logits comes first, by every method."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from circuits import METHODS, TRUE, EdgeScoring, margin_of, planted

import zoo
from broca.capture.edges import score_edges
from broca.models.circuit.parts import circuit_parts
from broca.models.lm import LM


@pytest.mark.parametrize(("kind", "writer"), [("mlp_act", "m1"), ("z", "a1.h2")])
def test_a_planted_unit_is_found_by_every_method(kind, writer):
    lm = LM.wrap(zoo.build("llama"), zoo.tokenizer(), name="llama")
    graph = circuit_parts(lm).graph
    plant, pairs = planted(lm, kind, 20, 8)
    with lm.under(plant):
        costs = score_edges(lm, pairs, EdgeScoring("exact")).mean(0) / np.mean(margin_of(lm, pairs))
        assert graph.name(int(np.argmax(costs))) == f"{writer}->logits"
        for name, how in METHODS.items():
            scores = score_edges(lm, pairs, how).mean(0)
            assert graph.name(int(np.argmax(scores))) == f"{writer}->logits", name
            assert roc_auc_score(np.abs(costs) >= TRUE, np.abs(scores)) >= 0.95, name
