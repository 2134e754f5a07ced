"""Kinds of studies in which nothing is there, each with a name: nulls, and adversaries that have fooled other rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from certificate.studies import DRAWS, Design, Fall, Floats, Side, Study, even, falls, items_of

Made = Callable[[np.random.Generator], Study]
Claim = Literal["causal and specific", "causal", "specific"]


@dataclass(frozen=True, slots=True)
class Case:
    """Studies of a kind, and which claim of theirs is false."""

    name: str
    kind: Literal["null", "adversary"]
    made: Made
    claim: Claim = "causal and specific"
    before: str = ""
    """How often the rules before these claimed it, where that was measured."""


OWN, OTHER = Design("own"), Design("other")
_WHOLE = 3.0
"""Nats: most of what an ability has."""


def _like_its_draws(*, one: bool, apart: bool = False) -> Made:
    """A lesion that is exchangeable with its draws: shifts of the abilities are one, or each its own."""

    def made(rng: np.random.Generator) -> Study:
        shared = rng.normal(1, 1.5, DRAWS + 1)

        def side(design: Design) -> Side:
            shifts = shared if one else rng.normal(1, 1.5, DRAWS + 1)
            fall = falls(shifts[0]) if apart else even(shifts[0])
            return Side(design, fall, shifts[1:])

        return Study(side(OWN), (side(OTHER),))

    return made


def _equal(own: int, other: int, *, each: int = 5, alike: float = 0.1) -> Made:
    """The same true loss in both abilities, in groups that differ."""

    def made(_rng: np.random.Generator) -> Study:
        sides = (
            Side(replace(design, groups=n, each=each, alike=alike), falls(_WHOLE))
            for design, n in ((OWN, own), (OTHER, other))
        )
        first, second = sides
        return Study(first, (second,))

    return made


def _nothing(_rng: np.random.Generator) -> Study:
    return Study(Side(OWN, even(0)), (Side(OTHER, even(0)),))


def _floor(accuracy: float) -> Made:
    toss = lambda margin, rng: rng.normal(0, 1.5, margin.size)  # noqa: E731
    own, other = replace(OWN, accuracy=0.98), replace(OTHER, accuracy=accuracy)
    return lambda _rng: Study(Side(own, even(0), set_to=toss), (Side(other, even(0), set_to=toss),))


def _towards(values: Callable[[Design], Floats], nats: float) -> Fall:
    def of(design: Design, rng: np.random.Generator) -> Floats:
        return np.outer((1, 0.8, 0.6), nats * values(design)) + 0 * rng.normal()

    return of


def _first_word(design: Design) -> Floats:
    return np.array([1.0 if item.choices[item.answer] == design.words[0] else -1.0 for item in items_of(design)])


def _first_place(design: Design) -> Floats:
    return np.array([1.0 if item.answer == 0 else -1.0 for item in items_of(design)])


def _bias(of: Callable[[Design], Floats], share: str, own: float, other: float, nats: float) -> Made:
    fall = _towards(of, nats)
    designs = replace(OWN, **{share: own}), replace(OTHER, **{share: other})
    return lambda _rng: Study(Side(designs[0], fall), (Side(designs[1], fall),))


def _difficulty(own: float, other: float) -> Made:
    designs = replace(OWN, accuracy=own), replace(OTHER, accuracy=other)
    return lambda _rng: Study(Side(designs[0], even(2)), (Side(designs[1], even(2)),))


def _first_fill(_rng: np.random.Generator) -> Study:
    own: Fall = lambda d, _: np.outer((4.0, -0.2, 0.6), np.ones(d.group.size))  # noqa: E731
    other: Fall = lambda d, _: np.outer((0.2, 1.0, 0.2), np.ones(d.group.size))  # noqa: E731
    return Study(Side(OWN, own), (Side(OTHER, other),))


def _few_choices(rng: np.random.Generator) -> Study:
    shifts = [rng.normal(1, 1.5, 16) for _ in range(2)]
    own, other = (Side(d, even(s[0]), s[1:]) for d, s in zip((OWN, OTHER), shifts, strict=True))
    return Study(own, (other,), distinct=15)


def _one_unit(rng: np.random.Generator) -> Study:
    """Of 20 heads one carries the ability; the claim is about a pair by lot, the draws are all other pairs."""
    pairs = rng.permutation(np.array(list(combinations(range(20), 2))))
    shifts = np.where((pairs == 0).any(1), 5.0, 0.0) + 0.3 * rng.normal(size=len(pairs))
    return Study(Side(OWN, even(shifts[0]), shifts[1:]), (Side(OTHER, even(0)),), distinct=len(pairs) - 1)


def _slim_alone(_rng: np.random.Generator) -> Study:
    hit = lambda margin, rng: np.where(margin < np.median(margin), margin - 5, margin) + rng.normal(size=margin.size)  # noqa: E731
    return Study(Side(OWN, even(0), set_to=hit), (Side(OTHER, even(0)),))


def _one_answer(at: Callable[[Design], Floats]) -> Made:
    def made(_rng: np.random.Generator) -> Study:
        say = lambda margin, rng: 3 * at(OWN) + rng.normal(size=margin.size)  # noqa: E731
        return Study(Side(OWN, even(0), set_to=say), (Side(OTHER, even(0)),))

    return made


CASES = (
    Case("nothing is lost, by draws neither", "null", _nothing),
    Case("like its draws, one shift for all abilities", "null", _like_its_draws(one=True)),
    Case("like its draws, each ability its own shift", "null", _like_its_draws(one=False)),
    Case("like its draws, groups that differ", "null", _like_its_draws(one=True, apart=True)),
    Case("equal damage, 20 + 20 groups", "null", _equal(20, 20)),
    Case("equal damage, 10 + 10 groups of 10, alike", "null", _equal(10, 10, each=10, alike=0.5), before="4 %"),
    Case("equal damage, 2 + 2 groups", "null", _equal(2, 2, each=10), "specific", "15-16 %"),
    Case("equal damage, 4 + 4 groups", "null", _equal(4, 4, each=10), "specific", "7 %"),
    Case("equal damage, 10 + 2 groups", "null", _equal(10, 2, each=10), "specific", "13-21 %"),
    Case("equal damage, 60 + 4 groups", "null", _equal(60, 4), "specific", "9-14 %"),
    Case("equal damage, 60 + 6 groups", "null", _equal(60, 6), "specific"),
    Case("floor: a coin toss, other ability at 90 %", "adversary", _floor(0.9), before="30 % of 400"),
    Case("floor: a coin toss, other ability at 80 %", "adversary", _floor(0.8), before="89 % of 400"),
    Case("floor: a coin toss, other ability at 70 %", "adversary", _floor(0.7), before="100 % of 400"),
    Case("bias to one word, strong", "adversary", _bias(_first_word, "first_word", 0.8, 0.2, 8.0), before="yes (1 of 1)"),
    Case("bias to one word, weak", "adversary", _bias(_first_word, "first_word", 0.8, 0.2, 3.0)),
    Case("bias to one place, strong", "adversary", _bias(_first_place, "first_place", 0.8, 0.2, 8.0)),
    Case("bias to one place, weak", "adversary", _bias(_first_place, "first_place", 0.8, 0.2, 3.0)),
    Case("difficulty: own margins slim, others wide", "adversary", _difficulty(0.77, 0.99), before="yes (1 of 1)"),
    Case("difficulty: own margins wide, others slim", "adversary", _difficulty(0.99, 0.77)),
    Case("difficulty: items of slim margin alone are hit", "adversary", _slim_alone),
    Case("the first fill alone hits it", "adversary", _first_fill, before="yes (1 of 1)"),
    Case("15 distinct choices, lesion like them", "adversary", _few_choices, "causal", "15 of 120"),
    Case("one head of 20 carries it, a pair by lot", "adversary", _one_unit, before="10 % (19 of 190)"),
    Case("every answer becomes one word", "adversary", _one_answer(_first_word)),
    Case("every answer becomes one place", "adversary", _one_answer(_first_place)),
)  # fmt: skip
