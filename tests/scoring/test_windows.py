from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import zoo
from broca.errors import StimulusError
from broca.interventions import Lesion
from broca.items import Stimulus
from broca.scoring.windows import WINDOW_SCHEMA, Windows, perplexity, window_rows
from broca.sites import Site
from broca.stimuli.texts import texts
from broca.units import UnitMask

TEXTS = [Stimulus(str(i), f"Text number {i} has {'some ' * (i % 3 + 1)}letters.", f"g{i % 2}") for i in range(7)]


@pytest.fixture(scope="module", params=["llama", "gpt2", "falcon"])
def lm(request):
    return zoo.lm(request.param)


def plain_loop(lm, windows):
    """What transformers itself says: the mean loss of each window alone, with the labels that are its input."""
    out = []
    for ids in windows:
        tensor = torch.tensor([ids])
        with torch.no_grad():
            out.append(float(lm.model(input_ids=tensor, labels=tensor).loss))
    return np.array(out)


def test_joined_windows_equal_a_plain_loop_over_the_same_tokens(lm):
    rows = window_rows(lm, TEXTS, Windows(20, "joined"))
    ids = lm.tokenizer("\n\n".join(str(t.text) for t in TEXTS)).input_ids
    cut = [ids[i : i + 20] for i in range(0, len(ids) - 19, 20)]
    assert rows.schema == WINDOW_SCHEMA
    assert rows.height == len(ids) // 20
    np.testing.assert_allclose(rows["nll"] / rows["tokens"], plain_loop(lm, cut), rtol=1e-5)
    assert perplexity(rows) == pytest.approx(np.exp(plain_loop(lm, cut).mean()), rel=1e-5)


def test_texts_apart_are_weighted_by_their_tokens(lm):
    rows = window_rows(lm, TEXTS, Windows(36))
    ids = [lm.tokenizer(str(t.text)).input_ids[:36] for t in TEXTS]
    loss = plain_loop(lm, ids)
    n = np.array([len(i) - 1 for i in ids])
    assert len(set(n)) > 1
    assert rows["tokens"].to_list() == n.tolist()
    assert rows["window"].to_list() == [t.id for t in TEXTS]
    assert rows["group"].to_list() == [t.group for t in TEXTS]
    np.testing.assert_allclose(rows["nll"], loss * n, rtol=1e-5)
    assert perplexity(rows) == pytest.approx(np.exp((loss * n).sum() / n.sum()), rel=1e-5)
    assert perplexity(rows) != pytest.approx(np.exp(loss.mean()), rel=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_batch_size_changes_nothing(lm, size):
    rows, alone = window_rows(lm, TEXTS, Windows(25), size=size), window_rows(lm, TEXTS, Windows(25), size=1)
    np.testing.assert_allclose(rows["nll"], alone["nll"], rtol=2e-6)


def test_the_ancestors_batches(lm):
    """Three windows in batches of two: the third counts as much as the first two together."""
    rows = window_rows(lm, TEXTS, Windows(40, "joined"))[:3]
    loss = (rows["nll"] / rows["tokens"]).to_numpy()
    assert perplexity(rows, "batch-mean") == pytest.approx(np.exp((loss[:2].mean() + loss[2]) / 2))
    assert perplexity(rows, "batch-mean", batch=1) == pytest.approx(perplexity(rows))
    assert perplexity(rows, "batch-mean") != pytest.approx(perplexity(rows), rel=1e-6)


@given(nll=st.lists(st.floats(0, 1e3), min_size=1, max_size=9), batch=st.integers(1, 4), tokens=st.integers(1, 99))
def test_windows_of_one_length_and_full_batches_agree(nll, batch, tokens):
    rows = pl.DataFrame({"nll": nll, "tokens": [tokens] * len(nll)})
    loss = np.array(nll) / tokens
    by_hand = np.mean([loss[i : i + batch].mean() for i in range(0, len(loss), batch)])
    with np.errstate(over="ignore"):
        assert perplexity(rows, "batch-mean", batch=batch) == pytest.approx(np.exp(by_hand))
        if len(nll) % batch == 0:
            assert perplexity(rows) == pytest.approx(np.exp(by_hand))


def test_what_is_in_force_counts_and_is_gone_afterwards(lm):
    before = window_rows(lm, TEXTS)
    with lm.under(Lesion(UnitMask.of({Site(0, "mlp_out"): range(8)}, n=lm.anatomy.d_model))):
        under = window_rows(lm, TEXTS)
    assert (under["nll"] - before["nll"]).abs().min() > 1e-3
    assert window_rows(lm, TEXTS).equals(before)


def test_positions_beyond_one_block_of_logits():
    lm = zoo.lm("bloom")  # no limit on positions
    text = Stimulus("long", "abc " * 400)
    (nll,) = window_rows(lm, [text], Windows(1200))["nll"]
    ids = lm.tokenizer(text.text).input_ids[:1200]
    assert nll == pytest.approx(float(plain_loop(lm, [ids])[0]) * 1199, rel=1e-5)


def test_the_shipped_texts_make_a_hundred_windows_of_128():
    lm = zoo.lm("llama")
    rows = window_rows(lm, texts("plain", n=100))
    assert rows["tokens"].to_list() == [127] * 100


def test_what_cannot_be_windows(lm):
    with pytest.raises(StimulusError, match="There are no texts"):
        window_rows(lm, [])
    with pytest.raises(StimulusError, match="predict nothing"):
        Windows(1)
    with pytest.raises(StimulusError, match="fewer than one window of 1000"):
        window_rows(lm, TEXTS[:2], Windows(1000, "joined"))
    with pytest.raises(StimulusError, match="There are no windows"):
        perplexity(pl.DataFrame(schema=WINDOW_SCHEMA))
    if lm.context == 128:
        with pytest.raises(StimulusError, match=r"has 129 tokens. This model predicts texts of 2 to 128"):
            window_rows(lm, [Stimulus("0", "x" * 200)], Windows(129))


def test_infinite_perplexity_is_no_error():
    assert perplexity(pl.DataFrame({"nll": [1e6], "tokens": [1]})) == np.inf
