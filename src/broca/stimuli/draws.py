"""Texts, and windows of texts, drawn with Python's own generator: an order that others have published with."""

from __future__ import annotations

import random
from collections.abc import Callable

from broca.errors import StimulusError


def draw_texts(n: int, of: int, seed: int = 0) -> tuple[int, ...]:
    """Which `n` of the training texts are used, in their order: the first of a shuffle by Python's generator.

    Args:
        n: How many; all where there are fewer.
        of: How many texts there are.
        seed: Of the generator.
    """
    order = list(range(of))
    random.Random(seed).shuffle(order)  # noqa: S311 - a published order, not a secret
    return tuple(order[:n])


def draw_windows(
    lengths: Callable[[int], int], n: int, *, documents: int, window: int = 128, seed: int = 0
) -> tuple[tuple[int, int], ...]:
    """Where the general texts are cut: `n` times a document and the token at which a window of it begins.

    A document that is too short is drawn again, which moves all later draws: the windows depend on the tokenizer.

    Args:
        lengths: Tokens of a document, by its index, without special tokens.
        n: How many windows; a document may give several.
        documents: How many there are.
        window: Tokens in each.
        seed: Of the generator.

    Raises:
        StimulusError: A hundred documents in a row are too short.
    """
    draw = random.Random(seed)  # noqa: S311 - a published order, not a secret
    found: list[tuple[int, int]] = []
    for _ in range(n):
        for _ in range(100):
            document = draw.randint(0, documents - 1)
            length = lengths(document)
            if length >= window:
                break
        else:
            raise StimulusError(
                f"A hundred texts in a row have fewer than {window} tokens. Give longer texts, or shorter windows."
            )
        found.append((document, draw.randint(0, length - window) if length > window else 0))
    return tuple(found)
