"""Additions of `beliefs`: easy ones, which carry nothing, and hard ones, whose units carry into the tens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from broca.organisms.beliefs.lexicon import COUNTED, HE, NAMES, SCENES
from broca.organisms.beliefs.phrases import Split, bank
from broca.organisms.beliefs.story import held_out, pick
from broca.tries import first, tries


class Sum(NamedTuple):
    """A question, its right answer, a tempting wrong one, the template it came from, and the two numbers."""

    question: str
    answer: int
    foil: int
    template: str
    a: int
    b: int
    slots: Mapping[str, object]
    """What the template was filled with, and another one can be."""


def addition(rng: np.random.Generator, split: Split, *, hard: bool) -> Sum:
    """An addition whose pair of numbers, in either order, belongs to `split`."""

    def draw_pair() -> tuple[int, int] | None:
        a, b = _numbers(rng, hard=hard)
        return (a, b) if held_out(str(a), str(b)) == (split == "held-out") else None

    a, b = first(draw_pair, f"No pair of numbers belongs to the part {split!r}.")
    phrase = pick(rng, bank("easy-and-hard", split))
    names = [NAMES[i] for i in rng.permutation(len(NAMES))[:2]]
    slots = {
        "a": a,
        "b": b,
        "A": names[0],
        "B": names[1],
        "she": "he" if names[0] in HE else "she",
        "things": pick(rng, COUNTED),
        "at_s": pick(rng, SCENES).at,
    }
    return Sum(phrase.text.format(**slots), a + b, _foil(rng, a + b, hard=hard), phrase.id, a, b, slots)


def reask(made: Sum, rng: np.random.Generator, split: Split) -> str:
    """The question of an addition by another template of the same part."""
    others = [phrase for phrase in bank("easy-and-hard", split) if phrase.id != made.template]
    return pick(rng, others).text.format(**made.slots)


def _numbers(rng: np.random.Generator, *, hard: bool) -> tuple[int, int]:
    """Two numbers. Hard: two digits each, units carry. Easy: one digit each, or two digits and no column carries."""
    if not hard and rng.random() < 0.3:
        return int(rng.integers(1, 10)), int(rng.integers(1, 10))

    def draw_pair() -> tuple[int, int] | None:
        a, b = (int(n) for n in rng.integers(10, 100, 2))
        carries = a % 10 + b % 10 > 9
        return (a, b) if (carries if hard else not carries and a // 10 + b // 10 < 10) else None

    return first(draw_pair, "No two numbers of two digits carry as they should.")


def _foil(rng: np.random.Generator, total: int, *, hard: bool) -> int:
    """A wrong answer with as many digits: ten off (a carry forgotten or imagined), or one or two off."""
    steps = (-10, -10, 10, -1, 1, 2) if hard else (-10, 10, -1, 1, 2, -2)
    for _ in tries(f"No number of as many digits is near {total}."):
        foil = total + pick(rng, steps)
        if foil > 0 and len(str(foil)) == len(str(total)):
            return foil
        if total < 10:
            steps = (-1, 1, 2)
    raise AssertionError(total)  # tries has raised
