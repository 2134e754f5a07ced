"""Specificity from known rows: what a lesion costs is set by hand, so what the rungs must say is known."""

from __future__ import annotations

import polars as pl
import pytest

from broca.evidence import effects
from broca.evidence.rungs import specific as specificity
from broca.evidence.verdict import Rung

BOOT = {"n": 500, "seed": 0}
N = 40


def labels(condition, localizer="", dose=0.0, fill="", seed=-1):
    return {"condition": condition, "localizer": localizer, "side": "top", "dose": dose, "fill": fill, "seed": seed}


def scored(address, lost):
    """N items an ability, of which so many are wrong under this condition."""
    return [
        {**address, "ability": ability, "id": f"{ability}{i}", "group": f"g{i}", "correct": i >= wrong}
        for ability, wrong in lost.items()
        for i in range(N)
    ]


def table(*rows):
    return pl.DataFrame([row for some in rows for row in some])


INTACT = scored(labels("intact"), {"a": 0, "b": 0, "c": 0})
FIRST, SECOND = labels("lesion", "first", 1.0, "zero"), labels("lesion", "second", 1.0, "zero")


@pytest.mark.parametrize(("second", "found"), [({"a": 1, "b": 20, "c": 2}, 1), ({"a": 20, "b": 20, "c": 2}, 0)])
def test_a_double_dissociation_needs_both_directions(second, found):
    rows = table(INTACT, scored(FIRST, {"a": 20, "b": 1, "c": 19}), scored(SECOND, second))
    said = specificity.dissociations(rows, [FIRST, SECOND], own="a", able=["b", "c"], boot=BOOT)
    assert len(said) == found
    assert all(
        "the first lesion costs a more than b" in text and "second lesion b more than a" in text for text in said
    )


def cells(lost):
    items = table(INTACT, scored(FIRST, {"a": lost, "b": 0, "c": 0}))
    return effects.matrix(items, [FIRST], own="a", boot=BOOT)


def test_p_is_corrected_over_the_cells_of_the_matrix():
    found = cells(6)
    assert found["p_holm"].to_list() == pytest.approx([min(1, 3 * found["p"][0]), 1.0, 1.0])


def test_the_area_sums_up_the_whole_curve_against_random_ones():
    curve = [scored(labels("lesion", "first", dose, "zero"), {"a": lost}) for dose, lost in ((1.0, 10), (3.0, 30))]
    draws = [
        scored(labels("random", "first", dose, "zero", seed), {"a": seed % 3})
        for dose in (1.0, 3.0)
        for seed in range(19 if dose == 1.0 else 25)
    ]
    rows = table(scored(labels("intact"), {"a": 0}), *curve, *draws)
    text, numbers = effects.area(rows, labels("lesion", "first", 1.0, "zero"), own="a")
    # trapezoids over 0, 1, 3 %: (0 + .25) / 2 x 1 + (.25 + .75) / 2 x 2, over 3
    assert numbers["area"] == pytest.approx(-(0.125 + 1.0) / 3)
    assert numbers["area_draws"] == 19
    assert numbers["p_area"] == pytest.approx(1 / 20)
    assert "Over doses of 1, 3 %" in text
    only = rows.filter((pl.col("condition") != "random") | (pl.col("dose") == 1.0))
    assert effects.area(only, labels("lesion", "first", 1.0, "zero"), own="a") == ("", {})


def test_a_guard_refuses_a_rung_that_passed_and_leaves_others():
    passed = Rung("causal", "passed", "It costs.", {})
    assert passed.failed_if(None) == passed
    assert (passed.failed_if("No ability.").state, passed.failed_if("No ability.").text) == (
        "failed",
        "It costs. No ability.",
    )
    assert Rung("causal", "not tested", "None.", {}).failed_if("No ability.").state == "not tested"
