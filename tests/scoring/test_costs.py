"""Tokens that scoring reads, counted before: those that pass when it is done."""

from __future__ import annotations

import pytest

import zoo
from broca.items import Item
from broca.models.lm import LM
from broca.scoring import Generation, Likelihood, Permuted, Sampled
from broca.scoring.costs import count_tokens, sample_items
from counting import tokens_read

SHOTS = "the ball is in the box and the hat is in the bag, "


@pytest.fixture(scope="module")
def lm():
    return LM.wrap(zoo.build("llama"), zoo.tokenizer())


def passed(lm, items, scorer, monkeypatch) -> int:
    """Real tokens of all passes in which items are scored."""
    scorer(lm, items)  # proofs are done once
    return tokens_read(monkeypatch, lambda: scorer(lm, items))


def asked(n: int, before: str = "") -> list[Item]:
    return [Item(str(i), f"{before}where is {'it ' * (1 + i % 5)}{i}?", ("box", "bag"), i % 2) for i in range(n)]


@pytest.mark.parametrize("before", ["", SHOTS], ids=["apart", "examples"])
def test_tokens_counted_are_tokens_read(lm, before, monkeypatch):
    items = asked(24, before)
    assert count_tokens(lm, items, Likelihood(), cell=24) == passed(lm, items, Likelihood(), monkeypatch)


def test_a_beginning_is_read_once_a_call(lm):
    items = asked(24, SHOTS)
    together, halves = (count_tokens(lm, items, Likelihood(), cell=cell) for cell in (24, 12))
    (apart,) = {count_tokens(lm, [item], Likelihood(), cell=1) for item in items[:1]}
    assert together < halves < 24 * apart


def test_passages_are_read_behind_their_own_contexts(lm, monkeypatch):
    item = Item("c", "-", ("x", "y"), 0, passages=((("where is", " it"),), (("what is", " it now"),)))
    assert count_tokens(lm, [item], Likelihood(), cell=1) == passed(lm, [item], Likelihood(), monkeypatch)


def test_other_scorers_read_more(lm):
    items = asked(6)
    prompts = sum(map(len, lm.tokenize([item.content for item in items])))
    written = Generation(max_new_tokens=5)
    assert count_tokens(lm, items, written, cell=6) == prompts + 6 * 4
    assert count_tokens(lm, items, Sampled(written, repetitions=3), cell=6) == 3 * (prompts + 6 * 4)
    assert count_tokens(lm, items, Permuted(written), cell=6) == 2 * (prompts + 6 * 4)
    assert count_tokens(lm, items, lambda _lm, _items: None, cell=6) == prompts


def test_a_sample_scores_some_of_the_items(lm):
    items = asked(100)
    scored = []

    class Scorer(Likelihood):
        def __call__(self, lm, items):
            scored.append(len(items))
            return super().__call__(lm, items)

    sample = sample_items(lm, items, Scorer())
    sample.run()
    assert scored == [32]
    assert 0 < sample.tokens < count_tokens(lm, items, Likelihood(), cell=64)
