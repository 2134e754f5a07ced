"""Scoring under several orders of the options, so that a liking for a place or a letter averages out."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import polars as pl

from broca.errors import StimulusError
from broca.items import Item
from broca.scoring.generation import Generation
from broca.scoring.likelihood import Likelihood
from broca.scoring.prompts import lists_itself
from broca.scoring.rows import INVALID, Outcome, likeliest_choice, rows
from broca.tries import MOST, tries

if TYPE_CHECKING:
    from broca.models.lm import LM

Order = tuple[int, ...]
"""At each place, the index of the choice that stands there."""

_MOST = 120


@dataclass(frozen=True, slots=True)
class Permuted:
    """Another scorer, asked about each item under several orders of its choices; one row an item all the same.

    Log-probabilities are averaged over the orders, choice by choice. Where there are none, the choice named most often
    counts, the first of those that tie; the item is invalid only where no order gave a valid answer; `text` is that of
    the first order.
    """

    scorer: Likelihood | Generation
    orders: int | Literal["all"] = "all"
    """How many different orders, or all (up to 120, five choices). As many as there are choices put each choice once at
    each place."""
    seed: int = 0
    kind: Literal["permuted"] = field(default="permuted", kw_only=True)

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.orders != "all" and self.orders < 1:
            raise StimulusError(f"orders is {self.orders}. Give at least 1, or 'all'.")

    def __call__(self, lm: LM, items: Sequence[Item]) -> pl.DataFrame:
        """Rows of `broca.scoring.ROW_SCHEMA`, one an item.

        Raises:
            StimulusError: where the scorer does, if all orders are asked of an item with more than five choices, or if
                the options stand in the prompt itself and so cannot be reordered.
        """
        for item in items:
            if lists_itself(item):
                raise StimulusError(
                    f"Item {item.id!r} has the choices {item.choices}: its prompt lists the options itself, so their "
                    "order cannot be changed here. Give the options as choices."
                )
        chosen = [orders(item, self.orders, self.seed) for item in items]
        asked = [reorder_choices(item, order) for item, own in zip(items, chosen, strict=True) for order in own]
        found = self.scorer(lm, asked).select("predicted", "logprobs", "text").rows()
        outcomes, at = [], 0
        for item, own in zip(items, chosen, strict=True):
            outcomes.append(_together(item, own, found[at : at + len(own)]))
            at += len(own)
        return rows(items, outcomes)


def orders(item: Item, n: int | Literal["all"], seed: int = 0) -> list[Order]:
    """`n` different orders of an item's choices, or all where there are fewer.

    Drawn as the rotations of random orders, so that every run of as many orders as there are choices puts each choice
    once at each place. The draw depends on the item's id and `seed`, not on its neighbours.

    Raises:
        StimulusError: if `n` is "all" and there are more than 120.
    """
    k = len(item.choices)
    if n == "all" and math.factorial(k) > _MOST:
        raise StimulusError(
            f"Item {item.id!r} has {k} choices, so {math.factorial(k)} orders. Give a number of orders instead of 'all'."
        )
    if n == "all" or n >= math.factorial(k):
        return list(permutations(range(k)))
    draw = np.random.default_rng([seed, zlib.crc32(item.id.encode())])
    found: dict[Order, None] = {}
    for _ in tries(
        f"Item {item.id!r}: {n} different orders were not drawn. Ask for fewer, or for 'all'.", most=100 * n + MOST
    ):
        if len(found) >= n:
            break
        first = tuple(draw.permutation(k).tolist())
        found.update(dict.fromkeys(first[i:] + first[:i] for i in range(k)))
    return list(found)[:n]


def reorder_choices(item: Item, order: Order) -> Item:
    """The item with its choices in another order, and the same answer."""
    return item.reorder(order)


def _together(item: Item, own: Sequence[Order], found: Sequence[tuple[int, list[float], str]]) -> Outcome:
    if found[0][1]:
        values = np.zeros(len(item.choices))
        for order, (_, logprobs, _) in zip(own, found, strict=True):
            values[list(order)] += logprobs
        return likeliest_choice(item, (values / len(own)).tolist())
    votes = Counter(order[place] for order, (place, _, _) in zip(own, found, strict=True) if place != INVALID)
    predicted = min(votes, key=lambda choice: (-votes[choice], choice)) if votes else INVALID
    return Outcome(predicted, found[0][2])
