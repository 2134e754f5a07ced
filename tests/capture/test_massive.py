"""Massive coordinates are found at whatever token they sit, where a pooled figure hides them."""

from __future__ import annotations

import numpy as np
import torch

import zoo
from broca.capture.massive import massive_coordinates, sink_tokens
from broca.sites import Site
from broca.stats.massive import massive


def test_a_coordinate_that_is_large_at_the_first_token_alone_is_found():
    lm = zoo.lm("llama")
    texts = lm.tokenize(["the x number 3 is a", "the y number 14 is b and c"])
    first = texts[0].ids[0]
    assert all(text.ids[0] == first for text in texts)
    with torch.no_grad():
        lm.model.model.embed_tokens.weight[first, 5] = 5000.0
    site = Site(0, "resid_pre")
    (found,) = massive_coordinates(lm, texts, [site]).values()
    assert np.flatnonzero(found).tolist() == [5]
    last = lm.model.model.embed_tokens.weight[texts[0].ids[-1]].detach().numpy()
    assert not massive(last).units.any()


def test_sites_come_in_the_order_in_which_they_are_named():
    lm = zoo.lm("llama")
    sites = [Site(2, "resid_post"), Site(0, "resid_post"), Site(1, "mlp_act")]
    assert list(massive_coordinates(lm, lm.tokenize(["the x number 3"]), sites)) == sites


def _with_a_sink(text: str):
    lm = zoo.lm("llama")
    texts = lm.tokenize([f"{text} number {i} is" for i in range(6)])
    with torch.no_grad():
        lm.model.model.embed_tokens.weight[texts[0].ids[texts[0].prefix], 5] = 5000.0
    return lm, texts


def test_the_first_word_is_a_sink_where_it_carries_massive_activations():
    lm, texts = _with_a_sink("the x")
    assert sink_tokens(lm, texts, [Site(0, "resid_pre"), Site(1, "mlp_act")]) == 1
    assert sink_tokens(lm, texts, [Site(1, "z")]) == 0


def test_a_coordinate_that_is_massive_at_every_token_makes_no_sinks():
    lm, _ = _with_a_sink("the x")
    with torch.no_grad():
        lm.model.model.embed_tokens.weight[:, 5] = 5000.0
    assert sink_tokens(lm, lm.tokenize(["the x number 3 is a"] * 4), [Site(0, "resid_pre")]) == 0


def test_few_texts_with_a_sink_are_not_most():
    lm, texts = _with_a_sink("the x")
    others = lm.tokenize(["a y number 3 is"] * 8)
    assert others[0].ids[others[0].prefix] != texts[0].ids[texts[0].prefix]
    assert sink_tokens(lm, [*texts, *others], [Site(0, "resid_pre")]) == 0
