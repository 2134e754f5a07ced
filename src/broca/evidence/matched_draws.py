"""Random choices that match a selection: what they decide about it, and in words how they did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from broca.evidence.ability_scores import AbilityScores
from broca.evidence.effects import limits, points
from broca.page.numbers import limits as bounds
from broca.page.words import count
from broca.stats.nulls import quantile_band
from broca.stats.stopping import Decision


@dataclass(frozen=True, slots=True)
class MatchedDraws:
    """What random choices like the selection decide, and how they are like it."""

    decision: Decision
    matched: str
    """In words: "that match it in layer and size"."""
    wanted: int
    """Draws that there are, at most as many as were asked for."""
    short: bool = False
    """Whether there are fewer than were asked for."""

    @property
    def until(self) -> str:
        """Where they stopped before their end, in words."""
        stopped = self.decision.state in ("passed", "failed") and self.decision.draws < self.wanted
        return f"; decided before all {self.wanted} were drawn" if stopped else ""


@dataclass(frozen=True, slots=True)
class KeptAlone:
    """What a circuit answers where everything else is patched, beside random ones: shares of right answers."""

    intact: float
    circuit: float
    random: NDArray[np.float64]
    """In the order in which they were drawn."""


def of_draws(scores: AbilityScores, draws: MatchedDraws) -> str:
    """What random choices cost."""
    if not (n := draws.decision.draws):
        return ""
    band = quantile_band(-scores.draw_losses[:n])
    return (
        f" Of {count(n, 'distinct random choice')} {draws.matched}, {draws.decision.as_costly} cost as much (median "
        f"{points(band.value)}, 95 % of them within {limits(band.low, band.high)}{draws.until})."
    )


def of_kept(kept: KeptAlone, draws: MatchedDraws) -> str:
    """What a circuit and random ones answer alone."""
    text = f" Kept alone, with everything else patched, it answers {kept.circuit:.1%} (intact {kept.intact:.1%})."
    if not (n := draws.decision.draws):
        return text
    band = quantile_band(kept.random[:n])
    return text + (
        f" Of {count(n, 'distinct random choice')} {draws.matched} {draws.decision.as_costly} answer as much alone (median "
        f"{band.value:.1%}, 95 % of them within {bounds(band.low, band.high, '.1%')}{draws.until})."
    )
