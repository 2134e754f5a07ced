"""Families of random changes that stand beside the matched draws: the claim has to hold against each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from broca.evidence.conditions import EQUAL
from broca.evidence.effects import rows_of
from broca.evidence.trial import LesionTrial
from broca.evidence.trial_scores import TrialScores
from broca.stats.nulls import empirical_p, quantile_band
from broca.stats.stopping import fewest_draws
from broca.units import UnitMask

SCHEMA = {
    "family": pl.String,
    "draws": pl.Int64,
    "median": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
}


def families(scores: TrialScores, names: Sequence[str]) -> pl.DataFrame:
    """One row a family that was drawn: what its changes cost the own ability, and the claim's rank among them.

    Args:
        scores: of the trial.
        names: the families, as the conditions' localizers have them.
    """
    own = scores.items.filter(pl.col("ability") == scores.own)
    intact = float(rows_of(own, {"condition": "intact"})["correct"].mean())  # type: ignore[arg-type]
    value, rows = scores.cell["effect"], []
    for family in names:
        drawn = own.filter((pl.col("condition") == "random") & (pl.col("localizer") == family))
        costs = drawn.group_by("seed", maintain_order=True).agg(pl.col("correct").mean())["correct"].to_numpy() - intact
        if len(costs):
            band = quantile_band(costs)
            p = float(empirical_p(value, costs, "less"))
            rows.append((family, len(costs), band.value, band.low, band.high, p))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def with_equal_changes(trial: LesionTrial[Any], level: float, seed: int) -> LesionTrial[Any]:
    """The trial of a lesion of features with random directions beside it, along which each token is moved as far.

    Args:
        trial: of anything; where no features are lesioned, or nothing is drawn, it stays as it is.
        level: of the claim.
        seed: of the first direction.
    """
    mask = trial.mask
    if not trial.wanted or not isinstance(mask, UnitMask) or {site.kind for site in mask.at} != {"feature"}:
        return trial
    moved = [replace(trial.claim, name="random", localizer=EQUAL, seed=seed + i) for i in range(fewest_draws(level))]
    return replace(trial, beside=(*trial.beside, *moved))
