"""Shuffled, drawn again, without length: the rungs say what these found, and a length effect is seen through."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from broca.capture import Gather, capture
from broca.errors import SpecError, StatisticsError
from broca.instruments.localize.spec import Localize
from broca.items import Contrast, Stimulus
from broca.models.pool import Pool
from broca.stats.permutation import permutation_test


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


def letters(n=24):
    return Contrast(
        "letters",
        tuple(Stimulus(f"p{i}", f"the x number {i % 10} is {chr(97 + i)}") for i in range(n)),
        tuple(Stimulus(f"n{i}", f"the y number {i % 10} is {chr(97 + i)}") for i in range(n)),
    )


def lengthy(n=24):
    """The same words on both sides, of other lengths that overlap."""
    return Contrast(
        "lengths",
        tuple(Stimulus(f"p{i}", "a" * (6 + i % 12)) for i in range(n)),
        tuple(Stimulus(f"n{i}", "a" * (2 + i % 12)) for i in range(n)),
    )


def rung(found, name):
    return {r.name: r for r in found.verdict.rungs}[name]


def test_family_wise_p_is_that_of_the_permutation_test_over_all_sites(lm):
    contrast = letters()
    found = Localize(contrast=contrast, pool="mean", permutations=199, seed=3).run(lm)
    sites = lm.anatomy.sites("resid_post")
    sides = [
        capture(lm, lm.tokenize([s.text for s in side]), sites, Gather, pool=Pool("mean"))
        for side in (contrast.positive, contrast.negative)
    ]
    joined = [np.concatenate([side[site].result() for site in sites], 1) for side in sides]
    expected = permutation_test(*joined, n=199, seed=3)
    np.testing.assert_array_equal(np.concatenate(list(found.p_max.values())), expected.p_max)
    numbers = rung(found, "selective").numbers
    assert numbers["arrangements"] == 199
    chosen = np.concatenate([found.selected.at[site] for site in sites])
    assert numbers["family_wise_selected"] == (expected.p_max[chosen] <= 0.05).sum()


def test_units_that_follow_length_do_not_survive_its_regression(lm):
    found = Localize(contrast=lengthy(), pool="mean", lengths=True, select={"percent": 20}).run(lm)
    numbers = rung(found, "selective").numbers
    assert numbers["significant_selected"] > 0
    assert numbers["significant_without_length"] < 0.2 * numbers["significant_selected"]
    kept = rung(Localize(contrast=letters(), pool="mean", lengths=True).run(lm), "selective").numbers
    assert kept["significant_without_length"] == kept["significant_selected"]


def test_a_stable_selection_is_chosen_again(lm):
    numbers = rung(Localize(contrast=letters(), pool="mean", resamples=100).run(lm), "reliable").numbers
    assert numbers["resamples"] == 100
    assert numbers["bootstrap_jaccard"] > numbers["bootstrap_noise"] > 0


def test_too_few_stimuli_say_how_many_would_do(lm):
    few = letters(24)
    few = Contrast("few", few.positive[:4], few.negative[:4], paired=True)
    with pytest.raises(StatisticsError, match="at least 6"):
        Localize(contrast=few, permutations=100).run(lm)


def test_heads_are_not_shuffled():
    with pytest.raises(SpecError, match=r"a head.s statistic is itself learned"):
        Localize(sites="*.z", grain="head", permutations=100)


def test_units_with_massive_activations_are_marked_or_left_out(lm):
    site = lm.anatomy.sites("resid_post")[0]
    weight = lm.model.get_input_embeddings().weight
    before = weight.detach().clone()
    try:
        weight.data[:, 5] += 1e4
        marked = Localize(contrast=letters(), select={"percent": 100}).run(lm)
        guard = {g.name: g for g in marked.guards}["massive activations"]
        assert guard.state == "marked"
        assert f"{site}:5" in guard.text
        safe = Localize(contrast=letters(), select={"percent": 100}, protect_massive=True).run(lm)
        assert {g.name: g.state for g in safe.guards}["massive activations"] == "passed"
        assert not safe.selected.at[site][5]
    finally:
        weight.data.copy_(before)
