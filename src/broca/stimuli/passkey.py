"""Pass keys: a number told somewhere in idle text and asked for at its end, which takes memory of the text and nothing else."""

from __future__ import annotations

import random

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.options import Count, Wording

_NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Iris", "Jonas", "Karla", "Leo")
_IDLE: tuple[str, ...] = (
    "The trees along the river are green.",
    "A light wind moves over the fields.",
    "Some clouds pass and the sun comes back.",
    "The road goes up the hill and down again.",
    "Birds sit on the old fence by the barn.",
    "Nobody is in a hurry on such a day.",
    "The water in the pond is clear and cold.",
    "A dog sleeps in front of the small house.",
)


_ASKED = {
    1: "Question: What is {name}'s pass key?\nAnswer:",
    2: "Question: Which number is the pass key of {name}?\nAnswer:",
}


def passkey(
    *,
    n: Count = 200,
    sentences: Count = 24,
    digits: int = 6,
    depth: float | None = None,
    decoys: int = 3,
    seed: int = 0,
    wording: Wording = 1,
) -> tuple[Item, ...]:
    """Items with the ability ``passkey``: somebody's key against those of others.

    Args:
        n: Items.
        sentences: Idle sentences in each, of about 9 tokens.
        digits: Of each key.
        depth: Where the key stands: 0 at the start, 1 at the end; drawn anew for each item by default.
        decoys: Other people's keys in the text, which are the other choices. With none, the other choices are numbers that
            the text does not have, and "the only number in the text" is always right.
        seed: Of all draws.
        wording: 1 or 2: the same texts, asked about in other words.

    Raises:
        StimulusError: An option is out of its range.
    """
    _check(n, sentences, digits, depth, decoys)
    items: list[Item] = []
    for i in range(n):
        draws = random.Random(f"{seed}/{i}")  # noqa: S311 - stimuli, no secrets
        names = draws.sample(_NAMES, 1 + decoys)
        numbers = [str(number) for number in draws.sample(range(10 ** (digits - 1), 10**digits), 1 + (decoys or 3))]
        lines: list[str] = draws.choices(_IDLE, k=sentences)
        told = [f"{name}'s pass key is {number}." for name, number in zip(names, numbers, strict=False)]
        for other in told[1:]:
            lines.insert(draws.randint(0, len(lines)), other)
        share = draws.random() if depth is None else depth
        lines.insert(round(share * len(lines)), told[0])
        order = draws.sample(range(len(numbers)), len(numbers))
        items.append(
            Item(
                id=f"passkey:{i}",
                prompt=f"{' '.join(lines)}\n{_ASKED[wording].format(name=names[0])}",
                choices=tuple(numbers[k] for k in order),
                answer=order.index(0),
                ability="passkey",
                tags={"depth": f"{share:.3f}"},
            )
        )
    return tuple(items)


def _check(n: int, sentences: int, digits: int, depth: float | None, decoys: int) -> None:
    if n < 1 or sentences < 1 or not 2 <= digits <= 12:
        raise StimulusError(
            f"n={n}, sentences={sentences}, digits={digits}. Give at least one item and one sentence, and 2 to 12 digits."
        )
    if depth is not None and not 0 <= depth <= 1:
        raise StimulusError(f"depth is {depth}. Give a share of the text, from 0 to 1.")
    if not 0 <= decoys < len(_NAMES):
        raise StimulusError(f"decoys is {decoys}. Give 0 to {len(_NAMES) - 1}.")
