"""Capture shows what the model computed: against an independent capture, whatever the batching."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zoo
from broca.capture import Gather, Moments, capture
from broca.errors import SiteUnavailable, StatisticsError
from broca.models.pool import Pool
from broca.sites import Site

TEXTS = [f"{'a longer ' * (i % 4)}text number {i}." for i in range(70)]


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


def plainly(lm, text, layer):
    """The residual stream after a block, from transformers' own hidden states, one text at a time."""
    ids = torch.tensor([lm.tokenizer(text).input_ids])
    seen = []
    handle = lm.model.get_submodule(f"{lm.anatomy.path}.{layer}").register_forward_hook(
        lambda _m, _a, out: seen.append(out if torch.is_tensor(out) else out[0])
    )
    with torch.no_grad():
        lm.model(input_ids=ids)
    handle.remove()
    return seen[0][0].double().numpy()


@pytest.mark.parametrize(
    ("pool", "by_hand"),
    [
        (Pool("last"), lambda x: x[-1]),
        (Pool("mean"), lambda x: x[1:].mean(0)),
        (Pool("mean", bos="with"), lambda x: x.mean(0)),
        (Pool("mean", sinks=2), lambda x: x[3:].mean(0)),
        (Pool("mean", bos="with", magnitude="abs-of-mean"), lambda x: np.abs(x.mean(0))),
        (Pool("mean", bos="with", magnitude="mean-of-abs"), lambda x: np.abs(x).mean(0)),
    ],
)
def test_pooled_activations_are_the_models_own(lm, pool, by_hand):
    site = Site(1, "resid_post")
    found = capture(lm, lm.tokenize(TEXTS), [site], Gather, pool=pool)[site].result()
    np.testing.assert_allclose(found, [by_hand(plainly(lm, text, 1)) for text in TEXTS], atol=1e-5)


def test_spans_are_pooled_by_characters(lm):
    site = Site(0, "resid_post")
    texts = ["the red ball", "a bag"]
    found = capture(lm, lm.tokenize(texts), [site], Gather, pool=Pool("span"), spans=[(4, 7), (2, 5)])[site].result()
    # One character a token, BOS first.
    np.testing.assert_allclose(found[0], plainly(lm, texts[0], 0)[5:8].mean(0), atol=1e-5)
    np.testing.assert_allclose(found[1], plainly(lm, texts[1], 0)[3:6].mean(0), atol=1e-5)


@pytest.mark.parametrize("kind", ["resid_pre", "attn_out", "mlp_out", "z", "mlp_act"])
def test_batch_size_changes_nothing_but_rounding(lm, kind):
    sites = lm.anatomy.sites(kind)
    tokens = lm.tokenize(TEXTS)
    results = []
    for size in (1, 16):
        lm.batch_size = size
        results.append(capture(lm, tokens, sites, Moments, pool=Pool("mean")))
    lm.batch_size = 32
    for site in sites:
        np.testing.assert_allclose(results[0][site].mean, results[1][site].mean, atol=1e-5)


def test_the_residual_stream_adds_up_in_what_is_captured(lm):
    kinds = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    found = capture(lm, lm.tokenize(TEXTS), [Site(1, kind) for kind in kinds], Gather)
    pre, attn, mlp, post = (found[Site(1, kind)].result() for kind in kinds)
    np.testing.assert_allclose(pre + attn + mlp, post, atol=1e-4)


def test_nan_is_named_with_site_and_text(lm):
    with torch.no_grad():
        weight = lm.model.get_submodule(f"{lm.anatomy.path}.1.mlp.down_proj").weight
        kept = weight.clone()
        weight[3] = float("nan")
    try:
        with pytest.raises(StatisticsError, match=r"1\.resid_post are NaN .* 'text number 0"):
            capture(lm, lm.tokenize(TEXTS[:4]), [Site(1, "resid_post")], Moments)
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def test_a_site_that_is_not_there_is_refused(lm):
    with pytest.raises(SiteUnavailable, match="layers 0 to 2"):
        capture(lm, lm.tokenize(TEXTS[:2]), [Site(9, "resid_post")], Moments)


def test_capture_leaves_no_hooks(lm):
    def hooks():
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in lm.model.modules())

    before = hooks()
    capture(lm, lm.tokenize(TEXTS[:3]), lm.anatomy.sites("z"), Moments)
    assert hooks() == before
