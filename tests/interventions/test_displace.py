"""A random direction in the place of features moves each token as far as the lesion does, elsewhere, and leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zoo
from broca.errors import SelectionError
from broca.interventions import Displace, Lesion
from broca.models.hooks import copy_sites
from broca.sites import Site
from dictionaries import dictionary

TEXTS = ["Sally puts the ball in the basket", "a cat", "Then she goes out of the room."]
AT = Site(1, "resid_post")


@pytest.fixture(scope="module")
def lm():
    lm = zoo.lm("llama")
    return lm.with_features(dictionary("topk", d=32, n=48, norm="layer_norm", centred=True), check=False)


def states(lm, *changes):
    batch = lm.pad_batch(lm.tokenize(TEXTS))
    with lm.under(*changes), copy_sites(lm.model, lm.anatomy, [AT]) as found:
        lm.forward(batch)
    return found[AT][batch.mask.bool()]


def test_each_token_is_moved_as_far_as_by_the_lesion_and_along_one_direction(lm):
    lesion, plain = Lesion("1.feature:3,7,20"), states(lm)
    wanted = (states(lm, lesion) - plain).double().norm(dim=1)
    moved = (states(lm, Displace(lesion, 5)) - plain).double()
    assert torch.allclose(moved.norm(dim=1), wanted, atol=1e-5)
    assert 0 < int((wanted > 0).sum()) < len(wanted)
    assert torch.equal(moved.norm(dim=1) > 0, wanted > 0)
    some = moved[wanted > 0]
    assert np.linalg.matrix_rank(some.numpy(), tol=1e-3) == 1
    assert torch.equal(states(lm), plain)


def test_seeds_differ_and_a_lesion_of_units_has_no_such_thing(lm):
    lesion = Lesion("1.feature:3,7,20")
    assert not torch.allclose(states(lm, Displace(lesion, 0)), states(lm, Displace(lesion, 1)))
    assert Displace(lesion, 0).fingerprint != Displace(lesion, 1).fingerprint
    with pytest.raises(SelectionError, match="has no features"):
        Displace(Lesion("1.resid_post:3"))


def test_generation_with_a_cache_is_reading_token_by_token(lm):
    with lm.under(Displace(Lesion("1.feature:3,7,20,31"), 2)):
        cached = lm.generate(TEXTS, max_new_tokens=6)
        assert cached == lm.generate(TEXTS, max_new_tokens=6, use_cache=False)
