"""The second causal score: what it is made of, and how its agreement with selectivity is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import zoo
from broca.cache.cache import no_cache
from broca.evidence.agreement import agreement, first_order_effects
from broca.items import Item
from broca.scoring import Likelihood
from broca.sites import Site
from broca.units import UnitMask

SITES = [Site(0, "z"), Site(1, "z")]


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


def asked(*choices, n=9):
    return [Item(str(i), f"where is {'ab'[i % 2] * (i + 1)}?", choices, i % len(choices)) for i in range(n)]


def scored(lm, items, grain="unit"):
    return first_order_effects(lm, items, SITES, grain, chat="auto", cache=no_cache)


def test_it_is_the_derivative_of_the_margin_when_the_unit_shrinks(lm):
    """Scale one unit by 1 - e at every token; the margin of first tokens moves by e times the attribution."""
    items = asked("box", "cup")
    found = scored(lm, items)[SITES[1]]
    module = lm.model.get_submodule(f"{lm.anatomy.path}.1.self_attn.o_proj")
    shared = len(lm.tokenizer("where is a? ").input_ids)
    ids = {c: lm.tokenizer(f"where is a? {c}").input_ids[shared] for c in ("box", "cup")}

    def margin(unit, scale):
        def shrink(_, args):
            x = args[0].clone()
            x[..., unit] *= scale
            return (x,)

        handle = module.register_forward_pre_hook(shrink)
        try:
            values = []
            for item in items:
                with torch.no_grad():
                    logits = lm.model(input_ids=torch.tensor([lm.tokenizer(item.prompt + " ").input_ids])).logits[0, -1]
                right, foil = ids[item.choices[item.answer]], ids[item.choices[1 - item.answer]]
                values.append(float(logits[right].double() - logits[foil].double()))
        finally:
            handle.remove()
        return np.mean(values)

    for unit in (0, 7, 20):
        slope = (margin(unit, 0.95) - margin(unit, 1.05)) / 0.1
        assert found[unit] == pytest.approx(slope, rel=0.05, abs=1e-5)


def test_a_heads_score_is_the_sum_of_its_units(lm):
    units, heads = scored(lm, asked("box", "cup")), scored(lm, asked("box", "cup"), "head")
    for site in SITES:
        width = lm.anatomy.head_width(site)
        np.testing.assert_allclose(heads[site], units[site].reshape(-1, width).sum(1))


@pytest.mark.parametrize("choices", [("box", "box top"), ("box",)], ids=["one beginning", "one option"])
def test_options_that_a_first_token_cannot_tell_apart_have_no_score(lm, choices):
    assert scored(lm, asked(*choices)) is None


def maps(t, scores, chosen):
    site = Site(0, "mlp_act")
    mask = UnitMask.of({str(site): chosen}, n=len(t))
    return agreement({site: np.array(t, float)}, {site: np.array(scores, float)}, mask)


def test_agreement_counts_the_selected_among_those_that_matter_most():
    t = np.r_[5, -4, 3, 2, 1, np.full(15, 0.5) + np.arange(15) / 100]
    text, same = maps(t, -np.abs(t), [0, 1])
    assert same["attribution_rho"] == pytest.approx(1)
    assert same["attribution_shared"] == 2
    assert "2 of the 2 selected" in text
    _, other = maps(t, 1 / np.abs(t), [0, 1])
    assert other["attribution_rho"] == pytest.approx(-1)
    assert other["attribution_shared"] == 0
    dead = np.where(np.arange(20) == 19, np.nan, t)
    assert maps(dead, np.r_[np.abs(t[:-1]), 99], [0, 1])[1]["attribution_shared"] == 2


def test_scores_that_are_all_equal_say_nothing():
    assert maps(np.arange(20.0), np.zeros(20), [0, 1]) == ("", {})


def test_choices_are_asked_as_the_study_asks_them(lm):
    items = asked("box", "cup")
    found, plain = (
        first_order_effects(lm, items, SITES, "unit", chat="auto", cache=no_cache, scorer=one)
        for one in (Likelihood(join="\n"), None)
    )
    other = [replace(item, choices=("\nbox", "\ncup")) for item in items]
    assert all(np.allclose(found[site], scored(lm, other)[site]) for site in SITES)
    assert not np.allclose(found[SITES[1]], plain[SITES[1]])
