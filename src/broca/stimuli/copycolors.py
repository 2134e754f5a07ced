"""A colour told in a sentence, and asked for by letter (Wiegreffe et al., 2025). Items of our own, with MIB's kinds of counterfactual."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from broca.items import Item
from broca.stimuli.options import Count, Seed

COLOURS = ("red", "blue", "green", "black", "white", "brown", "yellow", "gray", "pink", "purple", "orange", "silver")
THINGS = (
    "box", "car", "hat", "cup", "door", "chair", "bag", "ball", "book", "coat", "lamp", "shoe", "pen", "table", "wall", "boat",
)  # fmt: skip
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FRAMES = (
    "A {thing} is {colour}. What color is a {thing}?",
    "The {thing} is {colour}. What color is the {thing}?",
    "My {thing} is {colour}. What is the color of my {thing}?",
    "This {thing} is {colour}. Which color does this {thing} have?",
)
Counterfactual = Literal["answerPosition", "symbol"]


def copycolors(
    *, n: Count = 200, choices: Literal[2, 3, 4] = 4, counterfactual: Counterfactual = "answerPosition", seed: Seed = 0
) -> tuple[Item, ...]:
    """Items with the ability ``mcqa``: the choices are letters.

    Args:
        n: Items.
        choices: Colours that are listed.
        counterfactual: What each brings: the right colour stands under another of the same letters (``answerPosition``), or the list has
            other letters (``symbol``, MIB's default; what is then right is no choice of the item).
        seed: Of all draws.
    """
    return tuple(_item(i, choices, counterfactual, random.Random(f"mcqa/{seed}/{i}")) for i in range(n))  # noqa: S311 - stimuli


def _item(number: int, n: int, kind: Counterfactual, draws: random.Random) -> Item:
    frame = number % len(FRAMES)
    colours, thing = draws.sample(COLOURS, n), draws.choice(THINGS)
    answer = number // len(FRAMES) % n
    letters = LETTERS[:n]

    def story(names: Sequence[str], listed: Sequence[str]) -> str:
        question = FRAMES[frame].format(thing=thing, colour=colours[answer])
        return "\n".join([question, *(f"{a}. {b}" for a, b in zip(names, listed, strict=True)), "Answer:"])

    if kind == "symbol":
        others = draws.sample(LETTERS[n:], n)
        counter, then = story(others, colours), others[answer]
    else:
        place = draws.choice([i for i in range(n) if i != answer])
        moved = list(colours)
        moved[answer], moved[place] = moved[place], moved[answer]
        counter, then = story(letters, moved), letters[place]
    return Item(
        id=f"mcqa:{number}",
        prompt=story(letters, colours),
        choices=tuple(f" {letter}" for letter in letters),
        answer=answer,
        ability="mcqa",
        group=f"{frame} {thing}",
        tags={"counterfactual": counter, "counterfactual answer": f" {then}", "counterfactual kind": kind},
    )
