"""Sampled texts: the right distribution, and nothing but the item's own seed decides."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

import zoo
from broca.errors import StimulusError
from broca.items import Item
from broca.models.lm import LM
from broca.models.sampling import quantile, sample_texts
from broca.scoring import ROW_SCHEMA, Generation, Sampled

ITEMS = [Item(str(i), f"Item {i} {'is longer ' * (i % 3)}says", ("box", "bag"), i % 2, "a", f"g{i}") for i in range(6)]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def lm(request):
    return zoo.lm(request.param)


def texts_of(scorer, lm, items=ITEMS):
    return dict(
        scorer.repetition_rows(lm, items).select(pl.concat_str("id", "repetition", separator="/"), "text").rows()
    )


@given(
    logits=st.lists(st.floats(-6, 6), min_size=2, max_size=12),
    temperature=st.floats(0.3, 3),
    top_p=st.floats(0.05, 1),
)
def test_the_distribution_is_the_one_of_transformers(logits, temperature, top_p):
    """The measure of the numbers that lead to a token is its probability after transformers' own warpers."""
    scores = torch.tensor([logits], dtype=torch.float64)
    warped = TemperatureLogitsWarper(temperature)(None, scores)  # type: ignore[arg-type]
    wanted = warped if top_p == 1 else TopPLogitsWarper(top_p)(None, warped)  # type: ignore[arg-type]
    wanted = wanted.softmax(-1)[0].numpy()
    grid = (np.arange(4000) + 0.5) / 4000
    found = quantile(scores.expand(4000, -1) / temperature, torch.from_numpy(grid), top_p)
    share = np.bincount(found.numpy(), minlength=len(logits)) / 4000
    # At a border of the mass, or among equals, either may keep another token; nothing else may differ.
    kept, ours = np.sort(wanted), np.sort(share)
    if np.isclose(kept, ours, atol=1e-3).all():
        return
    ranked = np.sort(scores.softmax(-1).numpy()[0] if temperature == 1 else warped.softmax(-1).numpy()[0])[
        ::-1
    ].cumsum()
    assert np.isclose(ranked, top_p, atol=1e-6).any()


def test_sampled_first_tokens_follow_the_models_probabilities(lm):
    (tokens,) = lm.tokenize(["Item"])
    with torch.no_grad():
        probabilities = lm.model(torch.tensor([tokens.ids])).logits[0, -1].double().softmax(-1).numpy()
    n = 1500
    draws = np.random.default_rng(0).random((n, 1))
    found = Counter(sample_texts(lm, ["Item"] * n, draws, temperature=1.0))
    seen = {lm.tokenizer.decode([i], skip_special_tokens=True): 0.0 for i in range(len(probabilities))}
    for i, p in enumerate(probabilities):
        seen[lm.tokenizer.decode([i], skip_special_tokens=True)] += p
    big = [text for text, p in seen.items() if p * n > 8]
    rest = 1 - sum(seen[text] for text in big)
    counts = [found[text] for text in big]
    expected = np.array([*(seen[text] for text in big), rest]) * n
    assert chisquare([*counts, n - sum(counts)], expected).pvalue > 1e-4


def test_neither_batch_size_nor_neighbours_nor_order_matter(lm):
    scorer = Sampled(temperature=1.5, repetitions=3, seed=4)
    wanted = texts_of(scorer, lm)
    assert len(set(wanted.values())) > 6
    for size in (1, 4):
        lm.batch_size = size
        assert texts_of(scorer, lm) == wanted
    lm.batch_size = 32
    some = texts_of(scorer, lm, ITEMS[:1:-1])
    assert some == {key: wanted[key] for key in some}
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert texts_of(scorer, lm) == wanted
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_and_repetitions_differ(lm):
    first = texts_of(Sampled(temperature=1.5, seed=0), lm)
    assert first != texts_of(Sampled(temperature=1.5, seed=1), lm)
    assert len({first[f"0/{r}"] for r in range(1, 6)}) > 1


def test_a_temperature_near_zero_is_greedy(lm):
    cold = Sampled(Generation(max_new_tokens=4), temperature=1e-4, repetitions=1)
    greedy = Generation(max_new_tokens=4)(lm, ITEMS)
    assert cold(lm, ITEMS)["text"].to_list() == greedy["text"].to_list()


@pytest.mark.parametrize(
    ("said", "predicted"),
    [
        (["bag", "box", "bag"], 1),
        (["bag", "box", "x"], 0),
        (["x", "y", "bag"], 1),
        (["x", "y", "z"], -1),
        (['"b.ag,', "'bag'", "box;"], 1),
        (["Bag", "bag-", "(bag"], -1),
        (["bag of", "bag", ""], 1),
        (["bo;x", "box;", "bag"], 0),
    ],
)
def test_the_choice_named_most_often(lm, monkeypatch, said, predicted):
    monkeypatch.setattr("broca.models.sampling.sample_texts", lambda *_a, **_k: said)
    scorer = Sampled(repetitions=3)
    (row,) = scorer(lm, ITEMS[:1]).rows(named=True)
    assert (row["predicted"], row["invalid"]) == (predicted, predicted == -1)
    table = scorer.repetition_rows(lm, ITEMS[:1])
    assert table["text"].to_list() == said
    assert table["repetition"].to_list() == [1, 2, 3]
    assert table.drop("repetition").schema == ROW_SCHEMA


def test_an_options_first_piece_counts(lm, monkeypatch):
    monkeypatch.setattr(LM, "generate", lambda _lm, texts, **_more: [" vanilla. Not"] * len(texts))
    item = Item("0", "It is full of", ("vanilla ice cream", "strawberry jam"), 0)
    assert Generation(5, match="first-piece", case="exact")(lm, [item])["predicted"][0] == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": 0.0},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"repetitions": 0},
        {"reader": Generation(temperature=1.0, seed=0)},
    ],
)
def test_what_cannot_be_sampled(bad):
    with pytest.raises(StimulusError, match="cannot be sampled"):
        Sampled(**bad)


def test_what_cannot_be_read_or_does_not_fit(lm):
    with pytest.raises(StimulusError, match="cannot be told apart"):
        Sampled()(lm, [Item("0", "w", ("red box", "red bag"), 0)])
    with pytest.raises(StimulusError, match="128 positions"):
        Sampled()(lm, [Item("0", "w" * 126, ("box", "bag"), 0)])
    with pytest.raises(StimulusError, match="no way to sample"):
        sample_texts(lm, ["w"], np.zeros((1, 1)), temperature=0.0)
