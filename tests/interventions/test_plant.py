"""Planted units hold what they should, write what they should, and leave no trace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import zoo
from broca.capture import Gather, capture
from broca.errors import SiteUnavailable
from broca.interventions import Lesion
from broca.interventions.plant import Plant, Planting, output_weights, text_key
from broca.items import Item
from broca.models.lm import LM
from broca.models.pool import Pool
from broca.models.tokens import pad_tokens
from broca.models.weight_hashes import weight_hash
from broca.scoring import Likelihood
from broca.sites import Site
from broca.units import UnitMask

TEXTS = [f"{'a longer ' * (i % 3)}text {i}" for i in range(12)]


@pytest.fixture(scope="module", params=["llama", "gpt2", "mixtral", "gemma2"])
def any_lm(request):
    return zoo.lm(request.param)


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


def site_of(lm, layer=1):
    return next(Site(layer, kind) for kind in ("mlp_act", "z") if lm.anatomy.has(Site(layer, kind)))


def plant_in(lm, layer=1, **more):
    site = site_of(lm, layer)
    rows = np.random.default_rng(3).normal(size=(3, lm.anatomy.d_model))
    planting = Planting(np.array([7, 2, 11]), np.array([0.5, 1.0, 2.0]), np.array([0.8, 0.0, 2.0]), rows, rest=1.5)
    sides = {text_key(t.ids): (1 if i < 6 else -1) for i, t in enumerate(lm.tokenize(TEXTS))}
    return site, Plant({site: planting}, sides, **more)


def weights(lm):
    return {name: value.clone() for name, value in lm.model.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "gemma2"])
def test_the_model_comes_back_bit_for_bit_also_after_an_exception(name, dtype):
    lm = LM.wrap(zoo.build(name).to(dtype), zoo.tokenizer())
    _, plant = plant_in(lm)
    batch = pad_tokens(lm.tokenize(TEXTS), range(len(TEXTS)), lm.pad)
    before, logits = weights(lm), lm.next_logits(batch)
    with lm.under(plant):
        assert not torch.equal(lm.next_logits(batch), logits)
        assert not same(before, weights(lm))
        lm.assert_fired()
    assert same(before, weights(lm))
    with pytest.raises(KeyError), lm.under(plant):
        raise KeyError
    assert same(before, weights(lm))
    assert torch.equal(lm.next_logits(batch), logits)


def held(lm, plant, site, texts=TEXTS, pool=None):
    with lm.under(plant):
        return capture(lm, lm.tokenize(texts), [site], Gather, pool=pool or Pool("last"))[site].result()[:, [7, 2, 11]]


def test_a_planted_unit_differs_between_the_sides_by_its_shift_alone(any_lm):
    site, plant = plant_in(any_lm)
    spread, shift = plant.at[site].spread, plant.at[site].shift
    high, low = (held(any_lm, replace(plant, show=show), site) for show in (1, -1))
    np.testing.assert_allclose(high - low, np.tile(spread * shift, (12, 1)), atol=1e-5)
    # As dealt, the first six texts are on one side, the others on the other.
    np.testing.assert_array_equal(held(any_lm, plant, site), np.concatenate([high[:6], low[6:]]))
    noise = (high - spread * (1.5 + shift / 2)) / spread
    assert len(np.unique(noise.round(4))) == noise.size


def test_noise_is_standard_normal_and_its_own_for_each_unit_and_seed(lm):
    texts = [f"text {i}" for i in range(400)]
    site, plant = plant_in(lm)
    noise = held(lm, replace(plant, sides={}), site, texts) / plant.at[site].spread - 1.5
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.15)
    np.testing.assert_allclose(noise.std(0), 1, atol=0.1)
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.15
    assert not np.allclose(held(lm, plant, site), held(lm, replace(plant, seed=1), site))


def test_neighbours_in_the_batch_change_nothing(lm):
    site, plant = plant_in(lm)
    together = held(lm, plant, site)
    np.testing.assert_array_equal(together, np.concatenate([held(lm, plant, site, [text]) for text in TEXTS]))


def test_it_is_silent_before_the_last_token(lm):
    site, plant = plant_in(lm)
    tokens = lm.tokenize(TEXTS)
    mean = held(lm, plant, site, pool=Pool("mean", bos="with"))
    lengths = np.array([len(text) for text in tokens])
    np.testing.assert_allclose(mean * lengths[:, None], held(lm, plant, site), rtol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])  # in gemma2 a norm follows the projection
def test_what_it_writes_is_its_row_of_weights(name):
    lm = zoo.lm(name)
    site, plant = plant_in(lm)
    out = Site(1, "mlp_out" if site.kind == "mlp_act" else "attn_out")
    with lm.under(plant):
        whole = capture(lm, lm.tokenize(TEXTS), [out], Gather)[out].result()
        with lm.under(Lesion(UnitMask.of({site: [7]}, n=lm.anatomy.width(site)))):
            without = capture(lm, lm.tokenize(TEXTS), [out], Gather)[out].result()
    np.testing.assert_allclose(
        whole - without, np.outer(held(lm, plant, site)[:, 0], plant.at[site].weights[0]), atol=1e-4
    )


def test_it_holds_its_tongue_while_the_model_generates(lm):
    site, plant = plant_in(lm)
    seen = []

    def look(_m, args):
        seen.append(args[0][..., [7, 2, 11]].clone())

    module = lm.model.get_submodule(lm.anatomy.tap(site).module)
    with lm.under(plant):
        handle = module.register_forward_pre_hook(look)
        lm.generate(TEXTS[:1], max_new_tokens=3)
        handle.remove()
    assert (seen[0][:, -1] != 0).all()
    assert all((later == 0).all() for later in seen[1:])


def test_options_that_share_a_prompt_can_be_scored(lm):
    _, plant = plant_in(lm)
    items = [Item(f"{i}", text, ("box", "a bag", "tin"), 0) for i, text in enumerate(TEXTS)]
    intact = Likelihood()(lm, items)
    with lm.under(plant):
        changed = Likelihood()(lm, items)
    assert not intact.equals(changed)
    assert Likelihood()(lm, items).equals(intact)


def test_planted_weights_are_part_of_the_condition_and_not_of_the_model(lm):
    fresh = LM(lm.model, lm.tokenizer, lm.anatomy)
    _, plant = plant_in(fresh)
    before, address = fresh.fingerprint, fresh.address
    with fresh.under(plant):
        assert fresh.fingerprint == before
        assert fresh.address != address
    assert fresh.fingerprint == weight_hash(lm.model) == before
    assert fresh.address == address


def test_every_choice_is_in_the_fingerprint(lm):
    site, plant = plant_in(lm)
    planting = plant.at[site]
    others = [
        replace(plant, seed=1),
        replace(plant, show=1),
        replace(plant, sides={}),
        replace(plant, at={site: replace(planting, rest=2.0)}),
        replace(plant, at={site: replace(planting, shift=planting.shift + 1)}),
        replace(plant, at={site: replace(planting, weights=-planting.weights)}),
        replace(plant, at={site_of(lm, 2): planting}),
    ]
    assert len({each.fingerprint for each in [plant, *others]}) == 8
    assert plant_in(lm)[1].fingerprint == plant.fingerprint


def test_sites_without_output_weights_are_refused(lm):
    with pytest.raises(SiteUnavailable, match="Use sites of kind mlp_act or z"):
        output_weights(lm, Site(1, "resid_post"))
    odd = LM(zoo.build("llama"), lm.tokenizer, lm.anatomy)
    module = odd.model.model.layers[1].mlp.down_proj
    module.weight = torch.nn.Parameter(module.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(SiteUnavailable, match=r"1\.mlp_act.*quantised"):
        output_weights(odd, Site(1, "mlp_act"))
    module.to("meta")
    with pytest.raises(SiteUnavailable, match="offloaded"):
        output_weights(odd, Site(1, "mlp_act"))
