"""Indirect objects: of two people one gives the other something (Wang et al., 2023). Items of our own, with MIB's kinds of counterfactual."""

from __future__ import annotations

import random
from typing import Literal

from broca.items import Item
from broca.stimuli.options import Count, Seed

NAMES = (
    "Mary", "John", "Tom", "James", "Dan", "Martin", "Amy", "Anna", "Bob", "Kate", "Paul", "Sarah", "David", "Jack", "Lisa", "Mark",
    "Emma", "Peter", "Laura", "Adam", "Alice", "Simon", "Helen", "Kevin", "Rachel", "Steven", "Susan", "George", "Linda", "Robert",
)  # fmt: skip
PLACES = ("store", "garden", "school", "station", "office", "house", "hospital", "restaurant", "park", "library")
THINGS = ("ring", "book", "basket", "drink", "bone", "letter", "key", "present", "ball", "picture")
FRAMES = (
    "When {a} and {b} went to the {place}, {s} gave a {thing} to",
    "Then, {a} and {b} went to the {place}. {s} gave a {thing} to",
    "Then, {a} and {b} had a lot of fun at the {place}. {s} gave a {thing} to",
    "After {a} and {b} went to the {place}, {s} gave a {thing} to",
    "While {a} and {b} were working at the {place}, {s} gave a {thing} to",
    "Then, {a} and {b} were thinking about going to the {place}. {s} wanted to give a {thing} to",
    "{a} and {b} met at the {place} in the morning. Before noon, {s} handed a {thing} to",
    "Last week {a} and {b} found a {thing} at the {place}. {s} decided to give it to",
    "The {place} was empty when {a} and {b} came in. {s} passed a {thing} to",
    "Friends since childhood, {a} and {b} walked to the {place}, and {s} gave the {thing} to",
)
"""Each with either person named first: what the model may not lean on."""
Counterfactual = Literal["s2_io_flip", "s1_io_flip", "abc", "random_names"]


def ioi(*, n: Count = 200, counterfactual: Counterfactual = "s2_io_flip", seed: Seed = 0) -> tuple[Item, ...]:
    """Items with the ability ``ioi``: the choices are both names.

    Args:
        n: Items.
        counterfactual: What each brings: the giver is the other one (``s2_io_flip``, MIB's default), both are named the other way round
            (``s1_io_flip``), all three names are others (``abc``), or both people are (``random_names``).
        seed: Of all draws.
    """
    return tuple(_item(i, counterfactual, random.Random(f"ioi/{seed}/{i}")) for i in range(n))  # noqa: S311 - stimuli


def _item(number: int, kind: Counterfactual, draws: random.Random) -> Item:
    frame = number % len(FRAMES)
    io, s, *others = draws.sample(NAMES, 5)
    first = draws.random() < 0.5
    words = {"place": draws.choice(PLACES), "thing": draws.choice(THINGS)}

    def story(one: str, two: str, giver: str) -> str:
        a, b = (one, two) if first else (two, one)
        return FRAMES[frame].format(a=a, b=b, s=giver, **words)

    # Where the giver is the other one, or nobody who was named, the other choice is no worse than the right one.
    counter = {
        "s2_io_flip": story(io, s, io),
        "s1_io_flip": story(s, io, s),
        "abc": story(others[0], others[1], others[2]),
        "random_names": story(others[0], others[1], others[1]),
    }[kind]
    order = draws.sample((io, s), 2)
    return Item(
        id=f"ioi:{number}",
        prompt=story(io, s, s),
        choices=tuple(f" {name}" for name in order),
        answer=order.index(io),
        ability="ioi",
        group=f"{frame}{'ab' if first else 'ba'}",
        tags={"counterfactual": counter, "counterfactual answer": f" {s}", "counterfactual kind": kind},
    )
