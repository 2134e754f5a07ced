"""Lesions of higher layers start from what the lower ones handed on: the same numbers, for a share of the work."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zoo
from broca.interventions.lesion import Lesion, Mean, Resample
from broca.models import kept_streams
from broca.models.continuation import logprobs
from broca.models.lm import LM
from broca.models.questions import split
from broca.sites import Site
from broca.units import UnitMask

SHOTS = "Ann put the key in the box. "
PROMPTS = [
    SHOTS + end
    for end in ("Bo took it", "Cy", "Di hid the cup and", "Ed is in the", "Flo saw", "Gus", "Hal", "Ida sat")
] * 2
APART = [chr(ord("a") + i) * (3 + i) for i in range(16)]
OPTIONS = [(" box", " bag of"), (" a", " jar!!")] * 8


@pytest.fixture(autouse=True)
def worth_it(monkeypatch):
    monkeypatch.setattr(kept_streams, "FEWEST", 0)
    monkeypatch.setattr(kept_streams, "_kept", type(kept_streams._kept)())
    monkeypatch.setattr(kept_streams, "_proved", type(kept_streams._proved)())


def flat(found):
    return np.array([value for one in found for value in one.logprobs])


def lesion(lm, layer, seed=0, kind="mlp_out", **how):
    site = Site(layer, kind)
    return Lesion(UnitMask({site: np.random.default_rng(seed).random(lm.anatomy.width(site)) < 0.5}), **how)


def whole(lm, questions, intervention, monkeypatch):
    with monkeypatch.context() as patch, lm.under(intervention):
        patch.setattr(kept_streams, "FEWEST", float("inf"))
        return flat(logprobs(lm, questions))


def blocks(lm, monkeypatch):
    """Counts the blocks that are computed: yields the list that their numbers are added to."""
    ran = []
    stack = list(lm.model.get_submodule(lm.anatomy.path))
    kind = type(stack[0])
    # Of the class: what hangs on a module itself makes the model another one.
    monkeypatch.setattr(
        kind, "forward", lambda self, *a, real=kind.forward, **k: ran.append(stack.index(self)) or real(self, *a, **k)
    )
    return ran


@pytest.mark.parametrize("name", zoo.CONFIGS)
@pytest.mark.parametrize("prompts", [PROMPTS, APART], ids=["shared", "apart"])
@pytest.mark.parametrize("several", [True, False])
def test_starting_above_gives_the_numbers_of_whole_passes(name, prompts, several, monkeypatch):
    lm = zoo.lm(name)
    lm = LM.wrap(lm.model, lm.tokenizer)
    questions = split(lm, prompts, OPTIONS if several else [("a", "b", "c")] * len(prompts))
    for seed in range(3):
        made = lesion(lm, 1, seed, kind="resid_pre")
        expected = whole(lm, questions, made, monkeypatch)
        with lm.under(made):
            np.testing.assert_array_equal(flat(logprobs(lm, questions)), expected)
    assert not lm.notes, "blocks of this class are expected to be spared"
    # Of a model whose second and last layer attends in its own way no other layer says how long its cache is.
    assert bool(kept_streams._kept.get(lm.model)) is (name != "gpt_neo")


@pytest.mark.parametrize(
    "how", [{}, {"positions": "last"}, {"positions": "generated"}, {"fill": "mean"}, {"fill": "resample"}]
)
def test_every_fill_and_position(how, monkeypatch):
    lm = zoo.lm("llama")
    questions = split(lm, PROMPTS, OPTIONS)
    site = Site(2, "mlp_out")
    width = lm.anatomy.width(site)
    values = np.random.default_rng(5).normal(size=(4, width))
    if "fill" in how:
        how = {"fill": Mean({site: values[0]}) if how["fill"] == "mean" else Resample({site: values})}
    for seed in range(2):
        expected = whole(lm, questions, lesion(lm, 2, seed, **how), monkeypatch)
        with lm.under(lesion(lm, 2, seed, **how)):
            np.testing.assert_array_equal(flat(logprobs(lm, questions)), expected)


def test_blocks_below_run_once_and_never_again(monkeypatch):
    lm = zoo.lm("llama")
    questions = split(lm, APART, OPTIONS)
    monkeypatch.setattr(kept_streams, "_holds", lambda *_: True)
    ran = blocks(lm, monkeypatch)
    with lm.under(lesion(lm, 1, 0)):
        logprobs(lm, questions)
    ran.clear()
    with lm.under(lesion(lm, 2, 1)):
        logprobs(lm, questions)
    assert set(ran) == {1, 2}, "what enters layer 1 was kept"
    ran.clear()
    with lm.under(lesion(lm, 2, 2)):
        logprobs(lm, questions)
    assert set(ran) == {2}, "and on the way what enters layer 2"
    ran.clear()
    with lm.under(lesion(lm, 1, 3, kind="resid_post")):
        logprobs(lm, questions)
    assert set(ran) == {2}, "an edit of what a layer hands on starts at the next"
    ran.clear()
    with lm.under(lesion(lm, 0, 3)):
        logprobs(lm, questions)
    assert set(ran) == {0, 1, 2}


@pytest.mark.parametrize("change", ["weight", "hook", "config"])
def test_a_model_that_has_changed_is_read_anew(change, monkeypatch):
    lm = zoo.lm("llama")
    questions = split(lm, APART, OPTIONS)
    with lm.under(lesion(lm, 2)):
        before = flat(logprobs(lm, questions))
    block = lm.model.get_submodule(f"{lm.anatomy.path}.0")
    weight = next(block.parameters())
    saved = weight.detach().clone()
    handle = None
    if change == "weight":
        with torch.no_grad():
            weight.mul_(1.5)
    elif change == "hook":
        handle = block.register_forward_hook(
            lambda _m, _a, out: out * 1.5 if isinstance(out, torch.Tensor) else (out[0] * 1.5, *out[1:])
        )
    else:
        monkeypatch.setattr(block.input_layernorm, "variance_epsilon", 0.5)
    try:
        expected = whole(lm, questions, lesion(lm, 2), monkeypatch)
        with lm.under(lesion(lm, 2)):
            found = flat(logprobs(lm, questions))
    finally:
        with torch.no_grad():
            weight.copy_(saved)
        if handle is not None:
            handle.remove()
    assert np.abs(before - expected).max() > 1e-4
    np.testing.assert_array_equal(found, expected)


def test_a_hook_of_somebody_sees_every_pass():
    lm = zoo.lm("llama")
    questions = split(lm, APART, OPTIONS)
    seen = []
    with lm.under(lesion(lm, 2)):
        logprobs(lm, questions)
        inner = lm.model.get_submodule(f"{lm.anatomy.path}.0.mlp")
        handle = inner.register_forward_hook(lambda *_: seen.append(1))
        try:
            for _ in range(3):
                seen.clear()
                logprobs(lm, questions)
                assert seen
        finally:
            handle.remove()


def test_what_does_not_say_where_it_starts_is_given_whole_passes(monkeypatch):
    lm = zoo.lm("llama")
    questions = split(lm, APART, OPTIONS)

    class Idle:
        fingerprint, reads_prompt = "idle", False

        def apply(self, _lm):
            import contextlib

            return contextlib.nullcontext()

    ran = blocks(lm, monkeypatch)
    with lm.under(Idle(), lesion(lm, 2)):
        logprobs(lm, questions)
        ran.clear()
        logprobs(lm, questions)
    assert set(ran) == {0, 1, 2}


def test_what_is_kept_is_bounded_and_other_batches_are_read_whole(monkeypatch):
    lm = zoo.lm("llama")
    questions = split(lm, APART, OPTIONS)
    with lm.under(lesion(lm, 2)):
        logprobs(lm, questions)
        (size,) = [one.size for one in kept_streams._kept[lm.model].recordings.values()]
        other = flat(logprobs(lm, questions, size=3))
    np.testing.assert_allclose(other, whole(lm, questions, lesion(lm, 2), monkeypatch), rtol=0, atol=1e-5)
    monkeypatch.setattr(kept_streams, "LIMIT", int(1.5 * size))
    for prompts in (APART, APART[::-1], APART):
        with lm.under(lesion(lm, 2)):
            logprobs(lm, split(lm, prompts, OPTIONS))
        assert sum(one.size for one in kept_streams._kept[lm.model].recordings.values()) <= 1.5 * size
    monkeypatch.setattr(kept_streams, "LIMIT", 10)
    kept_streams._kept.clear()
    with lm.under(lesion(lm, 2)):
        logprobs(lm, questions)
    assert not kept_streams._kept[lm.model].recordings


def test_blocks_that_cannot_be_spared_run_and_the_notes_say_so(monkeypatch):
    lm = zoo.lm("llama")
    lm = LM.wrap(lm.model, lm.tokenizer)
    questions = split(lm, APART, OPTIONS)
    expected = whole(lm, questions, lesion(lm, 2), monkeypatch)
    monkeypatch.setattr(kept_streams, "_copy_of", lambda output: lambda: output * 1.1)
    with lm.under(lesion(lm, 2)):
        np.testing.assert_array_equal(flat(logprobs(lm, questions)), expected)
    assert any("cannot be spared (off by" in note for note in lm.notes)
