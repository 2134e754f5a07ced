"""Every family of random masks that a weight mask has to beat, and what must hold of running text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from broca.evidence.effects import rows_of
from broca.evidence.verdict import Guard
from broca.page.numbers import number
from broca.stats.nulls import empirical_p, quantile_band


def families(
    items: pl.DataFrame, claims: Mapping[str, Mapping[str, Any]], main: Mapping[str, Any], own: str
) -> pl.DataFrame:
    """One row a family of random masks: how many, what they do to the own ability, and the mask's p among them.

    Args:
        items: rows of all conditions.
        claims: by the family's name, the labels that its draws share.
        main: the labels of the mask.
        own: the ability in question.
    """
    of = items.filter(pl.col("ability") == own)
    intact = float(rows_of(of, {"condition": "intact"})["correct"].mean())  # type: ignore[arg-type]
    effect = float(rows_of(of, dict(main))["correct"].mean()) - intact  # type: ignore[arg-type]
    rows = []
    for name, labels in claims.items():
        drawn = rows_of(of, dict(labels))
        means = drawn.group_by("seed", maintain_order=True).agg(pl.col("correct").mean(), pl.col("k").first())
        if means.is_empty():
            continue
        draws = means["correct"].to_numpy() - intact
        band = quantile_band(draws)
        p = float(empirical_p(effect, draws, "less"))
        size = float(means["k"].mean())  # type: ignore[arg-type]
        rows.append((name, len(draws), size, effect, band.value, band.low, band.high, p))
    columns = ["family", "draws", "mean_k", "effect", "median", "low", "high", "p"]
    types = [pl.String, pl.Int64, *[pl.Float64] * 6]
    return pl.DataFrame(rows, schema=dict(zip(columns, types, strict=True)), orient="row")


def predictability_guard(table: pl.DataFrame, vocabulary: int) -> Guard:
    """Marks texts that the intact model predicts worse than by chance: their perplexity then measures nothing.

    Args:
        table: perplexity by condition.
        vocabulary: tokens of the model.
    """
    intact = float(rows_of(table, {"condition": "intact"})["perplexity"][0])
    text = f"The intact model predicts running text with perplexity {number(intact, '.4g')}; chance is {vocabulary}"
    if intact < vocabulary:
        return Guard("general texts", "passed", f"{text}.")
    return Guard(
        "general texts",
        "marked",
        f"{text}. It does not know this kind of text: give texts that it does, with --general or --perplexity-source.",
    )


def fluent(table: pl.DataFrame, main: Mapping[str, Any], limit: float) -> Guard:
    """Marks a mask that makes the model a worse model of plain text: what it then loses is not one ability.

    Args:
        table: perplexity by condition.
        main: the labels of the mask.
        limit: the largest ratio to the intact model's perplexity.
    """
    intact = float(rows_of(table, {"condition": "intact"})["perplexity"][0])
    masked = float(rows_of(table, dict(main))["perplexity"][0])
    ratio = masked / intact
    text = f"Perplexity of plain text is {number(intact, '.4g')} intact and {number(masked, '.4g')} masked ({number(ratio, '.3f')} times)"
    if ratio <= limit:
        return Guard("perplexity", "passed", f"{text}; up to {limit:g} times counts as equal.")
    return Guard(
        "perplexity",
        "marked",
        f"{text}, beyond the {limit:g} times that count as equal: the mask costs more than the ability.",
    )
