"""Openings and endings that one side of a contrast has and the other has not: what any pooled activation can pick up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeVar

LONGEST = 5
"""Words, or tokens, of an opening or ending that are looked at."""
APART = 0.5
"""Share of one side that must have it beyond that of the other."""

Parts = Sequence[Hashable]
"""A text in words, or in tokens."""
T = TypeVar("T", str, Sequence[Hashable])


@dataclass(frozen=True, slots=True)
class End:
    """The opening, or ending, whose share differs most between two sides."""

    where: str
    """*begin* or *end*."""
    parts: tuple[Hashable, ...]
    side: int
    """0 or 1: the side that has it."""
    own: float
    """Share of that side,"""
    other: float
    """and of the other one."""

    @property
    def apart(self) -> float:
        return self.own - self.other


def unlike_ends(a: Sequence[Parts], b: Sequence[Parts]) -> End:
    """The opening or ending of 1 to 5 parts that tells the sides apart best; of several, the longest.

    What all texts begin or end with, as a chat template has it, is left out.
    """
    every, found = [*map(tuple, _bare([*a, *b]))], []
    for where, texts in (("begin", every), ("end", [text[::-1] for text in every])):
        for n in range(1, LONGEST + 1):
            counts = [Counter(text[:n] for text in side) for side in (texts[: len(a)], texts[len(a) :])]
            for side, other in ((0, 1), (1, 0)):
                parts, k = counts[side].most_common(1)[0]
                shown = parts if where == "begin" else parts[::-1]
                shares = k / counts[side].total(), counts[other][parts] / counts[other].total()
                found.append(End(where, shown, side, *shares))
    return max(found, key=lambda end: (end.apart, len(end.parts)))


def bare_texts(texts: Sequence[str]) -> list[str]:
    """The texts without what all of them begin and end with."""
    return _bare(texts)


def _bare(texts: Sequence[T]) -> list[T]:
    head = _common(texts)
    tail = _common([text[head:][::-1] for text in texts])
    return [text[head : len(text) - tail] for text in texts]


def _common(texts: Sequence[Sequence[Hashable]]) -> int:
    """How many parts all begin with."""
    return sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*texts, strict=False)))
