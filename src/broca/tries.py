"""Draws that may be refused, and their end: what cannot be had is said, and nothing that draws runs for ever.

Tries are counted, not seconds: the same options end in the same way on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from broca.errors import StimulusError

T = TypeVar("T")

MOST = 10_000
"""Draws before one gives up; what one draw in a hundred gives is missed once in 10^43 times."""


def first(draw: Callable[[], T | None], otherwise: str, *, most: int = MOST) -> T:
    """The first draw that is not None.

    Args:
        draw: gives None for a draw that is refused.
        otherwise: what cannot be had, and which options allow it: a sentence or two.
        most: draws at most.

    Raises:
        StimulusError: if all are refused.
    """
    for _ in tries(otherwise, most=most):
        found = draw()
        if found is not None:
            return found
    raise AssertionError(otherwise)  # tries has raised


def tries(otherwise: str, *, most: int = MOST) -> Iterator[int]:
    """Counts the tries of a loop that is left when it has what it wants.

    Raises:
        StimulusError: when the last try has been made.
    """
    yield from range(most)
    raise StimulusError(f"{otherwise} (Given up after {most:,} draws.)")
