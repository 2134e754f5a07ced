"""The learned rung: it passes what training put there, and fails what any network of this shape shows."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from broca.evidence.rungs.learned import decide, unit_map
from broca.instruments.localize.spec import Localize
from broca.items import Contrast, Stimulus
from broca.models.twins import untrained_twin
from broca.stats.nulls import empirical_p
from broca.stats.stopping import fewest_draws


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
    twins = found.twins.height - 1
    assert 1 <= twins <= 20
    assert found.twins["kind"].to_list() == ["untrained"] * twins + ["shuffled"]
    assert found.twins["d_held_out"].n_unique() == twins + 1
    assert (
        found.twins["d_held_out"][twins - 1]
        >= found.reliability["d_held_out"]
        > max(found.twins["d_held_out"][: twins - 1], default=0)
    )
    assert rung(found).numbers["twins"] == twins
    assert rung(found).state == "failed", rung(found).text


@pytest.mark.parametrize(
    ("own", "state", "p"), [(2.0, "passed", 1 / 21), (0.95, "failed", 2 / 21), (0.0, "failed", 1.0)]
)
def test_it_takes_an_effect_that_few_twins_reach(own, state, p):
    twins = table([i / 20 for i in range(20)])
    found = unit_map({"d_held_out": own, "share_significant": 0.2, "r": 0.9}, twins, most=20, alpha=0.05)
    assert found.state == state
    assert found.numbers["p"] == pytest.approx(p)


def test_few_twins_test_nothing_and_the_number_that_would_do_is_said():
    found = unit_map({"d_held_out": 9.0, "share_significant": 0.2, "r": 0.9}, table([0.1] * 5), most=5, alpha=0.05)
    assert found.state == "undecided"
    assert "19 untrained twins are needed, 5 were compared (--twins 19)" in found.text


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0, 1), st.sampled_from([0.05, 0.01, 0.2]))
def test_twins_that_decide_decide_what_all_of_them_would(values, own, alpha):
    """Stopping at the first twin that makes a pass impossible changes no verdict."""
    whole, p = decide(own, values, most=len(values), alpha=alpha)
    assert p == pytest.approx(float(empirical_p(own, values, "greater")))
    states = [decide(own, values[:n], most=len(values), alpha=alpha)[0] for n in range(1, len(values) + 1)]
    if "failed" in states:
        assert whole == "failed"
    assert whole != "passed" or len(values) >= fewest_draws(alpha)


@pytest.mark.parametrize(("alpha", "claims", "n"), [(0.05, 1, 19), (0.05, 2, 39), (0.01, 1, 99), (0.1, 3, 29)])
def test_as_many_twins_as_the_claims_need(alpha, claims, n):
    assert fewest_draws(alpha / claims) == n
    assert 1 / (n + 1) <= alpha / claims < 1 / n


def test_no_twins_are_made_unless_asked_for():
    found = Localize(contrast=words()).run(zoo.lm("llama"))
    assert found.twins is None
    assert rung(found).state == "not tested"
