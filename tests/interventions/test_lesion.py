"""Lesions do what they say, on every architecture: exact, nested, restored bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zoo
from broca.capture import Gather, capture
from broca.errors import SelectionError, SiteUnavailable
from broca.interventions import Keep, Lesion, Mean, Noise, Resample, Zero
from broca.models.hooks import copy_sites
from broca.models.pool import Pool
from broca.models.tokens import pad_tokens
from broca.sites import Site
from broca.units import UnitMask

TEXTS = ["Sally puts the ball in the basket", "a cat", "Then she goes out of the room."]


@pytest.fixture(scope="module", params=sorted(zoo.CONFIGS))
def any_lm(request):
    return zoo.lm(request.param)


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


def batch_of(lm, texts=TEXTS):
    return pad_tokens(lm.tokenize(texts), range(len(texts)), lm.pad)


def units(lm, site, chosen):
    return UnitMask.of({site: chosen}, n=lm.anatomy.width(site))


def test_lesioned_units_read_exactly_zero_and_the_model_is_restored_bit_for_bit(any_lm):
    lm, batch = any_lm, batch_of(any_lm)
    before = lm.forward(batch)
    for kind in ("resid_pre", "resid_post", "attn_out", "mlp_out", "z", "mlp_act"):
        if not any(lm.anatomy.has(Site(i, kind)) for i in range(lm.anatomy.n_layers)):
            continue
        site = lm.anatomy.sites(kind)[-1]
        with lm.under(Lesion(units(lm, site, [0, 3, 5]))):
            inside = lm.forward(batch)
            seen = capture(lm, lm.tokenize(TEXTS), [site], Gather, pool=Pool("mean", bos="with"))[site].result()
            lm.assert_fired()
        assert (seen[:, [0, 3, 5]] == 0).all()
        assert (seen[:, [1, 2, 4]] != 0).any()
        assert not torch.equal(inside, before)
        assert torch.equal(lm.forward(batch), before)


def test_a_head_lesion_equals_zeroing_the_columns_of_the_output_projection(any_lm):
    lm, batch = any_lm, batch_of(any_lm)
    site = lm.anatomy.sites("z")[1]
    width = lm.anatomy.head_width(site)
    with lm.under(Lesion(UnitMask.of({site: [1]}, n=lm.anatomy.n_heads, grain="head"))):
        lesioned = lm.forward(batch)
    projection = lm.model.get_submodule(lm.anatomy.tap(site).module)
    columns = slice(width, 2 * width)
    with torch.no_grad():
        kept = projection.weight.clone()
        # GPT-2's Conv1D stores its weight transposed: inputs are rows.
        part = projection.weight[columns] if type(projection).__name__ == "Conv1D" else projection.weight[:, columns]
        part.zero_()
        edited = lm.forward(batch)
        projection.weight.copy_(kept)
    assert torch.equal(lesioned, edited)


def test_a_lesion_of_one_query_head_leaves_those_that_share_its_key_as_they_were(lm):
    batch, site = batch_of(lm), Site(1, "z")
    assert lm.anatomy.n_heads == 2 * lm.model.config.num_key_value_heads
    with copy_sites(lm.model, lm.anatomy, [site]) as before:
        lm.forward(batch)
    with (
        lm.under(Lesion(UnitMask.of({site: [2]}, n=lm.anatomy.n_heads, grain="head"))),
        copy_sites(lm.model, lm.anatomy, [site]) as after,
    ):
        lm.forward(batch)
    one, other = (x[site].unflatten(-1, (lm.anatomy.n_heads, -1)) for x in (before, after))
    assert torch.equal(one[..., [0, 1, 3], :], other[..., [0, 1, 3], :])
    assert not other[..., 2, :].any()


def test_holding_units_at_their_own_value_changes_no_bit(any_lm):
    lm, batch = any_lm, batch_of(any_lm)
    site = Site(0, "resid_post")
    before = lm.forward(batch)
    with lm.under(Lesion(units(lm, site, range(8)), Keep())):
        assert torch.equal(lm.forward(batch), before)


def test_two_lesions_nest_and_equal_their_union(lm):
    a, b = Site(0, "mlp_act"), Site(2, "resid_post")
    first, second = units(lm, a, [1, 2]), units(lm, b, [4])
    batch = batch_of(lm)
    with lm.under(Lesion(first)), lm.under(Lesion(second)):
        nested = lm.forward(batch)
        assert len(lm.condition) == 2
    with lm.under(Lesion(first), Lesion(second)):
        listed = lm.forward(batch)
    with lm.under(Lesion(first | second)):
        union = lm.forward(batch)
    assert torch.equal(nested, listed)
    assert torch.equal(nested, union)
    assert lm.condition == ()


def test_the_model_is_restored_after_an_exception(lm):
    batch = batch_of(lm)
    before = lm.forward(batch)
    with pytest.raises(KeyError), lm.under(Lesion(units(lm, Site(1, "resid_post"), [0]))):
        raise KeyError
    assert torch.equal(lm.forward(batch), before)
    assert lm.condition == ()


def test_the_last_edit_in_wins_where_two_lesions_meet(lm):
    site = Site(1, "resid_post")
    ones = Mean({site: np.ones(lm.anatomy.width(site))})
    with lm.under(Lesion(units(lm, site, [0]), ones), Lesion(units(lm, site, [0]))):
        assert (capture(lm, lm.tokenize(TEXTS), [site], Gather)[site].result()[:, 0] == 0).all()


def at_site(lm, site, lesion, texts=TEXTS, pool=None):
    with lm.under(lesion):
        return capture(lm, lm.tokenize(texts), [site], Gather, pool=pool or Pool("last"))[site].result()


def test_fills_put_in_what_they_say(lm):
    site = Site(1, "resid_post")
    width = lm.anatomy.width(site)
    values = np.linspace(-1, 1, width)
    mask = units(lm, site, [2, 7])
    np.testing.assert_allclose(
        at_site(lm, site, Lesion(mask, Mean({site: values})))[:, [2, 7]], [values[[2, 7]]] * 3, rtol=1e-6
    )
    noise = [
        at_site(lm, site, Lesion(mask, Noise({site: values}, {site: np.ones(width)}, seed=s)))[:, 2] for s in (0, 0, 1)
    ]
    assert len(set(noise[0])) == 1
    np.testing.assert_array_equal(noise[0], noise[1])
    assert noise[0][0] != noise[2][0]
    still = at_site(lm, site, Lesion(mask, Noise({site: values}, {site: np.ones(width)}, scale=0.0)))
    np.testing.assert_allclose(still[:, 2], values[2], rtol=1e-6)


def test_a_resample_depends_on_the_text_alone(lm):
    site = Site(1, "resid_post")
    bank = np.arange(50.0)[:, None] + np.zeros(lm.anatomy.width(site))
    lesion = Lesion(units(lm, site, [0]), Resample({site: bank}, seed=3))
    together = at_site(lm, site, lesion)[:, 0]
    alone = [at_site(lm, site, lesion, [text])[0, 0] for text in TEXTS]
    np.testing.assert_array_equal(together, alone)
    assert len(set(together)) > 1
    other = at_site(lm, site, Lesion(units(lm, site, [0]), Resample({site: bank}, seed=4)))[:, 0]
    assert (other != together).any()


@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_choose_tokens_of_the_text_whatever_the_padding(lm, side):
    site = Site(1, "resid_post")
    batch = pad_tokens(lm.tokenize(TEXTS), range(len(TEXTS)), lm.pad, side=side)
    for positions, wanted in (("last", [-1]), ((0, -2), [0, -2]), ("prompt", None)):
        seen = []
        module = lm.model.get_submodule(lm.anatomy.tap(site).module)
        lm.forward(batch)  # what is proved once is proved
        with lm.under(Lesion(units(lm, site, [0]), positions=positions)):
            handle = module.register_forward_hook(lambda _m, _a, out, seen=seen: seen.append(out))
            lm.forward(batch)
            handle.remove()
        for row in range(len(TEXTS)):
            real = seen[0][row][batch.mask[row].bool()][:, 0]
            zero = (real == 0).nonzero().flatten().tolist()
            n = len(real)
            assert zero == (list(range(n)) if wanted is None else sorted(i % n for i in wanted))


def test_a_lesion_holds_in_prefill_and_in_every_decoding_step(lm):
    mask = units(lm, Site(1, "resid_post"), range(12))
    cached = {}
    for use_cache in (True, False):
        with lm.under(Lesion(mask)):
            cached[use_cache] = lm.generate(TEXTS, max_new_tokens=6, use_cache=use_cache)
    assert cached[True] == cached[False]
    assert cached[True] != lm.generate(TEXTS, max_new_tokens=6)


def test_generated_positions_leave_the_prompt_alone(lm):
    mask = units(lm, Site(1, "resid_post"), range(16))
    batch = batch_of(lm)
    before = lm.next_logits(batch)
    with lm.under(Lesion(mask, positions="generated")):
        assert torch.equal(lm.next_logits(batch), before)
        inside = lm.generate(TEXTS, max_new_tokens=8)
    outside = lm.generate(TEXTS, max_new_tokens=8)
    # The first new token was decided by the prompt; later ones were not.
    assert [t[:1] for t in inside] == [t[:1] for t in outside]
    assert inside != outside


def test_fingerprints_tell_lesions_apart(lm):
    site = Site(1, "resid_post")
    mask, other = units(lm, site, [0]), units(lm, site, [1])
    mean = Mean({site: np.zeros(lm.anatomy.width(site))})
    lesions = [Lesion(mask), Lesion(other), Lesion(mask, mean), Lesion(mask, positions="last"), Lesion(mask, Keep())]
    assert len({lesion.fingerprint for lesion in lesions}) == len(lesions)
    assert Lesion(mask).fingerprint == Lesion(units(lm, site, [0]), Zero()).fingerprint


def test_what_cannot_be_lesioned_is_refused_in_words(lm):
    site = Site(1, "resid_post")
    with pytest.raises(SelectionError, match="zero units"):
        Lesion(UnitMask.of({site: []}, n=32))
    with (
        pytest.raises(SiteUnavailable, match="for 7 units, this model has 32"),
        lm.under(Lesion(UnitMask.of({site: [1]}, n=7))),
    ):
        pass
    with (
        pytest.raises(SiteUnavailable, match="layers 0 to 2"),
        lm.under(Lesion(UnitMask.of({Site(8, "z"): [1]}, n=32))),
    ):
        pass
    with pytest.raises(SelectionError, match="no values at"), lm.under(Lesion(units(lm, site, [1]), Mean({}))):
        pass
