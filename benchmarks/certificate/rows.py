"""A row of the table: how often something was claimed, its exact interval, and the bound that it is held to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from scipy.stats import binomtest

STATES = ("passed", "failed", "undecided", "not tested")


@dataclass(frozen=True, slots=True)
class Row:
    """One share, counted."""

    part: str
    what: str
    claim: str
    """What is counted."""
    n: int
    claimed: int
    bound: float | None = None
    side: Literal["at most", "at least"] = "at most"
    strict: bool = False
    """Whether the whole interval must keep the bound; else a bound is broken where the whole interval lies beyond it."""
    before: str = ""
    states: dict[str, int] = field(default_factory=dict)
    draws: float | None = None
    """Matched draws in the mean, where they were counted."""

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper & Pearson (1934), 95 %."""
        found = binomtest(self.claimed, self.n).proportion_ci(method="exact")
        return float(found.low), float(found.high)

    @property
    def met(self) -> bool | None:
        """Whether the bound holds; None without one."""
        if self.bound is None:
            return None
        low, high = self.interval
        if self.side == "at most":
            return (high if self.strict else low) <= self.bound
        return (low if self.strict else high) >= self.bound

    @property
    def misses(self) -> bool:
        """Whether the share itself lies beyond the bound, whatever its interval."""
        if self.bound is None:
            return False
        share = self.claimed / self.n
        return share > self.bound if self.side == "at most" else share < self.bound


def counted(states: Iterable[str]) -> dict[str, int]:
    """How often each state came."""
    found = Counter(states)
    return {state: found[state] for state in (*STATES, *sorted(set(found) - set(STATES))) if found[state]}


def share(part: str, what: str, states: Sequence[str], *, of: str = "passed", **more: Any) -> Row:
    """How often a state came."""
    claim = more.pop("claim", of)
    return Row(part, what, claim, len(states), sum(each == of for each in states), states=counted(states), **more)
