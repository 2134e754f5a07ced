"""What a model can do: accuracies of abilities with intervals, beside chance and the best shortcut, and whether the gate would open."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from broca.evidence.guards import gate
from broca.items import Item
from broca.scoring import summarise
from broca.stimuli.blind_rules import baselines

BRIEF = {
    "ability": "ability",
    "n": "n",
    "accuracy": "accuracy",
    "low": "low",
    "high": "high",
    "chance": "chance",
    "scores": "shortcut",
    "gate": "gate",
}
"""What matters of `survey` where there are many abilities, in 80 columns, and what it is called there."""


def survey(items: Sequence[Item], rows: pl.DataFrame, *, alpha: float = 0.05) -> pl.DataFrame:
    """One row an ability: what `summarise` says, with `shortcut` (the best one) and what it `scores`, `chance` and `gate`.

    The gate is that of a causal test: ``open`` where the accuracy is above chance, by a one-sided binomial test.

    Args:
        items: of one ability or more.
        rows: of `broca.scoring.ROW_SCHEMA`: one an item, or several where texts were sampled.
        alpha: level of the gate's test.
    """
    every = baselines(items)
    guesses = every.filter(pl.col("baseline") == "chance").select("ability", chance="accuracy")
    best = every.sort("accuracy", descending=True, maintain_order=True).group_by("ability", maintain_order=True)
    table = summarise(rows)
    for more in (best.agg(shortcut=pl.col("baseline").first(), scores=pl.col("accuracy").first()), guesses):
        table = table.join(more, on="ability", how="left", maintain_order="left")
    return table.with_columns(gate=pl.Series(_gates(items, rows, table["ability"].to_list(), alpha), dtype=pl.String))


def _gates(items: Sequence[Item], rows: pl.DataFrame, abilities: Sequence[str], alpha: float) -> list[str]:
    found: list[str] = []
    for ability in abilities:
        own = [item for item in items if item.ability == ability]
        guard = gate(rows.filter(pl.col("ability") == ability), own, ability, alpha=alpha, stop=False)
        found.append("open" if guard.state == "passed" else "closed")
    return found
