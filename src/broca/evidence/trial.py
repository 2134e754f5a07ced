"""One selection on trial: scored intact, lesioned under each fill and at other sizes, and against matched draws.

Of units, heads, weights or edges alike. What came of it: `evidence.trial_scores`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal

from broca.evidence.conditions import C, Condition
from broca.evidence.draws import NO_DRAWS, Draws
from broca.specs.fields import FillName, Positions
from broca.stats.stopping import StoppingRule, stopping_rule

CITATIONS = (
    "Fisher (1935), The design of experiments.",
    "Phipson & Smyth (2010), Stat Appl Genet Mol Biol 9:39.",
    "Field & Welsh (2007), J R Stat Soc B 69:369-390.",
    "Zhang & Nanda (2024), Towards best practices of activation patching, ICLR.",
    "Syed, Rager & Conmy (2023), Attribution patching outperforms automated circuit discovery, arXiv 2310.10348.",
)


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a trial is held."""

    fills: tuple[FillName, ...] = ("zero", "mean", "resample")
    """What lesioned units are held at, or what masked weights become; the first is the claim."""
    positions: Positions = "all"
    gate: Literal["stop", "mark"] = "stop"
    alpha: float = 0.05
    claims: int = 1
    """How many claims share alpha."""
    smallest_effect: float | None = None
    """The smallest loss of accuracy that is of interest; by default a fifth of intact minus chance."""
    n_bootstrap: int = 2000
    seed: int = 0
    what: str = "lesion"
    """What is done, as the rungs call it."""

    @property
    def level(self) -> float:
        """Of each claim."""
        return self.alpha / self.claims


@dataclass(frozen=True, slots=True)
class LesionTrial(Generic[C]):
    """Every condition of a selection's trial, apart from the intact one."""

    lesions: tuple[Condition[C], ...]
    """The selection, once under each fill; the first is the claim."""
    draws: Draws[C] = NO_DRAWS
    """Random lesions that match it, in the order in which they are scored until they have decided."""
    sizes: tuple[Condition[C], ...] = ()
    """Smaller and larger selections of the same ranking: does the effect hang on the size?"""
    beside: tuple[Condition[C], ...] = ()
    """What goes into the tables and decides nothing: a dose-response curve, other sides, other localizers."""
    without: Condition[C] | None = None
    """The selection without its massive coordinates, where it has any: what carries the effect?"""
    wanted: int = 0
    """How many random lesions were asked for."""

    @property
    def claim(self) -> Condition[C]:
        """The lesion that the claim is about."""
        return self.lesions[0]

    @property
    def mask(self) -> C:
        """What is on trial."""
        return self.claim.mask

    @property
    def conditions(self) -> tuple[Condition[C], ...]:
        """Each condition once: a size may also be a point of the dose-response curve."""
        without = (self.without,) if self.without else ()
        every = (*self.lesions, *self.draws.conditions, *self.sizes, *self.beside, *without)
        return tuple({tuple(c.address.values()): c for c in every}.values())

    def warnings(self, alpha: float) -> tuple[str, ...]:
        """Says so where so few selections match that no p of alpha is possible."""
        n = len(self.draws.conditions)
        if n >= self.wanted or self.rule(alpha).limit:
            return ()
        text = (
            f"Only {n} distinct random selections {self.draws.matched} can be drawn (asked: {self.wanted}), so p cannot be below "
            f"{1 / (n + 1):.2g}. Select another number of them."
        )
        return (text,)

    def rule(self, alpha: float) -> StoppingRule:
        """When its draws have decided, at a level."""
        n = len(self.draws.conditions)
        return stopping_rule(alpha, draws=max(self.wanted, 1), distinct=n if n < self.wanted else None)
