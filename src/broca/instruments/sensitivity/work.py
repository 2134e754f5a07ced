"""A sensitivity study, step by step: samples, rankings, the fraction, the conditions, the rungs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from broca.cache.cache import Cache, Json, Progress, no_cache, silent
from broca.capture.ranking import rank_weights
from broca.errors import SelectionError
from broca.evidence import effects
from broca.evidence.overlap import OtherData
from broca.evidence.pilot import pilot_data
from broca.evidence.rungs import learned as learned_rung
from broca.evidence.rungs import reliable
from broca.evidence.rungs.learned import Kind, TwinTask, in_twins
from broca.evidence.verdict import Rung
from broca.instruments.sensitivity import held_out
from broca.instruments.sensitivity.conditions import INTACT, Masked, read, score_conditions
from broca.instruments.sensitivity.plan import Chooser, automatic, shared_out
from broca.instruments.sensitivity.ranking import Ranking, Scoring, ranking
from broca.instruments.sensitivity.samples import Samples, of_items, of_source, of_texts
from broca.instruments.sensitivity.spec import Sensitivity
from broca.instruments.sensitivity.sweep import swept
from broca.instruments.sensitivity.trial import Trial, mask_trial
from broca.items import Item
from broca.models.lm import LM
from broca.models.weight_matrices import Matrix, matrices
from broca.registry import COMPAT
from broca.scoring.windows import perplexity
from broca.units.weights import WeightSet


@dataclass
class Work:
    """What a study has at hand while it runs."""

    spec: Sensitivity
    lm: LM
    cache: Cache
    progress: Progress

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        return matrices(self.lm.model, self.lm.anatomy)

    @cached_property
    def own(self) -> str:
        return next(iter(self.spec.abilities))

    @cached_property
    def parts(self) -> tuple[list[Item], ...]:
        """The own items: to score by, to choose on, to test on; none to score by where scores come from elsewhere."""
        items, (score, choose, test) = self.spec.abilities[self.own], self.spec.shares
        elsewhere = self.spec.source is not None or self.spec.published is not None
        if self.spec.choose_on == "test":
            first, rest = ([], list(items)) if elsewhere else shared_out(items, (score, choose + test), self.spec.seed)
            return first, rest, rest
        if not elsewhere:
            return shared_out(items, (score, choose, test), self.spec.seed)
        return ([], *shared_out(items, (choose, test), self.spec.seed))

    @cached_property
    def other_data(self) -> tuple[OtherData, OtherData]:
        """The items that could test, and those of them that were not looked at before."""
        data = OtherData({**self.spec.abilities, self.own: tuple(self.parts[2])})
        return data, data.without(pilot_data(self.spec.pilot_items))

    @property
    def scored_items(self) -> dict[str, tuple[Item, ...]]:
        """The items of each ability that are scored under masks."""
        return self.other_data[-1].abilities

    @property
    def own_items(self) -> tuple[Item, ...]:
        """Those of the own ability."""
        return self.scored_items[self.own]

    @cached_property
    def rewordings(self) -> list[Item]:
        """The items that test, in other words."""
        tested = {item.id for item in self.own_items}
        return [item for item in self.spec.rewordings if item.id in tested]

    @property
    def draws(self) -> int:
        """Random masks of each family at the chosen fraction."""
        return self.spec.enough_draws(self.spec.draws)

    @cached_property
    def fractions(self) -> tuple[float, ...]:
        if self.spec.sweep == "auto":
            return automatic(self.matrices)
        return swept(self.spec.sweep, published=self.spec.arange)

    @cached_property
    def task(self) -> Samples:
        if self.spec.published is not None:
            return Samples(self.spec.published[0], (), self.spec.objective)
        if self.spec.source is not None:
            return of_source(self.spec, self.lm)
        return of_items(self.spec, self.lm, self.parts[0], self.spec.n_score, self.own)

    @cached_property
    def rankings(self) -> list[Ranking]:
        """By the task, by plain texts and by each further control."""
        spec = self.spec
        most = max((*(each * max((1.0, *spec.sizes)) for each in self.fractions), spec.control or 0.0))
        # A list that is filled up, or drawn from, has to go on below the largest mask.
        most = min(1.0, 4 * most)
        if spec.published is not None:
            chunks = [COMPAT["score-chunks"](folder, self.lm) for folder in spec.published]
            lists = [rank_weights(scores, scores.addresses, scope=spec.scope, most=most) for scores in chunks]
            return [Ranking(each, (), float("nan"), float("nan"), 0) for each in lists]
        sets = [
            self.task,
            of_texts(spec, self.lm, spec.texts[0]),
            *(of_items(spec, self.lm, items, spec.n_score, name) for name, items in spec.control_items.items()),
        ]
        how = Scoring(
            spec.score,
            spec.scope,
            most,
            spec.halves,
            spec.precision,
            spec.nonfinite,
            spec.mode,
            spec.layer_groups,
            spec.sums_on,
        )
        return [
            ranking(
                self.lm, s.asked, s.objective, self.matrices, how, what=s.name, cache=self.cache, progress=self.progress
            )
            for s in sets
        ]

    @cached_property
    def chooser(self) -> Chooser:
        """How a mask follows from the rankings."""
        spec, found = self.spec, self.rankings
        about = {
            "model": self.lm.fingerprint,
            "name": self.lm.name,
            "task": self.task.name,
            "score": spec.score,
            "scope": spec.scope,
        }
        return Chooser(found[0], tuple(found[1:]), spec.control, spec.ties, spec.top_up, about)

    def choice(self) -> tuple[float, pl.DataFrame]:
        """The fraction that costs the choosing items most at equal perplexity, and the sweep as a table.

        Raises:
            SelectionError: if no fraction leaves a weight to mask.
        """
        spec, edit = self.spec, self.spec.edits[0]
        sizes = [self.chooser.sizes(each) for each in self.fractions]
        masked = {each: c for each in self.fractions if (c := self.chooser.condition(each, edit, self.own)) is not None}
        if not masked:
            raise SelectionError(
                f"No fraction of the sweep ({', '.join(f'{each:g}' for each in self.fractions)}) leaves a weight to mask: matrices are "
                "too small for them, or the controls rank the same weights first. Sweep larger fractions, or set control."
            )
        conditions = [INTACT, *masked.values()]
        scored = score_conditions(
            self.lm,
            self.parts[1],
            conditions,
            scorer=spec.scorer,
            cache=self.cache,
            progress=self.step_progress("choosing"),
        )
        fluency = self.perplexities(conditions)[0]
        rows = []
        for size in sizes:
            condition = masked.get(size["mask_fraction"], INTACT)
            own = effects.rows_of(scored, condition.address)
            of = effects.rows_of(fluency, condition.address)["perplexity"][0]
            rows.append(
                size | {"dev_accuracy": own["correct"].mean(), "dev_score": own["score"].mean(), "perplexity": of}
            )
        base = effects.rows_of(fluency, INTACT.address)["perplexity"][0]
        table = pl.DataFrame(rows).with_columns((pl.col("perplexity") / base).alias("perplexity_ratio"))
        able = table.filter(pl.col("realised") > 0)
        fluent = able.filter(pl.col("perplexity_ratio") <= spec.perplexity_limit)
        best = (
            fluent.sort("dev_accuracy", "dev_score", "mask_fraction")
            if fluent.height
            else able.sort("perplexity_ratio", "mask_fraction")
        ).row(0, named=True)
        return float(best["mask_fraction"]), table

    def trial(self, mask_fraction: float) -> Trial:
        """The mask of a fraction, and everything that it is compared with."""
        return mask_trial(
            self.spec, self.lm, self.chooser, mask_fraction, fractions=self.fractions, draws=self.draws, own=self.own
        )

    def perplexities(self, conditions: Sequence[Masked]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """One row a condition, and one a window of text."""
        rows = read(
            self.lm,
            self.spec.texts[1],
            conditions,
            windows=self.spec.reading,
            cache=self.cache,
            progress=self.step_progress("predicting texts"),
        )
        labels = [*INTACT.labels]
        table = pl.DataFrame(
            [
                condition.labels
                | {"perplexity": perplexity(effects.rows_of(rows, condition.address), self.spec.recipe)}
                for condition in conditions
            ]
        )
        return table.select(*labels, "perplexity"), rows

    def selective(self, mask: WeightSet) -> Rung:
        """The rung 'selective', on items and texts that chose nothing."""
        return held_out.selective(
            self.spec, self.lm, mask, self.own_items, self.matrices, cache=self.cache, progress=self.progress
        )

    def reliable(self, mask_fraction: float) -> Rung:
        """The rung 'reliable'."""
        halves = [self.chooser.weights(mask_fraction, half) for half in (0, 1)] if self.chooser.task.halves else []
        return reliable.weight_mask(halves, self.chooser.task.r, self.chooser.task.r_all)

    def learned_rung(self, mask_fraction: float) -> Rung:
        """The rung 'learned': is the effect on held-out items larger than in untrained twins, scored and masked alike?"""
        told = self.step_progress("scoring untrained twins")
        task, spec = WeightTwin(self.spec, mask_fraction), self.spec
        own, most = self.figures(mask_fraction), spec.enough_twins(spec.twins)
        table = in_twins(
            task, self.lm, n=most, seed=spec.seed, own=own["d_held_out"], alpha=spec.level, cache=self.cache,
            progress=told,
        )  # fmt: skip
        return learned_rung.unit_map(own, table, most=most, alpha=spec.level)

    def figures(self, mask_fraction: float) -> dict[str, Any]:
        """What is compared with twins: of the mask that this model's own rankings give."""
        mask = self.chooser.weights(mask_fraction)
        if not mask.count:
            return {"d_held_out": 0.0, "share_significant": 0.0, "r": 0.0}
        numbers = self.selective(mask).numbers
        return {name: numbers.get(name) for name in ("d_held_out", "share_significant")} | {"r": self.chooser.task.r}

    def step_progress(self, what: str) -> Any:
        """Progress of one step."""
        return lambda done, total: self.progress(what, done, total)


@dataclass(frozen=True)
class WeightTwin(TwinTask):
    """Scoring weights in a twin, and masking the same fraction."""

    mask_fraction: float

    def key(self, lm: LM, part: tuple[Kind, int], /) -> dict[str, Json]:
        return {**super().key(lm, part), "mask_fraction": self.mask_fraction}

    def figures(self, twin: LM) -> dict[str, Any]:
        return Work(self.spec, twin, no_cache, silent).figures(self.mask_fraction)
