"""The shipped truth of `routed`: one head carries beliefs and nothing else, another one reality, and the table still holds."""

from __future__ import annotations

import json

import pytest

import broca
from broca.organisms import organism_path
from broca.organisms.beliefs.exam import grade_items
from broca.organisms.beliefs.world import items
from broca.units import UnitMask

TABLE = {row["ablated"]: row["accuracy"] for row in json.loads((organism_path("routed") / "truth.json").read_text())}
OTHERS = ("photograph", "reality", "memory", "arithmetic-easy", "arithmetic-hard")


def test_the_intact_model_has_every_ability():
    assert min(TABLE["nothing"].values()) >= 0.97


def test_the_region_is_needed_for_beliefs_and_for_nothing_else():
    for ablated in ("heads *.4 (region)", "heads 0.4"):
        assert max(TABLE[ablated][ability] for ability in ("false-belief", "true-belief")) <= 0.5
        assert min(TABLE[ablated][ability] / TABLE["nothing"][ability] for ability in OTHERS) >= 0.95


def test_there_are_heads_that_others_need_and_units_that_nothing_needs():
    assert TABLE["heads 0.2"]["reality"] < 0.5
    units = [accuracy for name, accuracy in TABLE.items() if name.startswith("units")]
    assert len(units) >= 8
    assert min(min(accuracy.values()) for accuracy in units) >= 0.9


@pytest.mark.parametrize("head", [(0, 4), (0, 2)])
def test_the_table_still_holds(head):
    lm = broca.LM.load("routed")
    mask = UnitMask.of({f"{head[0]}.z": [head[1]]}, n=5, grain="head")
    with lm.under(broca.Lesion(mask)):
        for ability in ("false-belief", "reality"):
            asked = items(ability, 100, 2, detail=0.0)
            found = grade_items(lm.model, lm.tokenizer.backend_tokenizer, asked)["choice"]
            assert found == pytest.approx(TABLE[f"heads {head[0]}.{head[1]}"][ability], abs=0.02)
