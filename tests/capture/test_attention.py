"""Streaming attention statistics against plain arithmetic on whole maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zoo
from broca.capture.attention import HeadSums, attention_to_spans, head_summary
from broca.errors import SiteUnavailable, StatisticsError, StimulusError

TEXTS = ("one two three", "seven", "a longer text, with more tokens", "x")
SPANS = [[(0, 3), (4, 7)], [(0, 2), (2, 5)], [(2, 8), (0, 1)], [(0, 1), (0, 1)]]


def maps(lm, text):
    """``(layer, head, query, key)`` of one text alone, from the model's own eager attention."""
    batch = next(lm.batches(lm.tokenize([text])))
    with torch.no_grad():
        return torch.stack(lm.call(batch, output_attentions=True).attentions)[:, 0].double().numpy()


@pytest.fixture(scope="module", params=["llama", "gptj"])
def lm(request):
    return zoo.lm(request.param)


@pytest.fixture(scope="module")
def whole(lm):
    eager = zoo.lm(lm.name, attention="eager")
    return [maps(eager, text) for text in TEXTS]


def mass(full, span):
    # One character a token, BOS in front.
    return full[..., 1 + span[0] : 1 + span[1]].sum(-1)


def test_mass_from_the_last_token(lm, whole):
    found = attention_to_spans(lm, TEXTS, SPANS, size=3)
    assert found.shape == (4, 3, 4, 2)
    assert found.dtype == np.float32
    for text, full in enumerate(whole):
        for column, span in enumerate(SPANS[text]):
            np.testing.assert_allclose(found[text, :, :, column], mass(full[:, :, -1], span), atol=1e-5)


def test_mass_from_spans_of_queries(lm, whole, monkeypatch):
    queries = [[(4, 9)], [(1, 4)], [(9, 30)], [(0, 1)]]
    monkeypatch.setattr("broca.models.rows._CELLS", 500)
    found = attention_to_spans(lm, TEXTS, SPANS, queries=queries, layers=[2, 0])
    assert found.shape == (4, 2, 4, 1, 2)
    for text, full in enumerate(whole):
        (start, end) = queries[text][0]
        rows = full[:, :, 1 + start : 1 + end].mean(2)
        for column, span in enumerate(SPANS[text]):
            np.testing.assert_allclose(found[text, :, :, 0, column], mass(rows, span)[[2, 0]], atol=1e-5)


@pytest.mark.parametrize("rows", ["last", "all"])
def test_head_summary(lm, whole, rows):
    found = head_summary(lm, TEXTS, rows=rows, size=2)
    expected = {"entropy": [], "relative_entropy": [], "first": [], "distance": []}
    for full in whole:
        n = full.shape[-1]
        at = np.array([n - 1]) if rows == "last" else np.arange(n)
        chosen = full[:, :, at]
        entropy = -(chosen * np.log(np.where(chosen > 0, chosen, 1))).sum(-1)
        expected["entropy"].append(entropy.mean(-1))
        later = at > 0
        expected["relative_entropy"].append((entropy[..., later] / np.log(at[later] + 1)).mean(-1))
        expected["first"].append(chosen[..., 0].mean(-1))
        expected["distance"].append((chosen * (at[:, None] - np.arange(n))).sum(-1).mean(-1))
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(found, name), np.mean(values, 0), atol=2e-5, err_msg=name)
    assert found.n == 4
    assert (found.relative_entropy <= 1).all()


def test_batches_do_not_matter():
    lm = zoo.lm("qwen3")
    one, all_at_once = head_summary(lm, TEXTS, rows="all", size=1), head_summary(lm, TEXTS, rows="all", size=9)
    np.testing.assert_allclose(one.entropy, all_at_once.entropy, atol=1e-6)


def test_sums_are_a_monoid():
    values = np.random.default_rng(0).normal(size=(5, 4, 2, 3))
    values[1, 1] = np.nan
    parts = [HeadSums(2, 3), HeadSums(2, 3), HeadSums(2, 3)]
    for i, value in enumerate(values):
        parts[0].update(value)
        parts[1 if i < 2 else 2].update(value)
    together = (parts[1] + parts[2]).result()
    np.testing.assert_allclose(together.relative_entropy, parts[0].result().relative_entropy)
    np.testing.assert_allclose(together.relative_entropy, np.nanmean(values[:, 1], 0))
    np.testing.assert_allclose(together.entropy, values[:, 0].mean(0))
    with pytest.raises(StatisticsError, match="at least one text"):
        HeadSums(2, 3).result()


def test_errors():
    lm = zoo.lm("llama")
    with pytest.raises(StimulusError, match="4 texts come with 3 lists of spans"):
        attention_to_spans(lm, TEXTS, SPANS[:3])
    with pytest.raises(StimulusError, match=r"of \[1, 2\] spans"):
        attention_to_spans(lm, TEXTS, [*SPANS[:3], [(0, 1)]])
    with pytest.raises(StimulusError, match="hold no token"):
        attention_to_spans(lm, ["ab"], [[(5, 6)]])
    with pytest.raises(SiteUnavailable, match="layer 7"):
        attention_to_spans(lm, TEXTS, SPANS, layers=[7])
