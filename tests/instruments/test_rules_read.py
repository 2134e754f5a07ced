"""The shipped `rules`: the steps to its answer stand in its attention, in theories of depth 2 in shuffled order."""

from __future__ import annotations

import pytest

import broca
from broca.instruments.probe.spec import Probe


@pytest.mark.slow
def test_trees_of_depth_two_are_read_from_attention_far_above_chance() -> None:
    spec = Probe(task="rules", options={"depth": 2}, n=240, twins=19, permutations=40, maps=False, n_bootstrap=300)
    found = spec.run(broca.LM.load("rules"))
    useful, step = found.scores.iter_rows(named=True)
    for row in (useful, step):
        assert row["score_low"] > max(row["score_random_all"]) + 0.3
    permuted = found.controls.filter(found.controls["control"] == "permuted labels")["score"]
    assert permuted.abs().max() < 0.1
    assert {rung.name: rung.state for rung in found.verdict.rungs}["learned"] == "passed"
