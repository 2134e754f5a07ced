"""Options over one reading of their prompt: the same numbers as one text at a time, on every decoder class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import DynamicCache, PreTrainedTokenizerFast

import zoo
from broca.errors import GuardError, StimulusError
from broca.interventions.lesion import Lesion, Mean, Resample
from broca.models import continuation, hooks
from broca.models.build import fresh
from broca.models.continuation import continuation_logprobs, logprobs
from broca.models.lm import LM
from broca.models.questions import split
from broca.models.rendering import TokenizerText
from broca.sites import Site
from broca.units import UnitMask

PROMPTS = [("Ann put the key in the box. Bo took it " * 2)[: 2 + 4 * i] for i in range(16)]
OPTIONS = [[(" box", " bag of"), (" a", " jar", " cup!!"), ("x", "y"), ("?",)][i % 4] for i in range(16)]


def flat(found):
    return np.array([value for one in found for value in one.logprobs])


@torch.no_grad()
def plain(lm, prompt, option):
    """One text, no cache, the whole softmax: written without the room under test, for tokenizers that never merge."""
    start = len(lm.tokenizer(prompt)["input_ids"])
    ids = torch.tensor([lm.tokenizer(prompt + option)["input_ids"]])
    logp = torch.log_softmax(lm.model(input_ids=ids, use_cache=False).logits[0].double(), -1)
    return sum(float(logp[t - 1, ids[0, t]]) for t in range(start, ids.shape[1]))


@pytest.fixture
def lm():
    return zoo.lm("llama")


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_every_way_and_batch_size_gives_the_plain_numbers(name):
    lm = zoo.lm(name)
    questions = split(lm, PROMPTS, OPTIONS)
    whole = logprobs(lm, questions, size=16)
    assert not lm.notes, "the cache of this class is expected to repeat"
    for other in (
        logprobs(lm, questions, size=1),
        logprobs(lm, questions, size=16, way="plain"),
        logprobs(lm, questions, size=16, way="plain", side="right"),
    ):
        np.testing.assert_allclose(flat(other), flat(whole), rtol=0, atol=1e-5)
    reference = [plain(lm, p, o) for p, own in zip(PROMPTS[:4], OPTIONS, strict=False) for o in own]
    np.testing.assert_allclose(flat(whole[:4]), reference, rtol=0, atol=1e-5)
    assert [one.tokens for one in whole[:4]] == [(4, 7), (2, 4, 6), (1, 1), (1,)]


@pytest.mark.parametrize("name", ["mistral", "gemma2", "cohere2", "gpt_oss", "olmo3"])
def test_sliding_windows_shorter_than_the_prompt(name):
    config = {**zoo.CONFIGS[name], "sliding_window": 8, "max_position_embeddings": 128}
    lm = LM.wrap(fresh(config).float(), zoo.tokenizer())
    found = continuation_logprobs(lm, PROMPTS, OPTIONS)
    assert not lm.notes
    np.testing.assert_allclose(
        flat(found), [plain(lm, p, o) for p, own in zip(PROMPTS, OPTIONS, strict=True) for o in own], rtol=0, atol=1e-5
    )


def test_one_token_options_cost_one_forward_pass_and_longer_ones_two(lm, monkeypatch):
    continuation_logprobs(lm, PROMPTS[:6], [("a", "b")] * 6)
    continuation_logprobs(lm, PROMPTS[:6], [("ab", "b")] * 6)  # both kinds are proved from here on
    calls, call = [], LM.call
    monkeypatch.setattr(LM, "call", lambda self, batch, **more: calls.append(len(batch)) or call(self, batch, **more))
    continuation_logprobs(lm, PROMPTS[:6], [("a", "b", "c")] * 6)
    assert calls == [6]
    calls.clear()
    continuation_logprobs(lm, PROMPTS[:6], [("ab", "b", "cde")] * 6)
    assert calls == [6, 18]


def test_positions_of_padding_stay_inside_the_context():
    lm = zoo.lm("gpt2")
    prompt = "a" * (lm.context - 4)  # with BOS, two short of the context
    found = continuation_logprobs(lm, [prompt, "b"], [("xyz", "x"), ("x", "y" * 40)])
    assert not lm.notes, "an embedding was asked for a position that it does not have"
    np.testing.assert_allclose(
        flat(found), [plain(lm, prompt, "xyz"), plain(lm, prompt, "x"), plain(lm, "b", "x"), plain(lm, "b", "y" * 40)],
        rtol=0, atol=1e-5,
    )  # fmt: skip


def test_what_does_not_fit_is_refused_by_name():
    lm = zoo.lm("gpt2")
    continuation_logprobs(lm, ["a" * 127], [("x", "y")])
    with pytest.raises(StimulusError, match=r"story 7: .* need 129 tokens.* 128"):
        continuation_logprobs(lm, ["a" * 127], [("x", "yz")], names=["story 7"])


# -- where the option starts ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def merging():
    """A byte-level BPE tokenizer that merges across word ends and has no BOS."""
    made = Tokenizer(models.BPE())
    made.decoder = decoders.ByteLevel()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    corpus = [" the", " then", " the", " box", " bag", "théâtre", "naïve"] * 20
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<pad>"], show_progress=False
    )  # fmt: skip
    made.train_from_iterator(corpus, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>")
    config = {**zoo.CONFIGS["llama"], "vocab_size": len(tokenizer)}
    return LM.wrap(fresh(config).float(), tokenizer)


@settings(max_examples=200)
@given(
    prompt=st.text(alphabet="the rinboxag áé\n🙂", min_size=2, max_size=12),
    options=st.lists(st.text(alphabet="the rinboxag áé\n🙂", min_size=1, max_size=6), min_size=1, max_size=4),
)
def test_a_cut_loses_nothing_and_prices_the_whole_string(merging, prompt, options):
    whole = [merging.tokenize([prompt + option])[0].ids for option in options]
    alone = merging.tokenize([prompt])[0].ids
    shared = next((i for i in range(len(alone), -1, -1) if all(w[:i] == alone[:i] for w in whole)), 0)
    if not shared or any(len(w) <= shared for w in whole) or len(set(whole)) < len(whole):
        with pytest.raises(StimulusError, match="prompt 0"):
            split(merging, [prompt], [options])
        return
    (question,) = split(merging, [prompt], [options])
    assert question.shared.ids == alone[:shared]
    assert [question.shared.ids + option for option in question.options] == list(whole)
    assert question.shared.offsets is not None
    assert len(question.shared.offsets) == shared


def test_a_merge_across_the_border_is_priced_as_the_model_would_see_it(merging):
    (question,) = split(merging, ["at in the"], [("n", " box")])
    assert len(question.shared) < len(merging.tokenize(["at in the"])[0]), "the fixture's tokenizer does not merge"
    found = continuation_logprobs(merging, ["at in the"], [("n", " box")])[0]
    for option, value in zip(("n", " box"), found.logprobs, strict=True):
        ids = torch.tensor([merging.tokenize(["at in the" + option])[0].ids])
        with torch.no_grad():
            logp = merging.model(input_ids=ids).logits[0].log_softmax(-1)
        expected = sum(float(logp[t - 1, ids[0, t]]) for t in range(len(question.shared), ids.shape[1]))
        assert value == pytest.approx(expected, abs=1e-5)


def test_nothing_left_to_condition_on_is_refused(merging):
    with pytest.raises(StimulusError, match="shares no token"):
        split(merging, ["t"], [("he", "x")])


def test_an_option_that_adds_no_token_is_refused(lm):
    with pytest.raises(StimulusError, match=r"prompt 1: these options tokenise to nothing .*\[''\]"):
        continuation_logprobs(lm, ["a", "b"], [("x",), ("y", "")])


def test_a_template_stays_a_template(lm):
    once = split(lm, [TokenizerText("<bos>ab", templated=True)], [("c",)])[0]
    assert once.shared.ids == tuple(lm.tokenizer("ab")["input_ids"])


def test_eos_that_the_tokenizer_appends_is_no_part_of_an_option(lm):
    from tokenizers import processors

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(lm.tokenizer.backend_tokenizer.to_str()),
        pad_token="<pad>", bos_token="<bos>", eos_token="<eos>",
    )  # fmt: skip
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    ending = replace(lm, tokenizer=tokenizer)
    for templated in (False, True):
        prompt = TokenizerText("ab", templated)
        assert split(ending, [prompt], [("c", "de")]) == split(lm, [prompt], [("c", "de")])
    kept = ending.tokenize([TokenizerText("ab<eos>", templated=True)])[0]
    assert kept.ids[-1] == tokenizer.eos_token_id, "an end-of-turn token that the template wrote is the template's"


def test_no_prompts_no_results(lm):
    assert continuation_logprobs(lm, [], []) == []


# -- the guard ------------------------------------------------------------------------------------------------------


def _wrong(self, repeats):
    for layer in self.layers:
        layer.batch_repeat_interleave(repeats)
        layer.keys = layer.keys.flip(0)


def _impossible(self, repeats):
    raise NotImplementedError


@pytest.mark.parametrize("repeat", [_wrong, _impossible])
def test_a_cache_that_does_not_repeat_is_found_out_once(lm, monkeypatch, repeat):
    truth = flat(continuation_logprobs(lm, PROMPTS, OPTIONS, way="alone"))
    monkeypatch.setattr(DynamicCache, "batch_repeat_interleave", repeat)
    for _ in range(2):
        np.testing.assert_allclose(flat(continuation_logprobs(lm, PROMPTS, OPTIONS)), truth, rtol=0, atol=1e-5)
    notes = [note for note in lm.notes if note.startswith("Scoring")]
    assert len({note.split(":")[0] for note in notes}) == 1
    assert len(notes) <= 3, "at most one note a kind of batch"


def test_a_model_that_minds_its_padding_is_read_in_batches_of_one_length(lm, monkeypatch):
    truth = flat(continuation_logprobs(lm, PROMPTS, OPTIONS, way="alone"))
    forward = lm.model.forward
    lm.accepts  # noqa: B018 - the signature is read before it is hidden

    def blind(**kwargs):
        return forward(**{**kwargs, "attention_mask": torch.ones_like(kwargs["attention_mask"])})

    monkeypatch.setattr(lm.model, "forward", blind)
    np.testing.assert_allclose(flat(continuation_logprobs(lm, PROMPTS, OPTIONS)), truth, rtol=0, atol=1e-5)
    assert any("only texts of one length share a batch" in note for note in lm.notes)


def test_the_guard_sees_the_bare_model(lm, monkeypatch):
    """It must neither blame a lesion for a difference, nor run it: a lesion's counters tell of the measured passes."""
    site = Site(1, "resid_post")
    lesion = Lesion(UnitMask.of({site: [0, 3]}, n=32), positions="last")
    asked = []
    monkeypatch.setattr(continuation, "_prove", lambda *a, real=continuation._prove: asked.append(a) or real(*a))
    with lm.under(lesion):
        first = flat(continuation_logprobs(lm, PROMPTS, OPTIONS))
    assert asked
    assert not lm.notes
    with lm.under(lesion):
        np.testing.assert_array_equal(flat(continuation_logprobs(lm, PROMPTS, OPTIONS)), first)
    assert np.abs(first - flat(continuation_logprobs(lm, PROMPTS, OPTIONS))).max() > 1e-3


@pytest.mark.parametrize("fill", ["zero", "mean", "resample"])
def test_lesions_act_on_prompt_and_options_alike_whatever_the_batch(lm, fill):
    site = Site(1, "mlp_out")
    values = {site: np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)}
    made = {"zero": {}, "mean": {"fill": Mean({site: values[site][0]})}, "resample": {"fill": Resample(values)}}[fill]
    with lm.under(Lesion(UnitMask.of({site: list(range(16))}, n=32), **made)):
        whole = flat(continuation_logprobs(lm, PROMPTS, OPTIONS, size=16))
        np.testing.assert_allclose(flat(continuation_logprobs(lm, PROMPTS, OPTIONS, size=3)), whole, rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            flat(continuation_logprobs(lm, PROMPTS, OPTIONS, way="alone")), whole, rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("positions", ["prompt", "last", "generated", (0, -2)])
def test_positions_are_the_same_tokens_whether_options_share_a_reading_or_not(lm, positions):
    lesion = Lesion(UnitMask.of({Site(1, "resid_post"): list(range(16))}, n=32), positions=positions)
    plain = flat(continuation_logprobs(lm, PROMPTS, OPTIONS))
    with lm.under(lesion):
        found = {
            way: flat(continuation_logprobs(lm, PROMPTS, OPTIONS, way=way)) for way in ("cached", "plain", "alone")
        }
    assert np.abs(found["cached"] - plain).max() > 1e-3
    np.testing.assert_allclose(found["plain"], found["cached"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found["alone"], found["cached"], rtol=0, atol=1e-5)


def test_what_takes_all_that_passes_for_the_prompt_is_refused_where_prompt_and_option_pass_together(lm):
    class Last:
        fingerprint, reads_prompt = "last column", True

        def apply(self, lm):
            return hooks.edit_sites(
                lm.model,
                lm.anatomy,
                {Site(1, "resid_post"): lambda x: x.index_fill(1, torch.tensor([x.shape[1] - 1]), 0)},
            )

    with lm.under(Last()):
        continuation_logprobs(lm, PROMPTS, OPTIONS, way="cached")
        with pytest.raises(GuardError, match="reads_prompt = False"):
            continuation_logprobs(lm, PROMPTS, OPTIONS, way="plain")


def test_an_edit_that_never_ran_is_reported(lm):
    class Idle:
        fingerprint, reads_prompt = "idle", False

        def apply(self, _lm):
            from contextlib import nullcontext

            return nullcontext({Site(0, "z"): 0})

    with lm.under(Idle()), pytest.raises(GuardError, match=r"0\.z did not run"):
        continuation_logprobs(lm, ["a"], [("x",)])


def test_memory_that_runs_out_halves_the_batch(lm, monkeypatch):
    truth = flat(continuation_logprobs(lm, PROMPTS, OPTIONS))
    call = LM.call

    def small(self, batch, **more):
        if len(batch) > 6:
            raise torch.OutOfMemoryError
        return call(self, batch, **more)

    monkeypatch.setattr(LM, "call", small)
    np.testing.assert_allclose(flat(continuation_logprobs(lm, PROMPTS, OPTIONS)), truth, rtol=0, atol=1e-5)
    assert any("Out of memory" in note for note in lm.notes)
