"""Massive coordinates are found at whatever token they sit, where a pooled figure hides them."""

from __future__ import annotations

import numpy as np
import torch

import zoo
from broca.capture.massive import massive_coordinates
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
