"""One selection on trial: scored intact, lesioned under each fill and at other sizes, and against matched draws.

Of units, heads, weights or edges alike. The *causal* and the *specific* rung of every instrument are functions of its table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, Literal

import polars as pl

from broca.evidence import effects, guards
from broca.evidence.abilities import prompts
from broca.evidence.ability_scores import AbilityScores
from broca.evidence.conditions import C, Condition
from broca.evidence.draws import NO_DRAWS, Draws
from broca.evidence.effects import rows_of
from broca.evidence.rungs import causal as causal_rung
from broca.evidence.rungs import specific as specific_rung
from broca.evidence.rungs.causal import MatchedDraws
from broca.evidence.second_wording import SecondWording, second_wording
from broca.evidence.verdict import Rung
from broca.items import Item
from broca.specs.fields import FillName, Positions
from broca.stats.stopping import EVERY, StoppingRule, decide, stopping_rule
from broca.stimuli.blind_rules import baselines

CITATIONS = (
    "Fisher (1935), The design of experiments.",
    "Phipson & Smyth (2010), Stat Appl Genet Mol Biol 9:39.",
    "Field & Welsh (2007), J R Stat Soc B 69:369-390.",
    "Zhang & Nanda (2024), Towards best practices of activation patching, ICLR.",
    "Syed, Rager & Conmy (2023), Attribution patching outperforms automated circuit discovery, arXiv 2310.10348.",
)

Abilities = Mapping[str, Sequence[Item]]
"""The items of each ability, the own one first."""


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


@dataclass(frozen=True, eq=False)
class TrialScores:
    """What every condition of a trial scored, and what follows from it."""

    trial: LesionTrial[Any]
    abilities: Abilities
    items: pl.DataFrame
    """One row an item and condition, the intact model's first."""
    how: Conduct
    reworded: AbilityScores | None = None
    """Of the own ability, asked in other words under the same lesions; None where it has no second wording."""

    @property
    def boot(self) -> dict[str, int]:
        """`n` and `seed` of the bootstrap."""
        return {"n": self.how.n_bootstrap, "seed": self.how.seed}

    @property
    def own(self) -> str:
        """The ability that the claim is about."""
        return next(iter(self.abilities))

    @property
    def claim(self) -> dict[str, Any]:
        """The address of the claim's lesion."""
        return self.trial.claim.address

    @property
    def others(self) -> list[dict[str, Any]]:
        """The addresses of the lesions of other localizers."""
        every = [c for c in self.trial.beside if c.name == "lesion" and c.localizer != self.trial.claim.localizer]
        return [condition.address for condition in every]

    @cached_property
    def able(self) -> tuple[str, ...]:
        """The other abilities that the intact model has."""
        return tuple(name for name in self.abilities if name != self.own and self._has(name))

    @property
    def unable(self) -> tuple[str, ...]:
        """The other abilities that it has not, as far as these items tell."""
        return tuple(name for name in self.abilities if name != self.own and name not in self.able)

    def _has(self, ability: str) -> bool:
        rows = self.items.filter((pl.col("condition") == "intact") & (pl.col("ability") == ability))
        return guards.gate(rows, self.abilities[ability], ability, alpha=self.how.alpha, stop=False).state == "passed"

    @cached_property
    def prompts(self) -> pl.DataFrame:
        """One row an item: its texts."""
        return prompts(self.abilities)

    @cached_property
    def matrix(self) -> pl.DataFrame:
        """One row a localizer and ability: see `effects.matrix`."""
        return effects.matrix(self.items, [self.claim, *self.others], own=self.own, boot=self.boot)

    @cached_property
    def cell(self) -> dict[str, Any]:
        """What the claim's lesion does to the own ability."""
        return self.matrix.filter(pl.col("own")).row(0, named=True)

    def scores_of(self, ability: str) -> AbilityScores:
        """Right answers and margins of an ability under every condition, as arrays."""
        lesions, sizes = ([c.address for c in group] for group in (self.trial.lesions, self.trial.sizes))
        return AbilityScores.of(ability, self.abilities[ability], self.items, lesions=lesions, sizes=sizes)

    @cached_property
    def own_scores(self) -> AbilityScores:
        """Those of the own ability."""
        return self.scores_of(self.own)

    @property
    def decision(self) -> MatchedDraws:
        """What the matched draws decide so far."""
        decision = decide(self.own_scores.as_costly, self.trial.rule(self.how.level))
        n = len(self.trial.draws.conditions)
        return MatchedDraws(decision, self.trial.draws.matched, n, short=n < self.trial.wanted)

    def until_decided(self, score: Callable[[Sequence[Condition[Any]], int], pl.DataFrame]) -> TrialScores:
        """With the rows of random lesions, in their order, until they have decided.

        Args:
            score: some of them, and how many were scored before: one row an item and condition.
        """
        scores, draws = self, self.trial.draws.conditions
        for start in range(0, len(draws), EVERY):
            if scores.decision.decision.state in ("passed", "failed"):
                break
            scores = replace(scores, items=pl.concat([scores.items, score(draws[start : start + EVERY], start)]))
        return scores

    def causal(self) -> Rung:
        """Does taking it away cost the ability enough, and more than matched random choices do?"""
        how = self.how
        rung = causal_rung.lesion(
            self.own_scores,
            self.decision,
            alpha=how.alpha,
            claims=how.claims,
            smallest_effect=how.smallest_effect,
            seed=how.seed,
            what=how.what,
        )
        if self.trial.without is not None:
            right = rows_of(self.items.filter(pl.col("ability") == self.own), self.trial.without.address)["correct"]
            rest = self.own_scores.loss_of(right.cast(pl.Float64).to_numpy())
            rung = causal_rung.without_massive(rung, rest, self.trial.mask.count - self.trial.without.mask.count)
        return rung

    def with_rewordings(
        self, items: Sequence[Item], score: Callable[[Sequence[Condition[Any]]], pl.DataFrame]
    ) -> TrialScores:
        """With the scores of a second wording, intact and under the claim's fills.

        Args:
            items: the own ability's in other words; none changes nothing.
            score: these items under some conditions and intact: one row an item and condition.
        """
        if not items:
            return self
        lesions = [c.address for c in self.trial.lesions]
        table = score(self.trial.lesions)
        return replace(self, reworded=AbilityScores.of(self.own, items, table, lesions=lesions))

    @property
    def second_wording(self) -> SecondWording | None:
        """Whether what the lesion costs holds in other words; None where there are none."""
        how = self.how
        if self.reworded is None:
            return None
        return second_wording(
            self.own_scores,
            self.reworded,
            level=how.level,
            alpha=how.alpha,
            smallest_effect=how.smallest_effect,
            seed=how.seed,
        )

    def area(self) -> tuple[str, dict[str, float]]:
        """The whole dose-response curve, in words and numbers."""
        return effects.area(self.items, self.claim, own=self.own)

    def specific(self) -> Rung:
        """Does it cost this ability more than others?"""
        others = [self.scores_of(name) for name in self.able]
        how = self.how
        return specific_rung.lesion(
            self.own_scores,
            others,
            self.decision,
            alpha=how.alpha,
            claims=how.claims,
            smallest_effect=how.smallest_effect,
            seed=how.seed,
        )

    def dissociations(self) -> tuple[str, ...]:
        """Double dissociations between the claim's localizer and the others, in words."""
        lesions = [self.claim, *self.others]
        return specific_rung.dissociations(
            self.items, lesions, own=self.own, able=self.able, boot=self.boot, alpha=self.how.level
        )

    def in_words(self, what: str, verdict: str) -> str:
        """The result in one sentence."""
        return effects.claim(self.cell, what, self.own, verdict)

    @property
    def tables(self) -> dict[str, Any]:
        """What every result of a trial holds, by field."""
        cell = self.cell
        return {
            "items": self.items,
            "prompts": self.prompts,
            "doses": effects.doses(self.items),
            "matrix": self.matrix,
            "baselines": baselines([item for group in self.abilities.values() for item in group]),
            "flipped": effects.flipped_items(self.items, self.prompts, self.claim),
            "estimate": {name: cell[key] for name, key in (("value", "effect"), ("low", "low"), ("high", "high"))}
            | {"unit": "accuracy", "n": cell["n"]},
            "second_wording": self.second_wording,
        }
