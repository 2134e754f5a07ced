"""Edits first, reads last, own handles only, nothing left behind."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch

import zoo
from broca.errors import SiteUnavailable
from broca.models import hooks
from broca.models.passes import current
from broca.sites import Site

RESID = Site(1, "resid_post")
Z = Site(1, "z")


@pytest.fixture(params=["llama", "gptj", "opt"])
def lm(request):
    return zoo.lm(request.param)


@pytest.fixture
def batch(lm):
    return next(lm.batches(lm.tokenize(["The cat sat.", "A dog"])))


def handles(model):
    return {
        name: (tuple(m._forward_hooks), tuple(m._forward_pre_hooks))
        for name, m in model.named_modules()
        if m._forward_hooks or m._forward_pre_hooks
    }


def zero(x):
    return torch.zeros_like(x)


@pytest.mark.parametrize("kind", ["resid_pre", "resid_post", "attn_out", "z"])
@pytest.mark.parametrize("first", ["edit", "read"])
def test_a_read_sees_the_edit_whichever_came_first(lm, batch, kind, first):
    site, seen = Site(1, kind), []
    contexts = [
        hooks.edit_sites(lm.model, lm.anatomy, {site: zero}),
        hooks.read_sites(lm.model, lm.anatomy, {site: seen.append}),
    ]
    with ExitStack() as stack:
        for context in contexts if first == "edit" else reversed(contexts):
            stack.enter_context(context)
        lm.forward(batch)
    assert len(seen) == 1
    assert seen[0].ndim == 3
    assert not seen[0].any()


def test_edits_change_the_model_and_are_gone_bit_for_bit(lm, batch):
    before, left = lm.forward(batch), handles(lm.model)
    with hooks.edit_sites(lm.model, lm.anatomy, {Z: zero}) as fired:
        assert not torch.equal(lm.forward(batch), before)
    assert fired == {Z: 1}
    assert torch.equal(lm.forward(batch), before)
    assert handles(lm.model) == left


def test_a_single_row_is_edited_like_a_batch(lm):
    # output[0] of a bare tensor would be its first row.
    alone = next(lm.batches(lm.tokenize(["A dog"])))
    seen = []
    with (
        hooks.edit_sites(lm.model, lm.anatomy, {RESID: zero}),
        hooks.read_sites(lm.model, lm.anatomy, {RESID: seen.append}),
    ):
        lm.forward(alone)
    assert seen[0].shape == (1, 6, 32)


def test_edits_nest_outermost_first(lm, batch):
    seen = []
    with (
        hooks.edit_sites(lm.model, lm.anatomy, {RESID: torch.ones_like}),
        hooks.read_sites(lm.model, lm.anatomy, {RESID: seen.append}),
        hooks.edit_sites(lm.model, lm.anatomy, {RESID: lambda x: x * 3}),
        hooks.edit_sites(lm.model, lm.anatomy, {RESID: lambda x: x + 1}),
    ):
        lm.forward(batch)
    assert bool((seen[0] == 4).all())


def test_edits_may_close_in_any_order(lm, batch):
    before, left = lm.forward(batch), handles(lm.model)
    outer = hooks.edit_sites(lm.model, lm.anatomy, {RESID: lambda x: x + 1})
    inner = hooks.edit_sites(lm.model, lm.anatomy, {RESID: zero})
    outer.__enter__()
    fired = inner.__enter__()
    outer.__exit__(None, None, None)
    lm.forward(batch)
    assert fired == {RESID: 1}
    inner.__exit__(None, None, None)
    assert torch.equal(lm.forward(batch), before)
    assert handles(lm.model) == left


def test_transformers_recorders_see_the_lesion_and_survive():
    lm = zoo.lm("llama")
    batch = next(lm.batches(lm.tokenize(["The cat sat."])))
    recorded = lm.call(batch, output_hidden_states=True).hidden_states
    assert recorded[2].any()
    with hooks.edit_sites(lm.model, lm.anatomy, {RESID: zero}):
        assert not lm.call(batch, output_hidden_states=True).hidden_states[2].any()
    for ours, theirs in zip(lm.call(batch, output_hidden_states=True).hidden_states, recorded, strict=True):
        assert torch.equal(ours, theirs)


def test_hooks_of_others_are_left_alone(lm, batch):
    block = lm.model.get_submodule(lm.anatomy.tap(RESID).module)
    lm.forward(batch)  # what is proved once is proved
    calls = []
    theirs = block.register_forward_hook(lambda *_: calls.append(1))
    with (
        hooks.edit_sites(lm.model, lm.anatomy, {RESID: zero}),
        hooks.read_sites(lm.model, lm.anatomy, {RESID: calls.append}),
    ):
        pass
    lm.forward(batch)
    assert calls == [1]
    theirs.remove()


def test_nothing_is_left_after_an_exception(lm, batch):
    before, left = lm.forward(batch), handles(lm.model)

    def fail(x):
        raise RuntimeError("reader")

    with (
        pytest.raises(RuntimeError, match="reader"),
        hooks.edit_sites(lm.model, lm.anatomy, {RESID: zero}),
        hooks.add_arguments(lm.model, lambda _: None, use_cache=True),
        hooks.read_sites(lm.model, lm.anatomy, {Z: fail}),
    ):
        lm.forward(batch)
    assert handles(lm.model) == left
    assert torch.equal(lm.forward(batch), before)


@pytest.mark.parametrize("context", [hooks.edit_sites, hooks.read_sites])
def test_a_bad_site_leaves_nothing(lm, context):
    left = handles(lm.model)
    with pytest.raises(SiteUnavailable), context(lm.model, lm.anatomy, {RESID: zero, Site(9, "z"): zero}):
        pass
    assert handles(lm.model) == left


def test_stop_ends_the_pass_once_all_is_read(lm, batch):
    seen, later = [], []
    left = handles(lm.model)
    reached = False
    with hooks.read_sites(lm.model, lm.anatomy, {Site(2, "resid_post"): later.append}):
        with hooks.read_sites(lm.model, lm.anatomy, {Site(0, "z"): seen.append, RESID: seen.append}, stop=True):
            lm.forward(batch)
            reached = True
        assert handles(lm.model) != left
    assert len(seen) == 2
    assert later == []
    assert not reached
    assert handles(lm.model) == left


@pytest.mark.parametrize("texts", [["abcd"], ["abcd", "a"]], ids=["no padding", "padding"])
@pytest.mark.parametrize("options", [{}, {"use_cache": False}, {"num_beams": 2}, {"cache_implementation": "static"}])
def test_each_pass_of_generation_says_what_it_is(texts, options):
    lm = zoo.lm("llama")
    seen = []

    def look(x):
        shown = current()
        assert len(shown.tokens) == len(x)
        assert shown.width == x.shape[1]
        seen.append((shown.past, shown.past + shown.width, shown.at("generated").sum(1).tolist(), shown.prompts[-1]))

    with hooks.read_sites(lm.model, lm.anatomy, {RESID: look}):
        lm.generate(texts, max_new_tokens=3, **options)
    whole = options.get("use_cache") is False
    rows = len(texts) * options.get("num_beams", 1)
    assert [past for past, *_ in seen] == ([0, 0, 0] if whole else [0, 5, 6])
    assert [columns for _, columns, *_ in seen] == [5, 6, 7]
    assert [new for _, _, new, _ in seen] == [[n if whole else min(n, 1)] * rows for n in range(3)]
    assert {prompt for *_, prompt in seen} == {lm.tokenize(texts)[-1].ids}


def test_suspended_hides_what_is_outside_and_runs_what_is_inside(lm, batch):
    plain = lm.forward(batch)
    outside, inside = [], []
    with (
        hooks.edit_sites(lm.model, lm.anatomy, {RESID: zero}) as fired,
        hooks.read_sites(lm.model, lm.anatomy, {RESID: outside.append}),
    ):
        with hooks.suspend():
            assert torch.equal(lm.forward(batch), plain)
            with (
                hooks.edit_sites(lm.model, lm.anatomy, {RESID: torch.ones_like}),
                hooks.read_sites(lm.model, lm.anatomy, {RESID: inside.append}),
            ):
                lm.forward(batch)
        assert (fired, outside) == ({RESID: 0}, [])
        assert bool((inside[0] == 1).all())
        lm.forward(batch)
    assert fired == {RESID: 1}
    assert not outside[0].any()


def test_asked_adds_arguments_and_shows_outputs(lm, batch):
    outputs = []
    with hooks.add_arguments(lm.model, outputs.append, output_hidden_states=True):
        lm.forward(batch)
    assert len(outputs[0].hidden_states) == 4
    assert lm.call(batch).hidden_states is None
