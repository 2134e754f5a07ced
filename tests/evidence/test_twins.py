"""The learned rung: it passes what training put there, and fails what any network of this shape shows."""

from __future__ import annotations

import polars as pl
import pytest

import zoo
from broca.evidence.rungs.learned import unit_map
from broca.instruments.localize.spec import Localize
from broca.items import Contrast, Stimulus
from broca.models.twins import untrained_twin


def words(n=24):
    return Contrast(
        "words",
        tuple(Stimulus(f"p{i}", f"the x number {i % 10} is {chr(97 + i)}") for i in range(n)),
        tuple(Stimulus(f"n{i}", f"the y number {i % 10} is {chr(97 + i)}") for i in range(n)),
    )


def rung(found):
    return {r.name: r for r in found.verdict.rungs}["learned"]


def table(d):
    rows = [
        {"kind": "untrained", "seed": i, "d_held_out": v, "share_significant": 0.1, "r": 0.5} for i, v in enumerate(d)
    ]
    return pl.DataFrame([*rows, rows[0] | {"kind": "shuffled"}])


def test_an_untrained_model_is_not_more_than_its_twins():
    found = Localize(contrast=words(), twins=20).run(untrained_twin(zoo.lm("llama"), 99))
    assert found.twins["kind"].to_list() == ["untrained"] * 20 + ["shuffled"]
    assert found.twins["d_held_out"].n_unique() == 21
    assert rung(found).numbers["twins"] == 20
    assert rung(found).state == "failed", rung(found).text


@pytest.mark.parametrize(
    ("own", "state", "p"), [(2.0, "passed", 1 / 21), (0.95, "failed", 2 / 21), (0.0, "failed", 1.0)]
)
def test_it_takes_an_effect_that_few_twins_reach(own, state, p):
    found = unit_map({"d_held_out": own, "share_significant": 0.2, "r": 0.9}, table([i / 20 for i in range(20)]))
    assert found.state == state
    assert found.numbers["p"] == pytest.approx(p)


def test_few_twins_test_nothing_and_the_number_that_would_do_is_said():
    found = unit_map({"d_held_out": 9.0, "share_significant": 0.2, "r": 0.9}, table([0.1] * 5))
    assert found.state == "not tested"
    assert "20 twins are needed" in found.text


def test_no_twins_are_made_unless_asked_for():
    found = Localize(contrast=words()).run(zoo.lm("llama"))
    assert found.twins is None
    assert rung(found).state == "not tested"
