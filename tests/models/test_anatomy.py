"""The wiring is found by role and proved; a wrong wiring is refused."""

from __future__ import annotations

import pytest
import torch

import zoo
from broca.errors import AnatomyError, SiteUnavailable
from broca.models import hooks
from broca.models.wiring.dissection import dissect
from broca.sites import KINDS, Site

LLAMA_PARTS = {"attn_out": "self_attn", "mlp_out": "mlp", "z": "self_attn.o_proj", "mlp_act": "mlp.down_proj"}


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_the_residual_identity_holds_on_fresh_input(name):
    lm = zoo.lm(name)
    seen = {}
    kinds = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    sites = [Site(i, kind) for i in range(lm.anatomy.n_layers) for kind in kinds if lm.anatomy.has(Site(i, kind))]

    def keep(site):
        return lambda x: seen.__setitem__(site, x.double())

    batch = next(lm.batches(lm.tokenize(["Not the probe: another text."])))
    with hooks.read_sites(lm.model, lm.anatomy, {site: keep(site) for site in sites}):
        lm.forward(batch)
    assert lm.anatomy.error < 1e-4
    for layer, block in enumerate(lm.anatomy.blocks):
        if block.attn_out is None or block.mlp_out is None:
            continue
        pre, attn, mlp, post = (seen[Site(layer, kind)] for kind in kinds)
        error = (post - pre - block.scale * (attn + mlp)).norm() / (post - pre).norm()
        assert error < 1e-4
    for site, x in seen.items():
        assert x.shape[-1] == lm.anatomy.width(site)


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_every_site_takes_an_edit_that_reaches_the_logits(name):
    lm = zoo.lm(name)
    batch = next(lm.batches(lm.tokenize(["Some text"])))
    before = lm.forward(batch)
    for kind in KINDS:
        site = Site(1, kind)
        if not lm.anatomy.has(site):
            continue
        with hooks.edit_sites(lm.model, lm.anatomy, {site: torch.zeros_like}) as fired:
            assert not torch.equal(lm.forward(batch), before), kind
        assert fired[site] == 1


def test_scaled_residuals_are_measured():
    assert zoo.lm("granite-scaled").anatomy.blocks[0].scale == pytest.approx(0.22, rel=1e-4)
    assert zoo.lm("llama").anatomy.blocks[0].scale == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gptj", "deepseek_v3", "opt", "falcon"])
def test_bfloat16_is_proved_too(name):
    assert dissect(zoo.build(name).to(torch.bfloat16)).blocks[0].attn_out == zoo.lm(name).anatomy.blocks[0].attn_out


def test_parts_given_by_hand_are_proved():
    model = zoo.build("llama")
    found, given = dissect(model), dissect(model, LLAMA_PARTS, "model.layers")
    assert given == found


@pytest.mark.parametrize(
    "wrong",
    [
        {**LLAMA_PARTS, "mlp_out": "mlp.gate_proj"},
        {**LLAMA_PARTS, "mlp_out": "input_layernorm"},
        {**LLAMA_PARTS, "attn_out": "self_attn.q_proj"},
        {**LLAMA_PARTS, "mlp_out": None},
        {**LLAMA_PARTS, "attn_out": "no.such.module"},
    ],
)
def test_a_wrong_wiring_given_by_hand_is_refused(wrong):
    with pytest.raises(AnatomyError, match=r"adds up|not one of its parts"):
        dissect(zoo.build("llama"), wrong)


@pytest.mark.parametrize("part", ["z", "mlp_act"])
def test_a_misspelt_part_is_refused(part):
    with pytest.raises(AnatomyError, match=r"self_attn\.oproj.*self_attn\.o_proj"):
        dissect(zoo.build("llama"), {**LLAMA_PARTS, part: "self_attn.oproj"})


def test_a_misspelt_kind_is_refused():
    with pytest.raises(AnatomyError, match=r"mlp_in.*mlp_out"):
        dissect(zoo.build("llama"), {**LLAMA_PARTS, "mlp_in": "mlp"})


def test_a_path_that_is_no_list_of_blocks_is_refused():
    for path in ("model.nowhere", "model.norm"):
        with pytest.raises(AnatomyError, match=path):
            dissect(zoo.build("llama"), path=path)


def test_a_model_without_blocks_is_refused():
    model = zoo.build("llama")
    model.model.layers = torch.nn.Sequential(*model.model.layers)
    with pytest.raises(AnatomyError, match="no list of 3 blocks"):
        dissect(model)


def test_sites_that_do_not_exist():
    a = zoo.lm("mixtral").anatomy
    with pytest.raises(SiteUnavailable, match="layers 0 to 2"):
        a.tap(Site(3, "z"))
    with pytest.raises(SiteUnavailable, match="no single tensor at 'mlp_act'"):
        a.width(Site(0, "mlp_act"))
    with pytest.raises(SiteUnavailable, match="mlp_act"):
        a.sites("mlp_act")
    with pytest.raises(SiteUnavailable, match="pattern"):
        a.tap(Site(0, "pattern"))
    assert not a.has(Site(-1, "resid_pre"))
    assert not a.has(Site(3, "z"))


def test_widths():
    a = zoo.lm("llama").anatomy
    assert [a.width(Site(0, kind)) for kind in KINDS[:6]] == [32, 32, 32, 32, 32, 48]
    assert a.head_width(Site(0, "z")) == 8
    assert (a.n_heads, a.n_kv_heads, a.n_layers, a.d_model) == (4, 2, 3, 32)
    assert zoo.lm("deepseek_v3").anatomy.head_width(Site(1, "z")) == 8
    with pytest.raises(SiteUnavailable, match="slices of 'z'"):
        a.head_width(Site(0, "mlp_act"))


def test_wiring_is_per_block():
    a = zoo.lm("deepseek_v3").anatomy
    assert a.has(Site(0, "mlp_act"))
    assert not a.has(Site(1, "mlp_act"))
    assert [site.layer for site in a.sites("mlp_act")] == [0]


def test_the_probe_leaves_no_hook():
    model = zoo.build("gpt2")
    dissect(model)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
