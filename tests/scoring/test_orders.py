"""Several orders of the options: every answer finds its way back to its choice."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from broca.errors import StimulusError
from broca.items import Item
from broca.models.lm import LM
from broca.scoring import Generation, Likelihood, Permuted
from broca.scoring.orders import orders, reorder_choices

ITEMS = [
    Item("0", "The key is in the", ("box", "bag of", "car"), 1, "where", "g0"),
    Item("1", "A longer question about", ("cats", "dogs"), 0, "what", "g1"),
]


def item(k, name="0"):
    return Item(name, "p", tuple("abcdefgh"[i] + "!" for i in range(k)), 0)


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("gpt2")


@given(k=st.integers(1, 6), n=st.integers(1, 130), seed=st.integers(0, 9))
def test_orders_differ_and_rotate_every_choice_through_every_place(k, n, seed):
    found = orders(item(k), n, seed)
    assert len(found) == len(set(found)) == min(n, math.factorial(k))
    assert all(sorted(order) == list(range(k)) for order in found)
    for start in range(0, len(found) - k + 1, k):
        if n < math.factorial(k):
            assert all(len({order[place] for order in found[start : start + k]}) == k for place in range(k))


def test_orders_depend_on_seed_and_item_alone():
    assert orders(item(4), 3, 0) == orders(item(4), 3, 0)
    assert len({tuple(orders(item(4), 3, seed)) for seed in range(10)}) > 5
    assert len({tuple(orders(item(4, str(i)), 3, 0)) for i in range(10)}) > 5


def test_all_orders_of_many_choices_are_refused():
    assert len(orders(item(5), "all")) == 120
    with pytest.raises(StimulusError, match="720 orders"):
        orders(item(6), "all")


@given(st.permutations(range(4)), st.integers(0, 3))
def test_reordering_keeps_the_answer(order, answer):
    before = Item("0", "p", ("w", "x", "y", "z"), answer)
    after = reorder_choices(before, tuple(order))
    assert after.choices[after.answer] == before.choices[before.answer]
    assert sorted(after.choices) == sorted(before.choices)


def test_text_that_lists_no_options_does_not_mind_their_order(lm):
    plain, permuted = Likelihood()(lm, ITEMS), Permuted(Likelihood(), orders="all")(lm, ITEMS)
    for a, b in zip(plain["logprobs"], permuted["logprobs"], strict=True):
        np.testing.assert_allclose(a.to_numpy(), b.to_numpy(), rtol=0, atol=1e-5)
    assert plain.drop("score", "logprobs").equals(permuted.drop("score", "logprobs"))


def test_letters_are_averaged_choice_by_choice(lm):
    scorer = Likelihood(options="letter")
    (row,) = Permuted(scorer, orders="all")(lm, ITEMS[:1]).rows(named=True)
    sums = dict.fromkeys(ITEMS[0].choices, 0.0)
    own = orders(ITEMS[0], "all")
    for order in own:
        turned = reorder_choices(ITEMS[0], order)
        for choice, value in zip(turned.choices, scorer(lm, [turned])["logprobs"][0], strict=True):
            sums[choice] += value / len(own)
    assert row["logprobs"] == pytest.approx([sums[choice] for choice in ITEMS[0].choices], abs=1e-5)
    assert row["text"] == max(sums, key=sums.__getitem__)
    assert (row["id"], row["answer"]) == ("0", 1)


def test_a_liking_for_a_letter_averages_out(lm, monkeypatch):
    """A model that always says "a" is right where the answer stands first; over all orders it has no opinion."""
    monkeypatch.setattr(LM, "generate", lambda _lm, texts, **_more: ["a"] * len(texts))
    four = Item("0", "p", ("w", "x", "y", "z"), 2)
    row = Permuted(Generation(match="letter"), orders="all")(lm, [four]).row(0, named=True)
    assert (row["predicted"], row["invalid"], row["score"]) == (0, False, None)


def test_votes_go_to_the_choice_and_invalid_ones_do_not_vote(lm, monkeypatch):
    def one_invalid_rest_right(self, texts, **more):
        return ["?" if i == 0 else next(line[0] for line in text.text.split("\n") if line.endswith(" y")) for i, text in enumerate(texts)]  # fmt: skip

    monkeypatch.setattr(LM, "generate", one_invalid_rest_right)
    three = Item("0", "p", ("w", "x", "y"), 2)
    row = Permuted(Generation(match="letter"), orders=3)(lm, [three]).row(0, named=True)
    assert (row["predicted"], row["correct"], row["text"]) == (2, True, "?")
    monkeypatch.setattr(LM, "generate", lambda _lm, texts, **_more: ["?"] * len(texts))
    row = Permuted(Generation(match="letter"), orders=3)(lm, [three]).row(0, named=True)
    assert (row["predicted"], row["correct"], row["invalid"]) == (-1, False, True)


def test_options_in_the_prompt_cannot_be_reordered(lm):
    fixed = Item("fixed", "Where?\na. box\nb. bag\nAnswer:", ("a", "b"), 0)
    with pytest.raises(StimulusError, match="Item 'fixed'"):
        Permuted(Likelihood())(lm, [fixed])


def test_every_choice_stands_once_at_each_place():
    found = orders(item(4), 8, 3)
    places = Counter((place, choice) for order in found for place, choice in enumerate(order))
    assert set(places.values()) == {2}


def test_fewer_than_one_order_is_refused():
    with pytest.raises(StimulusError, match="orders is 0"):
        Permuted(Likelihood(), orders=0)
