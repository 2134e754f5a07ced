"""The order of an item's choices: shuffled, or all of them, so that a bias for a position cannot pass for ability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from broca.errors import StimulusError
from broca.items import Item

MOST_CHOICES = 5
"""`all_orders` of more would be 720 and up for each item."""


def shuffle_choices(items: Iterable[Item], seed: int) -> tuple[Item, ...]:
    """Each item with its choices in a random order; ids stay, so that results can be paired.

    Args:
        items: A prompt that lists the choices itself is left as it is.
        seed: Of the draw; an item's order does not depend on the items after it.

    Raises:
        StimulusError: The seed is negative.
    """
    if seed < 0:
        raise StimulusError(f"The seed is {seed}. Give 0 or more.")
    draw = np.random.default_rng(seed)
    return tuple(_reorder(item, [int(i) for i in draw.permutation(len(item.choices))]) for item in items)


def all_orders(items: Iterable[Item]) -> tuple[Item, ...]:
    """Each item once for every order of its choices, the orders of one item together.

    Ids get the order as an end, e.g. ``17#1-0``; the group is the item's cluster, so that resampling
    keeps the orders of one item together.

    Raises:
        StimulusError: An item has more than `MOST_CHOICES` choices.
    """
    made: list[Item] = []
    for item in items:
        if len(item.choices) > MOST_CHOICES:
            raise StimulusError(
                f"Item {item.id!r} has {len(item.choices)} choices, too many for all orders (at most {MOST_CHOICES}). "
                "Use permuted(items, seed) with a few seeds."
            )
        for order in permutations(range(len(item.choices))):
            name = f"{item.id}#{'-'.join(map(str, order))}"
            made.append(replace(_reorder(item, order), id=name, group=item.cluster))
    return tuple(made)


def _reorder(item: Item, order: Sequence[int]) -> Item:
    return replace(item.reorder(order), tags={**item.tags, "order": "-".join(map(str, order))})
