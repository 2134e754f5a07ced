"""Work in parts that fit into memory, for models that are no `LM`: a reward model, a sentence embedder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from broca.errors import BrocaError

A = TypeVar("A")
B = TypeVar("B")


def in_parts(rows: Sequence[A], step: Callable[[Sequence[A]], Sequence[B]], *, size: int) -> list[B]:
    """What `step` makes of all rows, `size` at a time; where memory runs out, half as many from then on.

    Raises:
        BrocaError: if a single row does not fit, or `size` is below 1.
    """
    if size < 1:
        raise BrocaError(f"{size} texts a batch make no progress. Give 1 or more.")
    found: list[B] = []
    while len(found) < len(rows):
        part = rows[len(found) : len(found) + size]
        try:
            found.extend(step(part))
        except torch.OutOfMemoryError as error:
            if len(part) == 1:
                raise BrocaError(
                    "Out of memory on one text. Use a shorter one, a smaller model, a smaller dtype, or another device."
                ) from error
            size = len(part) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    return found
