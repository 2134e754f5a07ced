"""Running a batch again from the middle: the same logits as a whole pass, for less."""

from __future__ import annotations

import pytest
import torch
from tests.zoo import lm as tiny
from torch import Tensor

from broca.errors import SiteUnavailable, StimulusError
from broca.interventions.lesion import Lesion
from broca.models.rerun import Work, record
from broca.models.tokens import Batch
from broca.sites import Site
from broca.units import UnitMask

TEXTS = ["alpha beta gamma delta epsilon", "one two three", "some words that are a little longer than those"]
START = 7


def batch_of(lm, side="left") -> Batch:
    return next(lm.batches(lm.tokenize(TEXTS), side=side))


def moved(values: Tensor, first: int) -> Tensor:
    changed = values.clone()
    changed[:, START - first :, 0] += 1.5
    return changed


@torch.no_grad()
def expected(lm, batch: Batch, site: Site) -> Tensor:
    """The change made by a plain hook of PyTorch's own."""
    tap = lm.anatomy.tap(site)
    module = lm.model.get_submodule(tap.module)

    def on_output(_m, _args, output):
        return moved(output, 0) if isinstance(output, Tensor) else (moved(output[0], 0), *output[1:])

    def on_input(_m, args):
        return (moved(args[0], 0), *args[1:])

    handle = (
        module.register_forward_hook(on_output) if tap.side == "output" else module.register_forward_pre_hook(on_input)
    )
    try:
        return lm.call(batch).logits[:, -1]
    finally:
        handle.remove()


@pytest.mark.parametrize("name", ["llama", "gpt2", "gptj", "gemma2", "mixtral", "bloom", "opt", "qwen3", "falcon"])
@pytest.mark.parametrize("kind", ["resid_post", "resid_pre", "mlp_out", "z"])
def test_a_change_gives_the_logits_of_a_whole_pass(name, kind):
    lm = tiny(name)
    batch = batch_of(lm)
    recorded = record(lm, batch)
    for layer in range(lm.anatomy.n_layers):
        site = Site(layer, kind)
        if not lm.anatomy.has(site):
            continue
        found = recorded.again({site: moved}, start=START)
        whole = expected(lm, batch, site)
        assert not torch.allclose(found, recorded.logits, atol=1e-5)
        torch.testing.assert_close(found, whole, atol=2e-5, rtol=1e-4)
    assert recorded.way == "cached"
    assert recorded.work.saved_share > 0.2 or recorded.work.passes == 1  # OPT has no such tensor


def test_runs_do_not_see_each_other():
    lm = tiny("llama")
    recorded = record(lm, batch_of(lm), way="cached")
    plain = recorded.again({}, start=START)
    first = recorded.again({Site(1, "mlp_out"): moved}, start=START)
    recorded.again({Site(0, "z"): moved}, start=START + 1)
    again = recorded.again({Site(1, "mlp_out"): moved}, start=START)
    assert torch.equal(first, again)
    torch.testing.assert_close(plain, recorded.logits, atol=1e-5, rtol=1e-5)
    assert all("forward" not in vars(block) for block in lm.model.get_submodule(lm.anatomy.path).children())


def test_every_way_agrees_and_costs_what_it_says():
    lm = tiny("llama")
    batch = batch_of(lm)
    tokens, layers = batch.ids.numel(), lm.anatomy.n_layers
    found, work = {}, {}
    for way in ("whole", "skipped", "cached"):
        work[way] = Work()
        found[way] = record(lm, batch, way=way, work=work[way]).again({Site(1, "resid_post"): moved}, start=START)
    torch.testing.assert_close(found["cached"], found["whole"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["skipped"], found["whole"], atol=1e-6, rtol=1e-6)
    below = tokens * (layers - 2)
    assert work["whole"].done == work["whole"].whole == 2 * layers * tokens
    assert work["skipped"].done == layers * tokens + below
    assert work["cached"].done == layers * tokens + below * (batch.ids.shape[1] - START) // batch.ids.shape[1]
    assert work["cached"].passes == 2


def test_what_is_in_force_stays_in_force_and_blocks_are_whole_again_after_an_error():
    lm = tiny("llama")
    batch = batch_of(lm)
    mask = UnitMask.of({"0.mlp_act": range(5)}, n=lm.anatomy.width(Site(0, "mlp_act")))
    for positions in ("all", "last"):
        with lm.under(Lesion(mask, positions=positions)):
            recorded = record(lm, batch)
            assert recorded.way == "cached"
            found = recorded.again({Site(1, "resid_post"): moved}, start=START)
            torch.testing.assert_close(found, expected(lm, batch, Site(1, "resid_post")), atol=1e-5, rtol=1e-5)
    recorded = record(lm, batch)
    with pytest.raises(ZeroDivisionError):
        recorded.again({Site(2, "resid_pre"): lambda *_: 1 / 0}, start=START)
    assert all("forward" not in vars(block) for block in lm.model.get_submodule(lm.anatomy.path).children())
    torch.testing.assert_close(lm.next_logits(batch), recorded.logits, atol=1e-6, rtol=1e-6)


def test_what_cannot_be_run_is_refused_in_words():
    lm = tiny("llama")
    with pytest.raises(StimulusError, match="left"):
        record(lm, batch_of(lm, side="right"))
    with pytest.raises(SiteUnavailable, match="layers 0 to"):
        record(lm, batch_of(lm)).again({Site(9, "z"): moved})


def test_a_class_whose_cache_cannot_be_cut_is_run_from_its_first_token_and_says_so():
    lm = tiny("gpt_oss")
    recorded = record(lm, batch_of(lm))
    site = Site(1, "resid_post")
    torch.testing.assert_close(
        recorded.again({site: moved}, start=START), expected(lm, batch_of(lm), site), atol=1e-5, rtol=1e-4
    )
    assert recorded.way == "skipped"
    assert any(note.startswith("Patching:") for note in lm.notes)


@torch.no_grad()
@pytest.mark.parametrize("name", ["gpt_oss", "llama"])
def test_what_was_proved_of_short_texts_is_proved_again_of_longer_ones(name):
    """A cache that can be cut within a sliding window cannot beyond it."""
    lm = tiny(name)
    site, way = Site(1, "resid_post"), {}
    for texts in (["a few", "words"], TEXTS, ["a few", "words"]):
        batch = next(lm.batches(lm.tokenize(texts)))
        start = batch.ids.shape[1] - 2
        found, whole = record(lm, batch), record(lm, batch, way="whole")

        def halved(values: Tensor, first: int, start: int = start) -> Tensor:
            return torch.cat([values[:, : start - first], values[:, start - first :] / 2], 1)

        torch.testing.assert_close(
            found.again({site: halved}, start=start), whole.again({site: halved}, start=start), atol=2e-5, rtol=1e-5
        )
        way[batch.ids.shape[1]] = found.way
    assert set(way.values()) == {"skipped" if name == "gpt_oss" else "cached"}
    assert sum("spared" in note for note in lm.notes) == (name == "gpt_oss")
