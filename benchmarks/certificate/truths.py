"""Places that carry an ability alone, at the size that a plan recommends, at half of it and at twice; and nothing, at the same sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from broca.stats.ladder_needs import LadderNeeds, ladder_needs
from broca.stats.ladder_power import Study as Plan
from broca.stats.ladder_power import _shift
from certificate.studies import Design, Side, Study, even, falls

PLANS = (Plan(loss=0.35, intact=0.95, others=1), Plan(loss=0.25, intact=0.95, others=3))
SIZES = {"half": 0.5, "as recommended": 1.0, "twice": 2.0}
REFUTING = "as recommended to refute it"
"""The size at which a lesion that costs everything alike is told not to be specific."""


@dataclass(frozen=True, slots=True)
class Size:
    """Studies of one plan at one size."""

    plan: Plan
    size: str
    needs: LadderNeeds

    @property
    def groups(self) -> int:
        """Of each ability."""
        if self.size == REFUTING:
            assert self.needs.refutation is not None
            return self.needs.refutation.groups
        return max(1, round(self.needs.study.groups * SIZES[self.size]))

    @property
    def told(self) -> str:
        """In words."""
        plan = self.plan
        others = f"{plan.others} other{'s' * (plan.others > 1)}"
        return f"{100 * plan.loss:.0f} points, {others}, {self.size} ({self.groups} groups of {plan.items})"

    def designs(self) -> tuple[Design, list[Design]]:
        """The own ability's items, and the others'."""
        plan = self.plan
        own = Design("own", self.groups, plan.items, plan.intact, plan.alike)
        return own, [replace(own, name=f"other{i}") for i in range(plan.others)]

    @property
    def kinds(self) -> dict[str, Callable[[np.random.Generator], Study]]:
        """Studies of a true place, of one that costs nothing, and of one that costs everything alike."""
        own, others = self.designs()
        fall = falls(_shift(self.plan))
        spared, hit = (tuple(Side(each, by) for each in others) for by in (even(0), fall))
        alike = {"everything lost alike": lambda _: Study(Side(own, fall), hit)}
        if self.size == REFUTING:
            return alike
        return {
            "truth": lambda _: Study(Side(own, fall), spared),
            "nothing lost": lambda _: Study(Side(own, even(0)), spared),
            **alike,
        }


def sizes(names: Sequence[str] = tuple(SIZES)) -> list[Size]:
    """Every plan at some sizes."""
    return [Size(plan, size, needs) for plan in PLANS for needs in (ladder_needs(plan),) for size in names]
