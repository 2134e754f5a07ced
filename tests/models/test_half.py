"""Half precision: what holds massive activations is proved as in float32; what is wrong is refused; what cannot be seen is told apart."""

from __future__ import annotations

import math

import pytest
import torch

import real
import zoo
from broca.errors import AnatomyError, ModelError
from broca.models.lens import lens
from broca.models.lm import LM
from broca.models.miniatures import tiny
from broca.models.wiring.dissection import dissect
from broca.models.wiring.rounding import Equations, Judge

HALF = (torch.bfloat16, torch.float16)
PARTS = {"attn_out": "self_attn", "mlp_out": "mlp", "z": "self_attn.o_proj", "mlp_act": "mlp.down_proj"}
UNSEEN = "smaller than the steps in which b?float16 rounds it, so that the wiring cannot be proved, be it right or wrong. Load"


@pytest.fixture(params=HALF, ids=str)
def half(request):
    return request.param


def matrices(model, layer=None):
    named = ((name, p) for name, p in model.named_parameters() if p.ndim > 1)
    return [p for name, p in named if layer is None or f".{layer}." in name]


def grown(model, by, layer=None):
    """The model with all matrices, or those of one layer, `by` times as large."""
    with torch.no_grad():
        for p in matrices(model, layer):
            p.mul_(by)
    return model


def table_of(model):
    return model.get_input_embeddings().weight


def louder(model):
    """What the first block writes to one channel, a thousand times as loud."""
    found = dissect(model)
    block = model.get_submodule(found.path)[0]
    for path in filter(None, (found.blocks[0].z, found.blocks[0].mlp_act)):
        projection = block.get_submodule(path)
        (projection.weight if isinstance(projection, torch.nn.Linear) else projection.weight.T)[5].mul_(1000)


def gains(model):
    for name, p in model.named_parameters():
        if p.ndim == 1 and ("norm" in name or "ln_" in name):
            p[4].mul_(30)


PLANTS = {
    "a channel of every token": lambda model: table_of(model)[:, 3].mul_(1e3),
    "a channel of a few tokens": lambda model: table_of(model)[10:60:7, 3].mul_(1e4),
    "whole tokens": lambda model: table_of(model)[10:60:7].mul_(100),
    "what blocks write": louder,
    "gains of norms": gains,
    "small weights": lambda model: grown(model, 0.1),
}
"""Activations that are out of all proportion, in various places."""


def wiring(anatomy):
    return [
        (b.attn_out, b.mlp_out, tuple(w for s in b.steps for w, _ in s.writers), b.constant, round(b.scale, 2))
        for b in anatomy.blocks
    ]


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gptj", "deepseek_v3", "bloom"])
@pytest.mark.parametrize("how", PLANTS)
def test_the_wiring_is_that_of_float32(name, how, half):
    model = zoo.build(name)
    with torch.no_grad():
        PLANTS[how](model)
    assert wiring(dissect(model)) == wiring(dissect(model.to(half), tokenizer=zoo.tokenizer()))


# Of these a tolerance of 5 % took other wirings than float32 does: without their MLP, or without their biases.
@pytest.mark.parametrize(("kind", "family"), [("gpt_neox_japanese", "causal"), ("fuyu", "causal"), ("zaya", "causal"), ("bert", "causal"),
                                              ("mamba", "causal"), ("muse_spark", "image")])  # fmt: skip
def test_odd_classes_have_the_wiring_of_float32(kind, family, half):
    model = tiny(kind, family)
    found, again = dissect(model), dissect(model.to(half))
    for a, b in zip(found.blocks, again.blocks, strict=True):
        assert (a.attn_out, a.mlp_out, a.ssm_out, a.others, a.constant, a.channels) == (
            b.attn_out,
            b.mlp_out,
            b.ssm_out,
            b.others,
            b.constant,
            b.channels,
        )
        for one, other in zip(a.steps, b.steps, strict=True):
            assert other.carry == pytest.approx(one.carry, abs=0.03)


def test_constants_are_found(half):
    assert dissect(zoo.build("granite-scaled").to(half)).blocks[0].scale == pytest.approx(0.22, rel=1e-2)
    assert dissect(zoo.build("llama").to(half)).blocks[0].scale == 1


# ---- what is wrong


def massive(model):
    with torch.no_grad():
        model.model.embed_tokens.weight[10:60:7, 3] = 3000
        for block in model.model.layers:
            block.self_attn.o_proj.weight[3] *= 10
            block.mlp.down_proj.weight[3] *= 10
    return model


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("change", [lambda model: model, massive], ids=["plain", "massive"])
@pytest.mark.parametrize(
    "wrong",
    [{"mlp_out": None}, {"attn_out": None}, {"mlp_out": "input_layernorm"}, {"attn_out": "post_attention_layernorm"},
     {"attn_out": "self_attn.q_proj"}, {"attn_out": "mlp"}],
    ids=str,
)  # fmt: skip
def test_a_wrong_wiring_given_by_hand_is_refused(wrong, change, dtype):
    with pytest.raises(AnatomyError, match="adds up"):
        dissect(change(zoo.build("llama")).to(dtype), {**PARTS, **wrong})


BEYOND = {
    "another scale for each token": lambda x, out: (
        x + (out - x) * torch.linspace(0.9, 1.1, x.shape[1]).to(x)[None, :, None]
    ),
    "neighbours": lambda x, out: out + 0.05 * x.roll(1, -1),
    "a squashed sum": lambda x, out: x + torch.tanh(out - x),
    "a writer that is no module": lambda x, out: out + 0.1 * torch.nn.functional.silu(x),
    "a limit": lambda x, out: out.clamp(-1, 1),  # noqa: ARG005
}


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("beyond", BEYOND)
def test_a_block_that_does_something_else_is_refused(beyond, dtype):
    model = massive(zoo.build("llama")).to(dtype)
    for block in model.model.layers:
        block.forward = lambda hidden_states, *args, own=block.forward, **more: BEYOND[beyond](
            hidden_states, own(hidden_states, *args, **more)
        )
    with pytest.raises(AnatomyError, match="adds up"):
        dissect(model)


# ---- what cannot be seen


@pytest.mark.parametrize("name", ["llama", "gpt2", "falcon", "gptj"])
def test_what_is_smaller_than_rounding_is_told_apart(name, half):
    model = zoo.build(name)
    grown(model.get_submodule(dissect(model).path), 0.005)
    assert all(block.mlp_out and block.attn_out for block in dissect(model).blocks)
    with pytest.raises(AnatomyError, match=UNSEEN):
        dissect(model.to(half))


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gptj", "bloom", "olmo2"])
@pytest.mark.parametrize("by", [0.1, 0.01])
def test_a_block_that_is_blurred_is_read_like_one_of_its_class_that_is_not(name, by, half):
    model = grown(zoo.build(name), by, layer=1)
    assert wiring(dissect(model)) == wiring(dissect(model.to(half)))


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
def test_a_block_that_writes_nothing_is_read_like_the_others_or_refused(dtype):
    model = zoo.build("llama")
    with torch.no_grad():
        for block in model.model.layers[1:]:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
    assert {block.identity for block in dissect(model.to(dtype)).blocks} == {"post = pre + self_attn + mlp"}
    with torch.no_grad():
        for block in model.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
    with pytest.raises(AnatomyError, match="LlamaDecoderLayer 0, nothing at all is written"):
        dissect(model)


@pytest.mark.parametrize("wrong", ["mlp", "self_attn"])
def test_but_not_if_it_contradicts_that(wrong, half):
    model = massive(zoo.build("llama"))
    block = model.model.layers[1]
    block.forward = lambda hidden_states, *args, own=block.forward, **more: (
        own(hidden_states, *args, **more) + 0.3 * hidden_states.roll(1, -1)
    )
    grown(block.get_submodule(wrong), 0.01)
    with pytest.raises(AnatomyError, match=f"adds up|{UNSEEN}"):
        dissect(model.to(half))


def test_a_part_that_is_lost_beside_another_one_is_named(half):
    model = zoo.build("llama")
    with torch.no_grad():
        for block in model.model.layers:
            block.mlp.down_proj.weight *= 1e-4
    with pytest.raises(AnatomyError, match="what mlp may write"):
        dissect(model.to(half))


def test_a_part_that_underflows_is_named_and_one_of_zeros_is_left_out():
    model = zoo.build("llama")
    with torch.no_grad():
        for block in model.model.layers:
            block.mlp.down_proj.weight.fill_(1e-7)
            block.mlp.gate_proj.weight *= 1e-3
    with pytest.raises(AnatomyError, match="what mlp may write"):
        dissect(model.to(torch.float16))
    with torch.no_grad():
        for block in model.model.layers:
            block.mlp.down_proj.weight.zero_()
    assert dissect(model).blocks[0].identity == "post = pre + self_attn"


def test_what_overflows_is_told(half):
    model = zoo.build("llama").to(half)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[2] *= 1e38 if half is torch.bfloat16 else 6e4
        model.model.layers[1].mlp.up_proj.weight *= 1e3
    with pytest.raises(
        ModelError, match=f"infinite activations after layer 1.* overflow in {str(half)[6:]}: load it in .*float32"
    ):
        dissect(model)


def test_two_that_cancel_each_other_leave_the_rounding_of_what_was_between():
    draw = torch.Generator().manual_seed(0)
    pre, one, other = (torch.randn(32, 64, generator=draw) for _ in range(3))
    one[5, 7], other[5, 7] = 3e4, -3e4 + 2
    mid = (pre + one).bfloat16()
    post = (mid + other.bfloat16()).bfloat16()
    pre, one, other, post = (x.bfloat16().double() for x in (pre, one, other, post))
    fit = Equations(Judge(torch.finfo(torch.bfloat16).eps), pre, [one, other], post).fit((1, 2))
    assert fit.rounding
    assert fit.is_resolved
    assert fit.weights == pytest.approx((1, 1, 1), abs=0.01)
    left_out = Equations(Judge(torch.finfo(torch.bfloat16).eps), pre, [one], post).fit((1,))
    assert not left_out.rounding
    assert fit.mends(left_out)


def test_the_logit_lens_near_its_cap(half):
    model = zoo.build("gemma2")
    with torch.no_grad():
        model.model.embed_tokens.weight *= 20
        model.model.norm.weight += 3
    lm = LM.wrap(model.to(half), zoo.tokenizer())
    assert lens(lm).scale == 1
    assert lens(lm).cap


# ---- a real model


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_real_model_is_proved_in_every_dtype(dtype):
    lm = LM.load(real.smollm2(), dtype=dtype, device="cpu")
    assert {block.identity for block in lm.anatomy.blocks} == {"post = pre + self_attn + mlp"}
    assert lm.anatomy.error < {"float32": 1e-6, "bfloat16": 0.02, "float16": 2e-3}[dtype]
    assert math.isfinite(lens(lm).error)
    for wrong in ({"mlp_out": None}, {"attn_out": "input_layernorm"}):
        with pytest.raises(AnatomyError, match="adds up"):
            dissect(lm.model, {**PARTS, **wrong}, tokenizer=lm.tokenizer)
