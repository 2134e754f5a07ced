"""One simulated study: margins of the items of each ability, intact, under the lesion and under draws, and what the rungs say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from broca.evidence.ability_scores import AbilityScores
from broca.evidence.matched_draws import MatchedDraws
from broca.evidence.rungs import causal, specific
from broca.items import Item
from broca.stats.ladder_power import NOISE, SHIFT, SPREAD, STRENGTHS, UNLIKE
from broca.stats.stopping import decide, stopping_rule

Floats = NDArray[np.float64]
Fall = Callable[["Design", np.random.Generator], Floats]
"""Nats that margins lose under each fill, (fill, item)."""

FILLS = ("zero", "mean", "resample")
DRAWS = 200
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Design:
    """The items of an ability."""

    name: str
    groups: int = 20
    each: int = 5
    accuracy: float = 0.95
    """Of the intact model."""
    alike: float = 0.1
    """Correlation of margins within groups."""
    words: tuple[str, str] = ("box", "bag")
    first_word: float = 0.5
    """Share of the right answers that are the first word."""
    first_place: float = 0.5
    """Share that stand first."""

    @property
    def group(self) -> NDArray[np.int64]:
        """(item,) Which group each is of."""
        return np.arange(self.groups * self.each) // self.each

    def margins(self, rng: np.random.Generator) -> Floats:
        """(item,) Intact, in nats."""
        own, shared = rng.normal(size=self.group.size), rng.normal(size=self.groups)[self.group]
        return SPREAD * (ndtri(self.accuracy) + self.alike**0.5 * shared + (1 - self.alike) ** 0.5 * own)


@cache
def items_of(design: Design) -> tuple[Item, ...]:
    """Items with two choices each."""
    made = []
    n = design.group.size
    spread = np.random.default_rng([n, *design.name.encode()])
    word = spread.permutation(np.arange(n) >= round(n * design.first_word))
    place = spread.permutation(np.arange(n) >= round(n * design.first_place))
    for i in range(n):
        right, wrong = design.words[:: -1 if word[i] else 1]
        choices = (wrong, right) if place[i] else (right, wrong)
        made.append(
            Item(f"{design.name}{i}", f"Where is {i}?", choices, int(place[i]), design.name, f"{design.group[i]}")
        )
    return tuple(made)


def falls(nats: float) -> Fall:
    """As `stats.ladder_power` has it: weaker fills do less, and groups differ."""

    def of(design: Design, rng: np.random.Generator) -> Floats:
        unlike = rng.gamma(UNLIKE, 1 / UNLIKE, design.groups)[design.group]
        return nats * unlike * np.array(STRENGTHS)[:, None]

    return of


def even(nats: float) -> Fall:
    """The same of each item, under each fill by its strength."""
    return lambda design, _rng: np.outer(STRENGTHS, np.full(design.group.size, nats))


@dataclass(frozen=True, slots=True)
class Side:
    """An ability, and what is done to it."""

    design: Design
    fall: Fall
    shifts: Floats | None = None
    """(draw,) Nats that margins lose under each draw; by default small ones that differ."""
    set_to: Callable[[Floats, np.random.Generator], Floats] | None = None
    """What margins become under any lesion instead of what is left of them: from (item,) intact."""

    def scores(self, rng: np.random.Generator) -> AbilityScores:
        """What the rungs are given."""
        design = self.design
        margin, n = design.margins(rng), design.group.size
        if self.set_to is None:
            under = margin - self.fall(design, rng) + NOISE * rng.normal(size=(len(FILLS), n))
        else:
            under = np.stack([self.set_to(margin, rng) for _ in FILLS])
        shifts = SHIFT * rng.normal(size=DRAWS) if self.shifts is None else self.shifts
        drawn = margin - shifts[:, None] + NOISE * rng.normal(size=(len(shifts), n))
        answers = np.array([item.answer for item in items_of(design)])
        return AbilityScores(
            design.name, items_of(design), design.group, (margin > 0) * 1.0, margin, FILLS, (under > 0) * 1.0, under,
            np.where(under[0] > 0, answers, 1 - answers), {}, (drawn > 0) * 1.0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Study:
    """A lesion's study: the own ability, others, and how many distinct choices there are."""

    own: Side
    others: tuple[Side, ...]
    distinct: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the ladder says of a place."""

    causal: str
    specific: str
    draws: int

    @property
    def place(self) -> str:
        """Both rungs in one word."""
        both = {self.causal, self.specific}
        return "passed" if both == {"passed"} else "failed" if "failed" in both else "undecided"


def climb(own: AbilityScores, others: Sequence[AbilityScores], distinct: int | None = None) -> Outcome:
    """The two rungs of a place, its draws stopped when they have decided."""
    rule = stopping_rule(ALPHA, draws=DRAWS, distinct=distinct)
    draws = MatchedDraws(decide(own.as_costly, rule), "of as many", DRAWS)
    rungs = causal.lesion(own, draws, alpha=ALPHA), specific.lesion(own, others, draws, alpha=ALPHA)
    return Outcome(rungs[0].state, rungs[1].state, draws.decision.draws)


def hold(study: Study, rng: np.random.Generator) -> Outcome:
    """Simulate a study and climb."""
    own, *others = (side.scores(rng) for side in (study.own, *study.others))
    return climb(own, others, study.distinct)
