"""What a study needs so that a lesion passes *causal and specific*, or fails where it costs everything, with a probability of 80 %."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from scipy import special

from broca.errors import StatisticsError
from broca.stats.ladder_power import LadderPower, Study, ladder_power
from broca.stats.loss import SMALLEST_SHARE, least_groups
from broca.stats.specificity import FEWEST_GROUPS
from broca.stats.stopping import fewest_draws

MOST_GROUPS = 1 << 12
"""Where a search gives up."""


@dataclass(frozen=True, slots=True)
class LadderNeeds:
    """What a study needs to pass with the power asked for."""

    study: Study
    """The planned one, with as many groups as it needs to pass where the lesion costs the own ability alone."""
    refutation: Study | None
    """The same with as many as it needs to fail where the lesion costs every ability as much; None where there are no others."""
    power: LadderPower
    draws: int
    """At most."""
    twins: int
    """Untrained ones, for *learned*."""

    @property
    def items(self) -> int:
        """Of each ability."""
        return self.study.groups * self.study.items


def ladder_needs(study: Study, *, power: float = 0.8, simulations: int = 400, seed: int = 0) -> LadderNeeds:
    """The fewest groups with which the lesion surely passes *causal and specific* with a probability of `power`, and one of everything fails.

    Surely: the simulated share is that of `simulations` studies, and lies above `power` by as much as it errs (one-sided, 95 %).
    Failing takes more groups: an interval has to lie below a fifth, and not only above nothing.

    Args:
        study: what is planned; its number of groups does not matter.
        power: the probability wanted, of both.
        simulations: studies that are simulated for each number of groups.
        seed: of the simulations.

    Raises:
        StatisticsError: if power is no probability, or no feasible number is enough.
    """
    if not 0 < power < 1:
        raise StatisticsError(f"power is {power}. Give a probability between 0 and 1, for instance 0.8.")
    at = lru_cache(maxsize=None)(
        lambda groups: ladder_power(replace(study, groups=groups), simulations=simulations, seed=seed)
    )
    least = max(least_groups(study.alpha / study.claims), FEWEST_GROUPS)
    surely = _surely(power, simulations)
    groups = _fewest(lambda n: at(n).both >= surely, least)
    if groups is None:
        most = MOST_GROUPS // 2
        raise StatisticsError(
            f"{at(most).both:.0%} of studies with {most} groups pass causal and specific: a loss of {study.loss:.0%} is too close "
            f"to the smallest one of interest ({SMALLEST_SHARE * (study.intact - study.chance):.1%}). Plan for a larger loss."
        )
    against = _fewest(lambda n: at(n).refutation >= surely, groups) if study.others else None
    return LadderNeeds(
        replace(study, groups=groups),
        None if against is None else replace(study, groups=against),
        at(groups),
        study.rule.n,
        fewest_draws(study.alpha / study.claims),
    )


def _surely(power: float, simulations: int) -> float:
    """The simulated share from which on the probability is `power` or more; halfway to 1 at most."""
    return min(power + special.ndtri(0.95) * (power * (1 - power) / simulations) ** 0.5, (1 + power) / 2)


def _fewest(enough: Callable[[int], bool], least: int) -> int | None:
    """The fewest groups that are enough, `least` or more, within a thirty-second of them; None where `MOST_GROUPS` are not."""
    low, high = least - 1, least
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_GROUPS:
            return None
    while high - low > max(1, high // 32):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
