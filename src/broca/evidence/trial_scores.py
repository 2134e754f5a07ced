"""What a trial scored, and what follows: the *causal* and the *specific* rung of every instrument are functions of its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import polars as pl

from broca.evidence import effects, guards
from broca.evidence.abilities import prompts
from broca.evidence.ability_scores import AbilityScores
from broca.evidence.conditions import Condition
from broca.evidence.effects import rows_of
from broca.evidence.matched_draws import MatchedDraws
from broca.evidence.rungs import causal as causal_rung
from broca.evidence.rungs import specific as specific_rung
from broca.evidence.second_wording import SecondWording, second_wording
from broca.evidence.trial import Conduct, LesionTrial
from broca.evidence.verdict import Rung
from broca.items import Item
from broca.stats.stopping import EVERY, decide
from broca.stimuli.blind_rules import baselines

Abilities = Mapping[str, Sequence[Item]]
"""The items of each ability, the own one first."""


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
