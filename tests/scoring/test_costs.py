from __future__ import annotations

import pytest

import zoo
from broca.items import Item
from broca.models.lm import LM
from broca.scoring import Likelihood
from broca.scoring.costs import cost, count_tokens


@pytest.fixture(scope="module")
def lm():
    return LM.wrap(zoo.build("llama"), zoo.tokenizer())


def test_tokens_are_those_of_prompts_and_choices(lm):
    items = [Item("a", "where is the ball?", ("box", "bag"), 0), Item("b", "where?", ("hat",), 0)]
    items.append(Item("c", "-", ("x", "y"), 0, passages=((("where is", " it"),), (("what is", " it"),))))
    own = [Likelihood().questions(lm, [item])[0] for item in items[:2]]
    wanted = [len(q.shared) + sum(map(len, q.options)) for q in own]
    parts = Likelihood().questions(lm, [Item("p", before, (" it",), 0) for before in ("where is", "what is")])
    wanted.append(sum(len(q.shared) + len(q.options[0]) for q in parts))
    assert count_tokens(lm, items, Likelihood()) == wanted


def test_cost_says_all_items_and_their_tokens(lm):
    items = [Item(str(i), "where " * (1 + i % 7), ("box", "bag"), 0) for i in range(200)]
    found = cost(lm, items, Likelihood())
    assert (found.items, found.tokens) == (200, sum(count_tokens(lm, items, Likelihood())))
    assert found.seconds > 0
    assert found.sentence.startswith(f"200 items, {found.tokens:,} tokens: about ")
