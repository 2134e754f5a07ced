"""The verdict in its two halves: what is undecided is never a no, and what a guard refuses is undecided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.evidence.verdict import MAP, PLACE, RUNGS, Rung, Verdict, fragment

STATES = ("passed", "failed", "undecided", "not tested")


def ladder(**states):
    return Verdict.of(*(Rung(name, state, "why", {}) for name, state in states.items()))


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ({}, "Map: not tested. Place: not tested."),
        (dict.fromkeys(RUNGS, "passed"), "Map: yes (selective, reliable and learned). Place: yes (causal and specific)."),
        (
            {"selective": "passed", "reliable": "passed", "learned": "failed", "causal": "passed", "specific": "passed"},
            "Map: no (selective and reliable; but not learned). Place: yes (causal and specific).",
        ),
        ({"causal": "undecided"}, "Map: not tested. Place: can't tell (causal undecided; specific not tested)."),
        ({"causal": "passed"}, "Map: not tested. Place: yes, as far as tested (causal; specific not tested)."),
        ({"causal": "failed", "specific": "undecided"}, "Map: not tested. Place: no (not causal; specific undecided)."),
        ({"causal": "failed", "specific": "failed"}, "Map: not tested. Place: no (not causal or specific)."),
    ],
)  # fmt: skip
def test_a_sentence_says_both_halves(states, sentence):
    assert ladder(**states).sentence == sentence


@given(st.lists(st.sampled_from(STATES), min_size=5, max_size=5))
def test_only_a_failed_rung_makes_a_half_a_no(states):
    found = ladder(**dict(zip(RUNGS, states, strict=True)))
    for name, half in (("Map", MAP), ("Place", PLACE)):
        of = [found[rung].state for rung in half]
        said = found.sentence.partition(f"{name}: ")[2]
        assert said.startswith("no (") == ("failed" in of)
        assert said.startswith("can't tell") == ("failed" not in of and "undecided" in of)
    assert found.first_failure == next((r for r, s in zip(RUNGS, states, strict=True) if s == "failed"), None)


@pytest.mark.parametrize(
    ("state", "then"), [("passed", "undecided"), ("failed", "undecided"), ("not tested", "not tested")]
)
def test_a_guard_that_refuses_leaves_a_rung_undecided(state, then):
    rung = Rung("causal", state, "It fell.", {}, caveat="small").undecided_if("No gate.")
    assert (rung.state, rung.text) == ((then, "It fell. No gate.") if then != state else (state, "It fell."))
    assert Rung("causal", state, "It fell.", {}).undecided_if(None).state == state


def test_a_caveat_stands_beside_its_rung_wherever_it_is_named():
    rung = Rung("specific", "passed", "Spared.", {}, caveat="answers not controlled")
    assert "specific (answers not controlled)" in Verdict.of(rung).sentence
    shown = fragment("Claim", [{"name": "specific", "state": "passed", "text": "Spared.", "caveat": rung.caveat}], "S.")
    assert "passed, answers not controlled" in shown
