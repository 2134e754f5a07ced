"""Induction: a list of words, and the list again up to some word. What comes next stood behind that word before (Olsson et al., 2022)."""

from __future__ import annotations

import random
from typing import Annotated, Literal

from pydantic import Field

from broca.items import Item
from broca.stimuli.options import Count, Seed

WORDS = (
    "apple", "bag", "bell", "bird", "boat", "book", "bread", "car", "cat", "chair", "coat", "cow", "cup", "desk", "dog", "door",
    "egg", "fish", "flag", "fork", "fox", "gate", "glass", "hat", "horse", "key", "king", "lamp", "leaf", "map", "milk", "moon",
    "nail", "nest", "pen", "pig", "ring", "road", "rock", "rope", "ship", "shoe", "snow", "star", "stone", "sun", "tree", "wheel",
)  # fmt: skip
"""One token each in most vocabularies, with a space before them."""
Length = Annotated[int, Field(ge=5, le=24)]


Counterfactual = Literal["key", "value"]


def induction(
    *, n: Count = 200, words: Length = 12, counterfactual: Counterfactual = "key", seed: Seed = 0
) -> tuple[Item, ...]:
    """Items with the ability ``induction``; the other choice is another word of the list.

    Args:
        n: Items.
        words: Of each list, all different.
        counterfactual: What each brings, of as many tokens, of which the other choice is right: the first time the words before the right
            one and before the other are exchanged (``key``), so that what is looked for stands elsewhere; or these two are (``value``).
        seed: Of all draws.
    """
    draws = (random.Random(f"induction/{seed}/{i}") for i in range(n))  # noqa: S311 - stimuli
    return tuple(_item(i, words, counterfactual, each) for i, each in enumerate(draws))


def _item(number: int, words: int, kind: Counterfactual, draws: random.Random) -> Item:
    listed = draws.sample(WORDS, words)
    again = draws.randint(1, words - 1)
    # Neither the last word that is told, nor the one behind the right one: then the exchange would move what is right.
    other = draws.choice([i for i in range(1, words) if i not in (again - 1, again, again + 1)])
    right, foil = listed[again], listed[other]
    moved, back = list(listed), 1 if kind == "key" else 0
    moved[again - back], moved[other - back] = listed[other - back], listed[again - back]
    order = draws.sample((right, foil), 2)
    return Item(
        id=f"induction:{number}",
        prompt=" ".join([*listed, *listed[:again]]),
        choices=tuple(f" {word}" for word in order),
        answer=order.index(right),
        ability="induction",
        tags={
            "again": str(again),
            "counterfactual": " ".join([*moved, *listed[:again]]),
            "counterfactual answer": f" {foil}",
            "counterfactual kind": kind,
        },
    )
