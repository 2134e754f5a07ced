"""Attention rows of another run in place of a model's own: what follows from them follows, and nothing stays behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import zoo
from broca.errors import GuardError, SelectionError, StimulusError
from broca.interventions.pattern import Pattern, PatternPatch, carried_patterns
from broca.interventions.plant import text_key
from broca.models import hooks
from broca.models.attention import attention_rows, swap_attention
from broca.models.continuation import continuation_logprobs
from broca.models.rows import RowReplacement, carry_rows
from broca.units import UnitMask

CLEAN, TYPO = ("ab cd ef? gh", "a. bcd. what"), ("ab ccd ef? gh", "a. bd. what")
COVERS = (
    ((0,), (1,), (2,), (3,), (4, 5), *((i + 1,) for i in range(5, 13))),
    ((0,), (1,), (2,), (3,), (4,), (), *((i - 1,) for i in range(6, 13))),
)
QUERIES = (((6, 12), (7, 13)), ((6, 9, 12), (5, 8, 11)))
INTERFACED = ["llama", "gpt2", "gemma2", "gpt_oss", "mistral", "phi", "deepseek_v3", "diffllama"]


def batch_of(lm, texts, side="left"):
    return next(lm.batches(lm.tokenize(texts), side=side))


def own(lm, texts):
    tokens = lm.tokenize(texts)
    identity = [[(i,) for i in range(len(each))] for each in tokens]
    everything = [(tuple(range(len(each))),) * 2 for each in tokens]
    return carried_patterns(lm, tokens, tokens, identity, everything)


def foreign(lm, **more):
    return carried_patterns(lm, lm.tokenize(CLEAN), lm.tokenize(TYPO), COVERS, QUERIES, **more)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", INTERFACED)
def test_a_run_patched_with_its_own_rows_is_itself(name, side):
    lm = zoo.lm(name)
    batch = batch_of(lm, TYPO, side)
    real, plain = batch.mask.bool(), lm.forward(batch)
    with lm.under(PatternPatch(own(lm, TYPO))):
        patched = lm.forward(batch)
        lm.assert_fired()
    assert (patched - plain)[real].abs().max() <= 2e-5 * plain[real].abs().max()
    assert torch.equal(lm.forward(batch), plain)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", INTERFACED)
def test_foreign_rows_change_their_own_queries_and_what_follows(name, side):
    lm = zoo.lm(name)
    batch = batch_of(lm, TYPO, side)
    plain, patterns = lm.forward(batch), foreign(lm)
    with lm.under(PatternPatch(patterns)):
        patched = lm.forward(batch)
        rows = attention_rows(lm, batch, rows="all")
    for row, index in enumerate(batch.index):
        start, at = int(batch.start[row]), QUERIES[index][1]
        assert (patched - plain)[row, [start + q for q in at]].abs().amax(-1).min() > 1e-4
        torch.testing.assert_close(
            patched[row, start : start + at[0]], plain[row, start : start + at[0]], atol=1e-5, rtol=1e-5
        )
        key = text_key(lm.tokenize([TYPO[index]])[0].ids)
        shown = rows[1][row][:, [start + q for q in at], start : start + len(batch.tokens[row])]
        torch.testing.assert_close(shown, patterns[key].rows[1])


def test_the_output_is_that_of_the_rows_given():
    """Against eager attention by hand: every head of layer 1 looks at the first token only."""
    lm = zoo.lm("llama")
    batch = batch_of(lm, TYPO[:1])
    n = batch.ids.shape[1]
    rows = torch.zeros(4, n, n)
    rows[:, :, 0] = 1
    key = text_key(batch.tokens[0].ids)
    with lm.under(PatternPatch({key: Pattern(tuple(range(n)), {1: rows})})):
        patched = lm.forward(batch)
    model = zoo.build("llama", attention="eager")
    attention = model.model.layers[1].self_attn
    attention.register_forward_hook(lambda _m, _a, out: (attention.o_proj(first["value"].expand(-1, n, -1)), *out[1:]))
    first = {}

    def keep(_module, _args, value):
        heads = value[:, :1].view(1, 1, 2, 8).repeat_interleave(2, 2)
        first["value"] = heads.reshape(1, 1, -1)

    attention.v_proj.register_forward_hook(keep)
    with torch.no_grad():
        expected = model(input_ids=batch.ids).logits
    torch.testing.assert_close(patched, expected, atol=1e-5, rtol=1e-4)


def test_editing_what_the_model_returns_changes_nothing():
    """The published way: the attentions in the output are edited once the forward has used them. Logits stay as they were."""
    lm = zoo.lm("gemma2", attention="eager")
    batch = batch_of(lm, TYPO)
    plain = lm.next_logits(batch)

    def edit(output):
        output.attentions = tuple(torch.zeros_like(each) for each in output.attentions)

    with hooks.add_arguments(lm.model, edit, output_attentions=True):
        returned = lm.next_logits(batch)
    assert float((returned - plain).abs().max()) == 0.0
    with lm.under(PatternPatch(foreign(lm))):
        assert float((lm.next_logits(batch) - plain).abs().max()) > 1e-3


def test_heads_layers_and_strength_say_what_is_patched():
    lm = zoo.lm("llama")
    batch = batch_of(lm, TYPO)
    before = attention_rows(lm, batch, rows="last")
    heads = UnitMask.of({"1.z": [2]}, n=4, grain="head")
    patterns = foreign(lm)
    with lm.under(PatternPatch(patterns, heads)):
        after = attention_rows(lm, batch, rows="last")
        some = attention_rows(lm, batch, rows="last", heads={1: [2, 0]})[1]
        lm.assert_fired()
    torch.testing.assert_close(after[0], before[0])
    torch.testing.assert_close(after[1][:, [0, 1, 3]], before[1][:, [0, 1, 3]])
    assert not torch.allclose(after[1][:, 2], before[1][:, 2])
    torch.testing.assert_close(some, after[1][:, [2, 0]])
    with lm.under(PatternPatch(patterns, heads, strength=0.25)):
        mixed = attention_rows(lm, batch, rows="last")[1]
    torch.testing.assert_close(mixed, 0.75 * before[1] + 0.25 * after[1])
    with lm.under(PatternPatch(foreign(lm, layers=[2]))):
        torch.testing.assert_close(attention_rows(lm, batch, rows="last")[1], before[1])


def test_a_patched_prompt_is_read_once_and_its_options_follow():
    lm = zoo.lm("llama")
    options = [(" one", " two"), (" red", " blue")]
    plain = continuation_logprobs(lm, TYPO, options)
    with lm.under(PatternPatch(foreign(lm))):
        patched = continuation_logprobs(lm, TYPO, options)
        lm.generate(TYPO, max_new_tokens=2)
    with lm.under(PatternPatch(own(lm, TYPO))):
        same = continuation_logprobs(lm, TYPO, options)
    for i in range(2):
        assert patched[i].logprobs[0] != pytest.approx(plain[i].logprobs[0], abs=1e-4)
        assert same[i].logprobs == pytest.approx(plain[i].logprobs, abs=1e-4)


def test_swaps_nest_see_each_other_and_sleep_when_suspended():
    lm = zoo.lm("llama")
    batch = batch_of(lm, TYPO)
    plain, seen = lm.forward(batch), []

    def even(_layer, shape, _compute):
        rows = torch.full((2, shape[0], 1, shape[2]), 0.0)
        rows[..., -1:] = 0.5
        return RowReplacement(torch.tensor([[shape[1] - 1]]), rows)

    def look(layer, shape, compute):
        seen.append((layer, compute(torch.tensor([[shape[1] - 1]]), [3])))

    with swap_attention(lm, even), swap_attention(lm, look):
        lm.forward(batch)
        with hooks.suspend():
            assert torch.equal(lm.forward(batch), plain)
    assert [layer for layer, _ in seen] == [0, 1, 2]
    assert all(bool((rows[..., -1] == 0.5).all()) and float(rows.sum()) == 1 for _, rows in seen)
    with pytest.raises(GuardError, match="no pattern for"), lm.under(PatternPatch(own(lm, CLEAN))):
        lm.forward(batch)
    assert torch.equal(lm.forward(batch), plain)


def test_carried_rows_keep_their_sums_and_follow_the_characters():
    rows = torch.tensor([[0.5, 0.2, 0.3, 0.0], [0.1, 0.2, 0.3, 0.2]])
    torch.testing.assert_close(carry_rows(rows, [(0,), (1,), (2,), (3,)], 4), rows)
    moved = carry_rows(rows, [(0,), (1, 2), (), (4,)], 5)
    torch.testing.assert_close(moved.sum(-1), rows.sum(-1))
    torch.testing.assert_close(moved[0], torch.tensor([0.5, 0.1, 0.1, 0, 0]) / 0.7)
    joined = carry_rows(rows, [(0,), (1,), (1,), (2,)], 3)
    torch.testing.assert_close(joined[0], torch.tensor([0.5, 0.5, 0.0]))
    early = carry_rows(rows, [(0,), (1, 2), (), (4,)], 5, at=(1, 4))
    assert float(early[0, 2]) == 0
    assert carry_rows(rows, [(), (), (), (0,)], 1)[0].isnan().all()


def test_what_cannot_be_patched_is_refused():
    lm = zoo.lm("llama")
    patterns = own(lm, TYPO)
    key, pattern = next(iter(patterns.items()))
    rows = pattern.rows[0]
    for wrong, words in (
        ({"queries": ()}, "at least one query"),
        ({"rows": {0: rows[:, 1:]}}, "a row a query"),
        ({"rows": {0: rows * float("nan")}}, "nothing is left"),
        ({"rows": {0: rows.flip(-1)}}, "behind its query"),
    ):
        with pytest.raises(SelectionError, match=words):
            replace(pattern, **wrong)
    with pytest.raises(SelectionError, match="at least one text"):
        PatternPatch({})
    with pytest.raises(SelectionError, match="0 to 1"):
        PatternPatch(patterns, strength=2)
    with (
        pytest.raises(SelectionError, match="has layer 7"),
        lm.under(PatternPatch({key: replace(pattern, rows={7: rows})})),
    ):
        pass
    other = {name: replace(each, rows={0: each.rows[0][:3]}) for name, each in patterns.items()}
    with pytest.raises(SelectionError, match="has 3 heads"), lm.under(PatternPatch(other)):
        lm.forward(batch_of(lm, TYPO))
    with pytest.raises(GuardError, match="bypasses"), zoo.lm("gptj").under(PatternPatch(patterns)):
        pass
    tokens = lm.tokenize(TYPO)
    with pytest.raises(StimulusError, match="comes twice"):
        carried_patterns(lm, tokens, [tokens[0]] * 2, COVERS, QUERIES)
    with pytest.raises(StimulusError, match="a cover for each source token"):
        carried_patterns(lm, lm.tokenize(CLEAN), tokens, (COVERS[0], COVERS[1][1:]), QUERIES)


def test_fingerprints_tell_what_is_patched_where():
    lm = zoo.lm("llama")
    heads = UnitMask.of({"1.z": [2]}, n=4, grain="head")
    patches = [PatternPatch(own(lm, TYPO)), PatternPatch(foreign(lm)), PatternPatch(foreign(lm), heads)]
    patches += [PatternPatch(foreign(lm), strength=0.5), PatternPatch(foreign(lm, layers=[0]))]
    assert len({patch.fingerprint for patch in patches}) == len(patches)
    assert PatternPatch(foreign(lm)).fingerprint == PatternPatch(foreign(lm)).fingerprint
