"""Hard against easy arithmetic: the multiple-demand contrast as published, and one matched in everything but carries."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from broca.items import Contrast, Stimulus
from broca.stimuli import paradigms
from broca.tries import MOST, tries

Problem = tuple[int, str, int]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

_MATCHED_AT_MOST = 1000


def multiple_demand(*, n: Annotated[int, Field(ge=2, le=100_000)] = 100, seed: Seed = 42) -> Contrast:
    """Problems with numbers of 100 to 199 against 1 to 19, the answer shown, as AlKhamissi et al. (2025) made them.

    The two sides differ in digits, tokens, share of additions and repeats, not in difficulty alone: it is here so that
    published numbers can be reproduced. `multiple_demand_matched` removes the differences. The stream is NumPy's
    legacy one, in a generator of its own.

    Args:
        n: Problems on each side; a prefix of the published ones up to 100.
        seed: The published stimuli have 42, for both sides.
    """
    positive, negative = _ancestral(n, seed, 100, 200), _ancestral(n, seed, 1, 20)
    return Contrast(
        "multiple-demand",
        tuple(Stimulus(f"hard-{i}", text) for i, text in enumerate(positive, start=1)),
        tuple(Stimulus(f"easy-{i}", text) for i, text in enumerate(negative, start=1)),
        source="Generated: arithmetic with large against small numbers, the recipe of AlKhamissi, Tuckute, Bosselut & "
        f"Schrimpf (2025), NAACL, arXiv 2411.02280. Paradigm: {paradigms.MULTIPLE_DEMAND}. The sides differ in "
        "number of digits.",
    )


def multiple_demand_matched(*, n: Annotated[int, Field(ge=2, le=_MATCHED_AT_MOST)] = 100, seed: Seed = 0) -> Contrast:
    """Three-digit problems with two carries or borrows (hard) against none (easy), no answer shown.

    Pairs share the operator and the very same six digits, so that both sides have the same digits, characters and
    share of additions. Operands and results all have three digits. All texts are unique.

    Args:
        n: Pairs; half of them are additions.
        seed: Of the draw.
    """
    draw = np.random.default_rng(seed)
    hard: list[Stimulus] = []
    easy: list[Stimulus] = []
    used: set[Problem] = set()
    for _ in tries(
        f"There are fewer than {n} pairs of problems with the same digits. Ask for fewer.", most=100 * n + MOST
    ):
        if len(hard) == n:
            break
        pair = _matched_pair(draw, "+" if len(hard) % 2 == 0 else "-")
        if pair is None or used & set(pair):
            continue
        used |= set(pair)
        group = f"pair-{len(hard) + 1}"
        hard.append(Stimulus(f"{group}-hard", _question(pair[0]), group))
        easy.append(Stimulus(f"{group}-easy", _question(pair[1]), group))
    return Contrast(
        "multiple-demand-matched",
        tuple(hard),
        tuple(easy),
        paired=True,
        source="Generated for this project: three-digit arithmetic with two carries or borrows against none, from the "
        f"same digits. Paradigm: {paradigms.MULTIPLE_DEMAND}.",
    )


def carries(problem: Problem) -> int:
    """How many carries (+) or borrows (-) a column-wise solution of the problem takes."""
    a, operator, b = problem
    count = carry = 0
    for column in range(max(len(str(a)), len(str(b)))):
        x, y = a // 10**column % 10, b // 10**column % 10
        carry = int(x + y + carry > 9) if operator == "+" else int(x - y - carry < 0)
        count += carry
    return count


def _ancestral(n: int, seed: int, low: int, high: int) -> list[str]:
    # the published stimuli come from the legacy stream; this is one of our own, so nothing global moves
    stream = np.random.RandomState(seed)
    texts: list[str] = []
    for _ in range(n):
        a, b, operator = stream.randint(low, high), stream.randint(low, high), stream.choice(["+", "-"])
        texts.append(f"{_question((a, operator, b))} {a + b if operator == '+' else a - b}")
    return texts


def _question(problem: Problem) -> str:
    a, operator, b = problem
    return f"Question: Solve {a} {operator} {b}?\nAnswer:"


def _matched_pair(draw: np.random.Generator, operator: str) -> tuple[Problem, Problem] | None:
    """A hard problem, and an easy one with its digits in another order; None where the digits do not allow both."""
    digits = draw.integers(0, 10, size=6)
    hard = _arrange(draw, digits, operator, carries_wanted=2)
    easy = _arrange(draw, digits, operator, carries_wanted=0) if hard else None
    return (hard, easy) if hard and easy else None


def _arrange(draw: np.random.Generator, digits: np.ndarray, operator: str, *, carries_wanted: int) -> Problem | None:
    for _ in range(60):
        shuffled = draw.permutation(digits)
        a, b = (int("".join(map(str, half))) for half in (shuffled[:3], shuffled[3:]))
        result = a + b if operator == "+" else a - b
        problem = (a, operator, b)
        if min(a, b, result) >= 100 and result <= 999 and carries(problem) == carries_wanted:
            return problem
    return None
