"""The attention tap on every decoder class: rows, logits, restoration, subsets, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from transformers import AttentionInterface

import zoo
from broca.errors import GuardError, SiteUnavailable, StimulusError
from broca.models import attention, hooks
from broca.models import tokens as tok
from broca.models.attention import attention_rows, check_tap, watch_attention
from broca.models.rows import Look
from broca.sites import Site

TEXTS = ("The cat sat on a mat, and slept.", "A dog ran by a")
BYPASS = ("bloom", "codegen", "falcon", "falcon-new", "gpt_neo", "gpt_neox_japanese", "gptj", "mpt")


def batch_of(lm, side="left", texts=TEXTS):
    return next(lm.batches(lm.tokenize(texts), side=side))


def eager_maps(name, batch):
    with torch.no_grad():
        out = zoo.lm(name, attention="eager").call(batch, output_attentions=True)
    assert len(out.attentions) > 0
    return out.attentions


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_rows_equal_eager_weights_and_logits_stay(name):
    lm = zoo.lm(name)
    before = lm.model.config._attn_implementation
    for side in ("left", "right"):
        batch = batch_of(lm, side)
        real = batch.mask.bool()
        untapped = lm.forward(batch)
        maps = eager_maps(name, batch)
        seen = []
        with watch_attention(lm, Look(), seen.append) as proof:
            logits = lm.forward(batch)
        if proof.route == "tap":
            assert torch.equal(logits[real], untapped[real])
        else:
            assert (logits[real] - untapped[real]).abs().max() <= 1e-5
        assert [rows.layer for rows in seen] == list(range(lm.anatomy.n_layers))
        full = attention_rows(lm, batch, rows="all")
        for layer, ours in full.items():
            at_real = ours.transpose(1, 2)[real]
            # Later layers inherit what the kernels differ by, sdpa from eager.
            assert (at_real - maps[layer].transpose(1, 2)[real]).abs().max() <= (5e-6 if layer else 1e-6)
            assert bool(ours.transpose(1, 2)[~real].isnan().all())
            last = ours[torch.arange(len(batch)), :, batch.last]
            assert torch.allclose(seen[layer].weights[:, :, 0], last, atol=1e-6)
            if name != "gpt_oss":
                assert (at_real.sum(-1) - 1).abs().max() <= 1e-5
        assert lm.model.config._attn_implementation == before
        assert torch.equal(lm.forward(batch), untapped)
    for layer, ours in attention_rows(eager := zoo.lm(name, attention="eager"), batch).items():
        at_last = maps[layer][torch.arange(len(batch)), :, batch.last]
        assert (ours[:, :, 0] - at_last).abs().max() <= 1e-6
    assert check_tap(eager).route == proof.route == ("weights" if name in BYPASS else "tap")
    assert len(lm.notes) == (name in BYPASS)


def test_the_tap_keeps_the_kernel_that_the_model_would_use():
    assert zoo.lm("gemma2").model.config._attn_implementation == "eager"
    assert zoo.lm("gpt_oss").model.config._attn_implementation == "eager"
    assert zoo.lm("llama").model.config._attn_implementation == "sdpa"


def test_sinks_take_mass():
    lm = zoo.lm("gpt_oss")
    with torch.no_grad():
        for block in lm.model.model.layers:
            block.self_attn.sinks.fill_(3.0)
    batch = batch_of(lm)
    rows = attention_rows(lm, batch)[0]
    assert rows.sum(-1).max() < 0.95
    with torch.no_grad():
        maps = lm.call(batch, output_attentions=True).attentions
    assert torch.allclose(rows[:, :, 0], maps[0][:, :, -1], atol=1e-6)


def test_soft_capping_matters_and_is_followed():
    lm = zoo.lm("gemma2")
    batch = batch_of(lm)
    for block in lm.model.model.layers:
        block.self_attn.attn_logit_softcapping = 0.5
        block.self_attn.scaling = 2.0
    with torch.no_grad():
        maps = lm.call(batch, output_attentions=True).attentions
    assert torch.allclose(attention_rows(lm, batch)[1][:, :, 0], maps[1][:, :, -1], atol=1e-6)
    assert maps[1][0, :, -1].max() < 0.3


@pytest.mark.parametrize("name", ["llama", "gpt_oss", "gptj", "gpt_bigcode"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_subsets_are_slices_of_the_whole(name, side):
    lm = zoo.lm(name)
    batch = batch_of(lm, side)
    full = attention_rows(lm, batch, rows="all")
    some = attention_rows(lm, batch, rows="all", heads=(3, 1), layers=(2, 0))
    assert list(some) == [0, 2]
    for layer, rows in some.items():
        assert torch.allclose(rows, full[layer][:, [3, 1]], atol=1e-6, equal_nan=True)
    by_layer = attention_rows(lm, batch, rows="all", heads={1: [2]})
    assert list(by_layer) == [1]
    assert torch.allclose(by_layer[1], full[1][:, [2]], atol=1e-6, equal_nan=True)
    picked = attention_rows(lm, batch, rows=(0, 5, -2))[1]
    for row, tokens in enumerate(batch.tokens):
        at = [int(batch.start[row]) + i for i in (0, 5, len(tokens) - 2)]
        assert torch.allclose(picked[row], full[1][row][:, at], atol=1e-6)


@pytest.mark.parametrize("name", ["llama", "bloom"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_spans_sum_the_mass_of_their_tokens(name, side):
    lm = zoo.lm(name)
    batch = batch_of(lm, side)
    spans = [[(0, 3), (4, 7)], [(0, 1), (2, 5)]]
    full = attention_rows(lm, batch)[2]
    mass = attention_rows(lm, batch, spans=spans)[2]
    assert mass.shape == (2, 4, 1, 2)
    for row, index in enumerate(batch.index):
        for column, (start, end) in enumerate(spans[index]):
            # One character a token, BOS in front.
            keys = [int(batch.start[row]) + 1 + i for i in range(start, end)]
            assert torch.allclose(mass[row, :, 0, column], full[row, :, 0, keys].sum(-1), atol=1e-6)


def test_blocks_of_queries_make_the_same_map(monkeypatch):
    lm = zoo.lm("qwen3")
    batch = batch_of(lm)
    whole = attention_rows(lm, batch, rows="all")
    monkeypatch.setattr("broca.models.rows._CELLS", 1000)
    seen = []
    with watch_attention(lm, Look("all", layers=(1,)), seen.append):
        lm.forward(batch)
    assert len(seen) > 5
    assert torch.allclose(torch.cat([rows.weights for rows in seen], 2), whole[1], atol=1e-6, equal_nan=True)


def test_the_sdpa_kernel_without_a_mask_is_causal():
    lm = zoo.lm("llama")
    batch = batch_of(lm, texts=TEXTS[:1])
    full = attention_rows(lm, batch, rows="all")[0]
    assert torch.equal(full, full.tril())
    assert (full.sum(-1) - 1).abs().max() < 1e-6


def test_generation_shows_one_query_a_token():
    lm = zoo.lm("llama")
    seen = []
    with watch_attention(lm, Look(layers=(1,)), seen.append):
        text = lm.generate(TEXTS, max_new_tokens=3)
    longest = max(map(len, lm.tokenize(TEXTS)))
    assert [rows.weights.shape for rows in seen] == [(2, 4, 1, longest + i) for i in range(3)]
    assert all((rows.weights.sum(-1) - 1).abs().max() < 1e-5 for rows in seen)
    assert text == lm.generate(TEXTS, max_new_tokens=3)


def test_bfloat16_rows_are_float32_and_sum_to_one():
    lm = zoo.lm("llama")
    lm.model.to(torch.bfloat16)
    rows = attention_rows(lm, batch_of(lm))[0]
    assert rows.dtype == torch.float32
    assert (rows.sum(-1) - 1).abs().max() < 1e-6


def test_contexts_nest_and_see_edits():
    lm = zoo.lm("llama")
    batch = batch_of(lm)
    whole = attention_rows(lm, batch)
    outer, inner = [], []
    lesion = {Site(0, "resid_post"): torch.zeros_like}
    with watch_attention(lm, Look(layers=(0, 2)), outer.append):
        with (
            hooks.edit_sites(lm.model, lm.anatomy, lesion) as fired,
            watch_attention(lm, Look(heads=(1,)), inner.append),
        ):
            lm.forward(batch)
        assert fired[Site(0, "resid_post")] == 1
        lm.forward(batch)
    assert [rows.layer for rows in outer] == [0, 2, 0, 2]
    assert [rows.layer for rows in inner] == [0, 1, 2]
    assert torch.equal(outer[2].weights, whole[0])
    assert torch.equal(outer[3].weights, whole[2])
    assert torch.equal(outer[0].weights, whole[0])
    assert not torch.allclose(outer[1].weights, whole[2], atol=1e-3)
    assert torch.allclose(inner[2].weights, outer[1].weights[:, [1]], atol=1e-6)


@pytest.mark.parametrize("name", ["llama", "falcon"])
def test_nothing_is_left_behind_after_an_exception(name):
    lm = zoo.lm(name)
    batch = batch_of(lm)
    check_tap(lm)
    before, logits = counted_hooks(lm.model), lm.forward(batch)

    def fail(rows):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), watch_attention(lm, Look(), fail):
        lm.forward(batch)
    assert lm.model.config._attn_implementation == "sdpa"
    assert counted_hooks(lm.model) == before
    assert torch.equal(lm.forward(batch), logits)


def counted_hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_the_proof_disturbs_no_edit_and_no_read():
    lm = zoo.lm("llama")
    shown = []
    site = Site(1, "resid_post")
    with (
        hooks.edit_sites(lm.model, lm.anatomy, {site: lambda x: x * 0}) as fired,
        hooks.read_sites(lm.model, lm.anatomy, {site: shown.append}),
    ):
        check_tap(lm)
    assert fired == {site: 0}
    assert shown == []


def test_the_proof_runs_once(monkeypatch):
    lm = zoo.lm("gptj")
    first = check_tap(lm)
    monkeypatch.setattr(attention, "_prove_tap", None)
    assert check_tap(lm) is first
    assert sum("bypasses" in note for note in lm.notes) == 1


def test_refuses_a_kernel_it_cannot_follow(monkeypatch):
    lm = zoo.lm("llama")
    real = AttentionInterface._global_mapping["sdpa"]
    monkeypatch.setitem(
        AttentionInterface._global_mapping, "sdpa", lambda *a, **k: (real(*a, **{**k, "scaling": 1.0})[0], None)
    )
    with pytest.raises(GuardError, match="rows times values"):
        attention_rows(lm, batch_of(lm))
    assert lm.model.config._attn_implementation == "sdpa"


def test_refuses_when_the_tap_changes_the_model(monkeypatch):
    lm = zoo.lm("llama")
    config = lm.model.config
    for block in lm.model.model.layers:
        block.register_forward_hook(lambda _m, _a, out: out + (config._attn_implementation != "sdpa"))
    with pytest.raises(GuardError, match="changes the logits"):
        attention_rows(lm, batch_of(lm))


def test_refuses_other_kernels():
    lm = zoo.lm("llama")
    lm.model.set_attn_implementation("flex_attention")
    with pytest.raises(GuardError, match="flex_attention"):
        check_tap(lm)


def test_refuses_a_class_that_returns_no_weights(monkeypatch):
    lm = zoo.lm("gptj")
    forward = lm.model.transformer.forward

    def silent(*args, **kwargs):
        out = forward(*args, **kwargs)
        out.attentions = ()
        return out

    monkeypatch.setattr(lm.model.transformer, "forward", silent)
    with pytest.raises(GuardError, match="returns no attention"):
        check_tap(lm)


def test_errors_of_a_request():
    lm = zoo.lm("llama")
    batch = batch_of(lm)
    with pytest.raises(SiteUnavailable, match="layer 3 has no attention"):
        attention_rows(lm, batch, layers=[3])
    with pytest.raises(SiteUnavailable, match="heads 0 to 3"):
        attention_rows(lm, batch, heads=[4])
    with pytest.raises(StimulusError, match="15 tokens"):
        attention_rows(lm, batch, rows=(20,))
    with pytest.raises(StimulusError, match="same number of spans"):
        attention_rows(lm, batch, spans=[[(0, 1)], []])
    assert lm.model.config._attn_implementation == "sdpa"


def test_padding_ids_do_not_matter():
    lm = zoo.lm("mistral")
    batch = batch_of(lm)
    other = tok.pad_tokens(batch.tokens, range(len(batch)), 7)
    for layer, rows in attention_rows(lm, batch).items():
        assert torch.allclose(rows, attention_rows(lm, other)[layer], atol=1e-6)


def test_a_model_called_by_itself_is_refused_for_nobody_says_what_passes():
    lm = zoo.lm("llama")
    with pytest.raises(GuardError, match="called directly"), watch_attention(lm, Look(), lambda _: None):
        lm.model(torch.tensor([[3, 4, 5]]))


def test_each_text_may_have_rows_of_its_own():
    lm = zoo.lm("llama")
    batch = next(lm.batches(lm.tokenize(["one two three", "seven"])))
    every = attention_rows(lm, batch, rows="all")[1]
    own = attention_rows(lm, batch, rows=((0, -1, 3), (-2,)))[1]
    (long, short), start = batch.index, batch.start.tolist()
    assert (long, short) == (0, 1)
    torch.testing.assert_close(own[0], every[0][:, [0, 13, 3]])
    torch.testing.assert_close(own[1, :, :1], every[1][:, [start[1] + 4]])
    assert own[1, :, 1:].isnan().all()
    with pytest.raises(StimulusError, match="1 lists of attention rows come with 2 texts"):
        attention_rows(lm, batch, rows=((0, 1),))
    with pytest.raises(StimulusError, match="rows 9 are asked for, but a text has only 6 tokens"):
        attention_rows(lm, batch, rows=((0,), (9,)))
