"""The trial of a direction: steered against the right answer at the fluent dose, beside random directions; and the curve over doses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from broca.errors import StatisticsError
from broca.evidence import effects, guards
from broca.evidence.conditions import INTACT, Condition, LesionScorer
from broca.evidence.draws import Draws
from broca.evidence.guards import probe
from broca.evidence.holding import Examination
from broca.evidence.steering import Against, SteerBy, against_signs, both_signs, log_odds
from broca.evidence.trial import LesionTrial
from broca.evidence.trial_scores import TrialScores
from broca.evidence.verdict import Guard
from broca.interventions.steer import Steer
from broca.items import Item
from broca.scoring import chat_of
from broca.stats.axis_draws import random_vectors, shuffled_vectors
from broca.stats.dose_trend import Trend, dose_trend
from broca.stats.exchange import Sides
from broca.stats.pairs import mean_interval
from broca.units.direction import Direction

if TYPE_CHECKING:
    from broca.instruments.direction.choosing import Chosen
    from broca.instruments.direction.spec import DirectionTest
    from broca.instruments.direction.work import Work

Steered = Condition[Direction]
NORM, SHUFFLED, CURVE = "same norm", "shuffled sides", "curve"
"""Families of random directions that stand beside the draws, which match in norm and variance."""
CURVES = {"dose": pl.Float64, "series": pl.String, "seed": pl.Int64, "log_odds": pl.Float64, "low": pl.Float64, "high": pl.Float64,
          "accuracy": pl.Float64, "perplexity_ratio": pl.Float64}  # fmt: skip


def trial(work: Work, chosen: Chosen) -> LesionTrial[Direction]:
    """The claim at 100 % of the dose, and random directions: that other doses do the same in part, the trend over doses says.

    Args:
        work: the study.
        chosen: what is steered.
    """
    spec, seen = work.spec, work.seen
    label = work.name
    claim = Condition("lesion", chosen.direction, localizer=label, dose=100.0, fill="add")
    vector, rest = chosen.axis.vector, work.rest[chosen.site]

    def conditions(vectors: np.ndarray, family: str) -> tuple[Steered, ...]:
        made = [chosen.beside(v, family) for v in vectors]
        return tuple(
            Condition("random", each, localizer=family, dose=100.0, fill="add", seed=spec.seed + i)
            for i, each in enumerate(made)
        )

    n = spec.enough_draws(spec.draws)
    matched = conditions(random_vectors(vector, rest, n, family="variance", seed=spec.seed), label) if n else ()
    beside: tuple[Steered, ...] = ()
    if most := spec.enough_draws(spec.beside):
        beside = conditions(random_vectors(vector, rest, most, family="norm", seed=spec.seed), NORM)
        if seen is not None:
            a, b = seen.rows(chosen.site)
            sides = Sides.of(len(a), len(b), groups=seen.groups)
            beside += conditions(
                shuffled_vectors(vector, a, b, sides, most, method=spec.method, seed=spec.seed), SHUFFLED
            )
    return LesionTrial((claim,), Draws(matched, "of the same norm and share of variance"), beside=beside, wanted=n)


def check_steering(bench: LesionScorer, chosen: Chosen) -> tuple[Guard, ...]:
    """Dose 0 changes no bit and nothing stays behind; the dose changes something."""
    checks = probe(bench.lm, bench.items, chat_of(bench.scorer))
    steer = Steer(chosen.direction, chosen.used)
    return guards.no_steering(bench.lm, steer, checks), guards.effect(bench.lm, steer, checks)


def hold(
    bench: LesionScorer, start: TrialScores, chosen: Chosen, examined: Examination, rewordings: Sequence[Item]
) -> TrialScores:
    """Score every condition at the dose and at its negative, and random directions until they have decided.

    Args:
        bench: the model with the items that test.
        start: the trial, nothing of it scored yet.
        chosen: what is steered.
        examined: the intact model.
        rewordings: items of the own ability in other words.
    """
    planned, abilities, dose = start.trial, start.abilities, chosen.used
    own = abilities[next(iter(abilities))]
    against = Against(abilities, against_signs(own, chosen.toward, chosen.orientation))
    waiting = {tuple(each.address.values()) for each in planned.draws.conditions}
    first = [each for each in planned.conditions if tuple(each.address.values()) not in waiting]
    most = len(planned.conditions)

    def score(conditions: Sequence[Steered], before: int) -> pl.DataFrame:
        def tell(done: int, total: int) -> None:
            bench.progress("steering", before + round(len(conditions) * done / max(total, 1)), most)

        return _against(bench, against, conditions, SteerBy(dose), tell)

    scores = replace(start, items=pl.concat([examined.intact, score(first, 0)]))
    scores = scores.until_decided(lambda draws, before: score(draws, len(first) + before))
    bench.progress("steering", most, most)

    def reword(lesions: Sequence[Steered]) -> pl.DataFrame:
        other = replace(bench, items=rewordings)
        signs = against_signs(rewordings, chosen.toward, chosen.orientation)
        reworded = Against({next(iter(abilities)): rewordings}, signs)
        (intact,) = other.tables([INTACT])
        return pl.concat([intact, _against(other, reworded, lesions, SteerBy(dose), None)])

    return scores.with_rewordings(rewordings, reword)


def _against(
    bench: LesionScorer,
    against: Against,
    conditions: Sequence[Steered],
    force: SteerBy,
    tell: Callable[[int, int], None] | None,
) -> pl.DataFrame:
    tables = bench.tables(both_signs(conditions), force, tell)
    return pl.concat([against.rows(each, tables[2 * i], tables[2 * i + 1]) for i, each in enumerate(conditions)])


# -- the curve -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The log-odds of what is moved towards, over doses."""

    table: pl.DataFrame
    trend: Trend | None
    """Over the doses within which text stays fluent; None where there are too few groups."""


def curve(work: Work, bench: LesionScorer, chosen: Chosen) -> Curve:
    """Score the items of the own ability at every dose of the direction, and of some random ones.

    Args:
        work: the study.
        bench: the model with these items.
        chosen: what is steered.
    """
    spec, dose = work.spec, chosen.used
    fluent = [share * dose for share in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    doses = sorted({*spec.doses, *fluent})
    ratios = dict(zip(doses, work.fluency.ratios(bench.lm, chosen.direction, doses, bench.cache), strict=True))
    vectors = random_vectors(
        chosen.axis.vector, work.rest[chosen.site], spec.dose_draws, family="variance", seed=spec.seed + 10_000
    )
    drawn = [chosen.beside(v, CURVE) for v in vectors]
    series = [("direction", -1, chosen.direction, doses), *(("random", i, d, spec.doses) for i, d in enumerate(drawn))]
    steered = [
        (
            at,
            Condition(
                "lesion" if name == "direction" else "random",
                direction,
                localizer=CURVE,
                dose=100 * at,
                fill="add",
                seed=seed,
            ),
        )
        for name, seed, direction, own in series
        for at in own
    ]
    conditions = [condition for _, condition in steered]
    tables = bench.tables(conditions, SteerBy(1.0), lambda done, total: work.progress("steering by doses", done, total))
    rows, along = [], {}
    for (at, condition), table in zip(steered, tables, strict=True):
        odds = log_odds(table, bench.items, chosen.toward)
        found = _interval(odds, table, spec)
        named = "direction" if condition.name == "lesion" else "random"
        rows.append(
            {"dose": at, "series": named, "seed": condition.seed, "log_odds": found[1], "low": found[0], "high": found[2],
             "accuracy": float(table["correct"].mean()), "perplexity_ratio": ratios[at] if named == "direction" else None}  # type: ignore[arg-type]
        )  # fmt: skip
        if named == "direction":
            along[at] = odds
    values = chosen.orientation * np.stack([along[each] for each in fluent], axis=1)
    try:
        trend = dose_trend(fluent, values, groups=effects.clusters(tables[0]), alpha=spec.level, seed=spec.seed)
    except StatisticsError:
        trend = None
    return Curve(pl.DataFrame(rows, schema=CURVES), trend)


def _interval(odds: np.ndarray, table: pl.DataFrame, spec: DirectionTest) -> tuple[float, float, float]:
    try:
        found = mean_interval(odds, groups=effects.clusters(table), n=min(spec.n_bootstrap, 500), seed=spec.seed)
    except StatisticsError:
        return float("nan"), float(odds.mean()), float("nan")
    return found.low, found.value, found.high


def samples(work: Work, chosen: Chosen) -> pl.DataFrame:
    """One row a prompt and dose: how it goes on, greedily, at no dose, at the fluent one and at the largest, of either sign."""
    spec, lm, dose = work.spec, work.lm, chosen.used
    schema = {"dose": pl.Float64, "prompt": pl.String, "text": pl.String}
    prompts = list(spec.prompts) or _openings(spec, lm)
    doses = sorted({0.0, dose, -dose, spec.most, -spec.most})
    if not spec.max_new_tokens or lm.tokenizer is None:
        return pl.DataFrame(schema=schema)

    def compute(at: float) -> pl.DataFrame:
        with lm.under(*([Steer(chosen.direction, at)] if at else [])):
            said = lm.generate(prompts, max_new_tokens=spec.max_new_tokens, chat=spec.chat)
        return pl.DataFrame({"dose": [at] * len(prompts), "prompt": prompts, "text": said}, schema=schema)

    parts = []
    for turn, at in enumerate(doses):
        work.progress("writing text", turn, len(doses))
        key = {"cell": "samples", "prompts": prompts, "dose": at, "direction": chosen.direction.fingerprint,
               "tokens": spec.max_new_tokens, "chat": str(spec.chat), "condition": list(lm.condition)}  # fmt: skip
        parts.append(work.cache(key, lambda at=at: compute(at)))
    work.progress("writing text", len(doses), len(doses))
    return pl.concat(parts)


OPENINGS = ("I think that", "The best thing about it is", "Yesterday we went to the", "Let me tell you what happened:")


def _openings(spec: DirectionTest, lm: Any) -> list[str]:
    unknown = getattr(lm.tokenizer, "unk_token_id", None)
    known = unknown is None or not any(unknown in tokens.ids for tokens in lm.tokenize(list(OPENINGS)))
    if known:
        return list(OPENINGS)
    prompts = [item.prompt for item in next(iter(spec.abilities.values())) if isinstance(item.prompt, str)]
    return prompts[: len(OPENINGS)]
