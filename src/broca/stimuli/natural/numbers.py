"""Arithmetic behind examples: sums, differences, and which of two numbers is larger."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import product

from broca.stimuli.natural.questions import Ability, Level, Question

Operands = tuple[int, int]
RANGES: dict[Level, tuple[range, range]] = {
    "easy": (range(1, 10), range(1, 10)),
    "usual": (range(3, 21), range(2, 10)),
    "hard": (range(11, 50), range(11, 50)),
}
"""First and second operand."""
STEPS = (-10, -3, -2, -1, 1, 2, 3, 10)
"""How far a wrong answer is from the right one."""
SPREADS: dict[Level, tuple[int, int]] = {"easy": (40, 98), "usual": (10, 98), "hard": (1, 5)}
"""How far apart two numbers are that are compared."""


def calculation(sign: str, word: str, made: Callable[[int, int], int]) -> Ability:
    """Sums or differences of whole numbers above 0. Easy: of one digit; hard: of two digits each."""

    def questions(stream: random.Random, level: Level) -> list[Question]:  # noqa: ARG001 - nothing is drawn
        return [
            Question(
                (f"{a} {sign} {b} =", f"{a} {word} {b} is"),
                str(made(a, b)),
                tuple(str(made(a, b) + step) for step in STEPS if made(a, b) + step > 0),
                f"{a} {sign} {b}",
                kind="number",
                end="",
            )
            for a, b in product(*RANGES[level])
            if made(a, b) > 0
        ]

    return Ability(questions, choices=4, shots=5)


def comparison() -> Ability:
    """The larger of two numbers, which is said first as often as second. The closer they are, the harder."""

    def questions(stream: random.Random, level: Level) -> list[Question]:
        return [
            Question(
                (f"Of {a} and {b}, the larger number is", f"Numbers: {a}, {b}. Largest:"),
                str(max(a, b)),
                (str(min(a, b)),),
                f"{min(a, b)} and {max(a, b)}",
                kind="first" if a > b else "second",
            )
            for low, high in _pairs(stream, level)
            for a, b in ((low, high), (high, low))
        ]

    return Ability(questions, choices=2, shots=6)


def _pairs(stream: random.Random, level: Level) -> Iterator[Operands]:
    least, most = SPREADS[level]
    every = [(a, b) for a in range(1, 100) for b in range(a + least, min(a + most, 99) + 1)]
    yield from stream.sample(every, 200)
