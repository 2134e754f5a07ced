"""What a study of perturbations keeps at once does not grow with the number of its texts."""

from __future__ import annotations

import gc
import weakref
from contextlib import contextmanager
from itertools import count

import pytest
import torch

import broca
from broca.capture import patch_attribution
from broca.interventions import patching
from broca.models import fitting
from broca.models.rerun import RecordedBatch

EVERY = 37
"""Calls between looks, each of which goes over all objects that there are."""


@contextmanager
def watch(model):
    """The most bytes of tensors, those of the model left out, that are alive at some of the calls of the model."""
    own = {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    most, calls = [0], count()

    def look(*_):
        if next(calls) % EVERY:
            return
        kept = {}
        for each in gc.get_objects():
            if type(each) is torch.Tensor and each.data_ptr() not in own:  # what only behaves like one may warn
                kept[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
        most[0] = max(most[0], sum(kept.values()))

    handle = model.register_forward_hook(look)
    try:
        yield most
    finally:
        handle.remove()


@pytest.mark.slow
def test_what_is_kept_does_not_grow_with_texts():
    lm = broca.LM.load("sums")
    lm.batch_size = 4
    found = []
    for n in (24, 48):
        study = broca.Perturb(items="sums", n_items=n, compare=n, cases=n, draws=0, twins=0, patterns="layers")
        with watch(lm.model) as most:
            assert study.run(lm).frame("recovery").height
        found.append(most[0])
    # Of twice as many texts; looks may miss the largest moment by some.
    assert found[1] <= 1.4 * found[0]


@pytest.mark.slow
def test_logits_of_patched_patterns_are_not_kept(monkeypatch):
    lm, given, most = broca.LM.load("sums"), [], [0]
    again = RecordedBatch.again

    def tracked(*args, **more):
        most[0] = max(most[0], sum(each() is not None for each in given))
        logits = again(*args, **more)
        given.append(weakref.ref(logits))
        return logits

    monkeypatch.setattr(RecordedBatch, "again", tracked)
    study = broca.Perturb(items="sums", n_items=24, compare=0, cases=8, draws=0, twins=0, patterns="heads")
    assert study.run(lm).frame("patterns").height
    assert len(given) > 20
    assert most[0] <= 4


@pytest.mark.parametrize(
    ("size", "longest", "per_token", "limit", "texts"),
    [(32, 10, 100, 100_000, 32), (32, 100, 100, 100_000, 10), (32, 10_000, 100, 100_000, 1), (8, 1, 0, 1, 1)],
)
def test_a_batch_keeps_within_a_limit_and_holds_a_text(size, longest, per_token, limit, texts):
    assert fitting.batch_within(size, longest, per_token, limit=limit) == texts


@pytest.mark.slow
def test_patches_and_their_estimates_take_smaller_batches_where_a_token_takes_much(monkeypatch):
    lm, seen = broca.LM.load("sums"), []
    study = broca.Perturb(items="sums", n_items=24, compare=4, cases=8, draws=0, twins=0, patterns="none")
    usual = study.run(lm)
    for module in (patching, patch_attribution):
        monkeypatch.setattr(module, "batch_within", lambda *_, **__: seen.append(1) or 1)
    alone = study.run(lm)
    assert seen
    told = [each.frame("recovery").select("kind", "layer", "at", "share") for each in (usual, alone)]
    assert told[0].drop("share").equals(told[1].drop("share"))
    gap = (told[0]["share"] - told[1]["share"]).abs().max()
    assert gap is not None
    assert gap < 1e-3
