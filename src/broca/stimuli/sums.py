"""Arithmetic asked for in words: which operation is meant is said by one word, and by nothing else.

"Find the gap of 31 and 8 =" is answered by " 23.". A mistake in that word changes what is asked for; one in any other word
changes nothing. Words for other operations may stand before or behind and mean nothing ("with minimum fuss"), so the letters
of a text do not tell which is meant: the word has to be read where it stands. All texts are written for this project; no
text has a mistake.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from typing import Annotated

import numpy as np
from pydantic import Field

from broca.items import Item
from broca.stimuli.options import Wording
from broca.tries import first

LARGEST = 49
"""Operands are 0 to this."""

OPERATIONS: Mapping[str, Callable[[int, int], int]] = {
    "plus": lambda a, b: a + b,
    "minus": lambda a, b: a - b,
    "difference": lambda a, b: abs(a - b),
    "larger": max,
    "smaller": min,
}
"""What an operation makes of its two operands."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "plus": ("sum", "total"),
    "difference": ("gap", "difference"),
    "larger": ("larger", "greater", "maximum"),
    "smaller": ("smaller", "lesser", "minimum"),
}
BETWEEN: Mapping[str, tuple[str, ...]] = {"plus": ("plus", "add"), "minus": ("minus", "less")}

_NAMED = (
    "Find the {op} of {a} and {b} =",
    "What is the {op} of {a} and {b} =",
    "Give me the {op}: {a}, {b} =",
    "Please work out the {op} for {a} and {b} =",
    "{a} and {b}, now the {op} =",
    "Tell us the {op} of these: {a}, {b} =",
    "I want the {op} of {a} and {b} =",
    "Write down the {op}: {a}, {b} =",
    "Now the {op} of {a} and {b} =",
    "Can you say the {op} of {a} and {b} =",
)
_PLACED = (
    "What is {a} {op} {b} =",
    "Work out {a} {op} {b} =",
    "Please find {a} {op} {b} =",
    "Tell me what {a} {op} {b} makes =",
    "Now take {a} {op} {b} =",
    "I need {a} {op} {b} =",
)
OPENERS = (
    *("Hello. ", "Here is another. ", "Good morning to you. ", "Let us go on. ", "This is easy. "),
    *("Mind the gap. ", "In total calm. ", "For the greater good. ", "A plus for you. ", "What a difference. "),
    *("On a smaller sheet. ", "Add no words. ", "More or less. ", "At maximum speed. ", "Minus the fun. "),
)
CLOSERS = (
    *(", with minimum fuss", ", with maximum care", ", in total calm", ", on a larger sheet", ", on a smaller sheet"),
    *(
        ", mind the gap",
        ", for the greater good",
        ", in sum",
        ", the lesser evil",
        ", if you please",
        ", one more time",
    ),
)
"""What may stand in front, and behind, and means nothing."""
FRAMED = 0.35
"""How often there is an opener, and how often a closer."""

WORDINGS: tuple[tuple[str, str, str], ...] = tuple(
    (frame, operation, word)
    for frames, names in ((_NAMED, NAMES), (_PLACED, BETWEEN))
    for frame, (operation, words) in product(frames, names.items())
    for word in words
)
"""Every frame with every word that fits it: frame, operation, word."""

WORDS = frozenset(word for _, _, word in WORDINGS)
"""The words that carry an operation."""


def held_out(a: int, b: int) -> bool:
    """Whether the organism `sums` has never seen these operands: an eighth of all pairs."""
    return zlib.crc32(f"{a},{b}".encode()) % 8 == 0


def sums(
    *,
    n: Annotated[int, Field(ge=1, le=100_000)] = 200,
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0,
    wording: Wording = 1,
) -> tuple[Item, ...]:
    """Requests with operands that the organism `sums` has not seen, operations in turn.

    The choices are what the five operations make of the operands, each value once; chance depends on how many differ. An
    item's group is its wording. The tags ``operation`` and ``word`` say what is asked for, and by which word.

    Args:
        n: items; some may ask the same.
        seed: of the draw.
        wording: 1 or 2: the same operations and operands, asked for with another frame or word. Ids and groups stay.
    """
    rng = np.random.default_rng(seed)
    made = [_item(rng, number, seed) for number in range(n)]
    if wording == 2:
        return tuple(_reword(*each, np.random.default_rng([seed, number])) for number, each in enumerate(made))
    return tuple(item for item, _ in made)


def _reword(item: Item, operands: tuple[int, int], rng: np.random.Generator) -> Item:
    """An item in other words; chance of its own, so that the items do not depend on it."""
    (a, b), operation = operands, item.tags["operation"]
    others = [
        (frame, word)
        for frame, other, word in WORDINGS
        if other == operation and frame.format(op=word, a="#", b="#") != item.group
    ]
    frame, word = others[rng.integers(len(others))]
    asked = frame_request(rng, frame.format(op=word, a=a, b=b))
    return replace(item, prompt=asked, tags={**item.tags, "word": word})


def _item(rng: np.random.Generator, number: int, seed: int) -> tuple[Item, tuple[int, int]]:
    """An item and its operands."""
    operation = tuple(OPERATIONS)[number % len(OPERATIONS)]
    frame, word = wording(rng, operation)

    def telling() -> tuple[int, int] | None:
        a, b = draw_operands(rng, held=True)
        return (a, b) if a or b else None  # of two zeros all operations make the same

    a, b = first(telling, "All operands drawn are zero.")
    values = list(dict.fromkeys(made(a, b) for made in OPERATIONS.values()))
    item = Item(
        id=f"sums/{seed}/{number}",
        prompt=frame_request(rng, frame.format(op=word, a=a, b=b)),
        choices=tuple(map(spell_answer, values)),
        answer=values.index(OPERATIONS[operation](a, b)),
        ability="sums",
        group=frame.format(op=word, a="#", b="#"),
        tags={"operation": operation, "word": word},
    )
    return item, (a, b)


def wording(rng: np.random.Generator, operation: str) -> tuple[str, str]:
    """A frame and a word that ask for an operation."""
    asked = [(frame, word) for frame, other, word in WORDINGS if other == operation]
    return asked[rng.integers(len(asked))]


def frame_request(rng: np.random.Generator, request: str) -> str:
    """The request, with or without an opener and a closer; each is drawn in any case, so that what follows does not depend on it."""
    front, behind, opener, closer = (*rng.random(2), rng.integers(len(OPENERS)), rng.integers(len(CLOSERS)))
    before = OPENERS[opener] if front < FRAMED else ""
    after = CLOSERS[closer] if behind < FRAMED else ""
    return f"{before}{request.removesuffix(' =')}{after} ="


def draw_operands(rng: np.random.Generator, *, held: bool) -> tuple[int, int]:
    """Two operands, held out or not."""

    def some() -> tuple[int, int] | None:
        a, b = (int(number) for number in rng.integers(LARGEST + 1, size=2))
        return (a, b) if held_out(a, b) == held else None

    return first(some, f"No operands up to {LARGEST} are {'held out' if held else 'left to train on'}.")


def spell_answer(value: int) -> str:
    """An answer as it is written: a space, the number, and a stop, so that no answer is the beginning of another."""
    return f" {value}."
