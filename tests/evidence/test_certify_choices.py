"""What `make certify` counts of circuits, directions and features, a few times."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from certificate import circuits, directions, planted_directions, planted_features
from certificate.parts import generator
from certificate.rows import share

from broca.scoring import Likelihood


@pytest.mark.parametrize("of", [circuits._selective, circuits._learned], ids=["selective", "learned"])
def test_noise_is_hardly_ever_claimed(of):
    assert share("circuit", "noise", [of(k) for k in range(24)], bound=circuits.NOMINAL).met


@pytest.mark.parametrize("case", directions.CASES, ids=lambda c: c.name)
def test_directions(case):
    found = [directions.states(case, generator(case.name, k)) for k in range(4)]
    for at, rung in enumerate(("selective", "reliable")):
        states = [each[at] for each in found]
        if rung in case.true:
            assert states.count("passed") >= 3, rung
        elif not case.true:
            assert share("map", case.name, states, bound=0.05).met, rung


@pytest.mark.slow
def test_the_known_circuit_is_claimed_and_edges_by_lot_are_not():
    assert circuits._whole(0)["causal"] == "passed"
    lots = circuits.Lots(90, 41)
    alone = np.array(lots.tables["keep"]["right"]).mean(1)
    assert (alone > 0.9).sum() >= 5 <= (alone < 0.1).sum()
    states = [lots.claim(k) for k in range(10)]
    assert {state for each in states for state in each.values()} <= {"failed", "undecided"}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["GPT-2", "OPT, 5 heads a layer"])
def test_a_planted_direction_answers_and_is_found(architecture):
    lm, own, other = planted_directions.build(architecture, generator("test", 0))
    assert min(Likelihood()(lm, items)["correct"].mean() for items in (own, other)) >= planted_directions.PLAN.intact
    states = planted_directions.states(architecture, 0)
    assert (states["selective"], states["reliable"], states["causal"]) == ("passed",) * 3


@pytest.mark.slow
def test_the_features_of_the_head_that_carries_beliefs_are_a_place():
    assert len(planted_features.truth()) == 40
    assert planted_features.place(planted_features.truth(), 0) == "passed"
