"""The checks on a user's own model: what passes, what narrows, what stops."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel

import zoo
from broca.errors import GuardError
from broca.instruments.selftest.checkup import checkup
from broca.models.lm import LM
from broca.models.miniatures import draw_weights, tiny

pytestmark = pytest.mark.filterwarnings("ignore:.*[Rr]o[Pp][Ee].*")


def states(lm):
    return {guard.name: guard.state for guard in checkup(lm)}


def wrapped(kind, family="causal"):
    return LM.wrap(tiny(kind, family), zoo.tokenizer(), name=kind)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "falcon", "deepseek_v3"])
def test_a_sound_model_passes_every_check(name):
    lm = zoo.lm(name)
    notes = list(lm.notes)
    found = checkup(lm)
    assert [guard.name for guard in found] == [
        "wiring",
        "one start",
        "left to right",
        "padding",
        "attention rows",
        "lesions",
    ]
    assert {guard.state for guard in found} == {"passed"}, found
    assert "all comes back bit for bit" in found[-1].text
    assert [note for note in lm.notes if "bypasses" not in note] == notes


def test_bfloat16_passes_too():
    lm = LM.wrap(zoo.build("llama").to(torch.bfloat16), zoo.tokenizer())
    assert set(states(lm).values()) == {"passed"}


def test_padding_that_moves_logits_narrows_to_batches_of_one_length():
    lm = wrapped("rwkv")
    (padding,) = (guard for guard in checkup(lm) if guard.name == "padding")
    assert "only texts of one length share a batch" in padding.text
    assert any("only texts of one length share a batch" in note for note in lm.notes)
    n = len(lm.notes)
    checkup(lm)
    assert len(lm.notes) == n


def test_a_model_that_sees_what_comes_later_is_told():
    config = BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        is_decoder=False,
    )
    model = BertLMHeadModel(config)
    draw_weights(model, 0)
    lm = LM.wrap(model, zoo.tokenizer())
    found = {guard.name: guard for guard in checkup(lm)}
    assert found["left to right"].state == "marked"
    assert "generation mean nothing" in found["left to right"].text
    assert found["lesions"].state == "passed"


def test_attention_that_is_not_there_and_attention_sinks_are_told():
    assert states(wrapped("mamba"))["attention rows"] == "marked"
    found = {guard.name: guard for guard in checkup(zoo.lm("gpt_oss"))}
    assert "goes to sinks" in found["attention rows"].text


def test_several_streams_are_checked_at_what_writes_to_them():
    found = {guard.name: guard for guard in checkup(wrapped("deepseek_v4"))}
    assert "4 streams" in found["wiring"].text
    assert found["lesions"].state == "passed"
    assert "At attn_out, mlp_out" in found["lesions"].text


def test_blocks_that_need_a_picture_are_told():
    found = {guard.name: guard for guard in checkup(wrapped("mllama", "image"))}
    assert "Blocks 1, 3 run only with a picture" in found["skipped blocks"].text
    assert found["lesions"].state == "passed"


def test_a_model_that_needs_a_picture_is_narrowed_to_pictures():
    found = checkup(wrapped("blip-2", "image"))
    assert found[-1].name == "text"
    assert "Narrowed to stimuli and items with pictures" in found[-1].text


def test_a_doubled_bos_is_told():
    lm = zoo.lm("llama")
    lm.tokenize = lambda texts: [
        type(one)((1, 5, *one.ids[: 3 + i]), one.text) for i, one in enumerate(LM.tokenize(lm, texts))
    ]
    assert states(lm)["one start"] == "marked"


def test_a_lesion_that_reaches_back_stops_everything():
    lm = zoo.lm("llama")
    for layer in (0, 2):
        lm.model.model.layers[layer].mlp = lm.model.model.layers[1].mlp
    with pytest.raises(GuardError, match=r"1\.mlp_out.* moves what comes before it"):
        checkup(lm)


def test_a_model_with_a_memory_stops_everything():
    lm = zoo.lm("llama")
    mlp = lm.model.model.layers[1].mlp
    forward, calls = mlp.forward, []

    def counting(x):
        calls.append(1)
        return forward(x) * (1 + 1e-3 * len(calls))

    mlp.forward = counting
    with pytest.raises(GuardError, match="own values changed the logits"):
        checkup(lm)
