"""The table that every scorer returns, and how it is summed up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import polars as pl

from broca.errors import StatisticsError
from broca.items import Item
from broca.stats.share import share_interval

if TYPE_CHECKING:
    from broca.models.lm import LM

ROW_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "ability": pl.String(),
        "group": pl.String(),
        "answer": pl.Int64(),
        "predicted": pl.Int64(),
        "correct": pl.Boolean(),
        "invalid": pl.Boolean(),
        "score": pl.Float64(),
        "logprobs": pl.List(pl.Float64()),
        "text": pl.String(),
    }
)
"""Columns of a scorer's table, one row an item.

`predicted` is -1 and `invalid` true where no choice can be read from what the model did; `score` is the log-probability
of the answer minus that of the best other choice, null where there is none; `group` is the item's cluster; `logprobs` has one entry a choice, and none
where nothing but text was seen; `text` is what was generated, or the choice that was preferred.
"""

INVALID = -1
"""`predicted` where no choice can be read."""


class Scorer(Protocol):
    """Anything that turns items into rows of `ROW_SCHEMA`, in the order given, under whatever is in force."""

    def __call__(self, lm: LM, items: Sequence[Item]) -> pl.DataFrame: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one item."""

    predicted: int
    text: str
    logprobs: tuple[float, ...] = ()


def likeliest_choice(item: Item, logprobs: Sequence[float]) -> Outcome:
    """The choice with the highest log-probability, the first of those that tie; invalid where one is no number."""
    values = tuple(logprobs)
    if any(map(math.isnan, values)):
        return Outcome(INVALID, "", values)
    best = values.index(max(values))
    return Outcome(best, item.choices[best], values)


def rows(items: Sequence[Item], outcomes: Sequence[Outcome]) -> pl.DataFrame:
    """The table of `ROW_SCHEMA`."""
    pairs = list(zip(items, outcomes, strict=True))
    return pl.DataFrame(
        {
            "id": [item.id for item in items],
            "ability": [item.ability for item in items],
            "group": [item.cluster for item in items],
            "answer": [item.answer for item in items],
            "predicted": [outcome.predicted for outcome in outcomes],
            "correct": [outcome.predicted == item.answer for item, outcome in pairs],
            "invalid": [outcome.predicted == INVALID for outcome in outcomes],
            "score": [_score(item.answer, outcome.logprobs) for item, outcome in pairs],
            "logprobs": [list(outcome.logprobs) for outcome in outcomes],
            "text": [outcome.text for outcome in outcomes],
        },
        schema=ROW_SCHEMA,
    )


def summarise(rows: pl.DataFrame) -> pl.DataFrame:
    """One row an ability, in the order of their first items.

    Columns are `ability`, `n`, `accuracy` with its 95 % limits `low` and `high` (groups together; null where all items are of one
    group), `invalid` (count), `score` (mean). An invalid item counts as wrong. Items without a score are left out of its mean,
    which is null where none has one.
    """
    table = rows.group_by("ability", maintain_order=True).agg(
        n=pl.len().cast(pl.Int64()),
        accuracy=pl.col("correct").mean(),
        invalid=pl.col("invalid").sum().cast(pl.Int64()),
        score=pl.col("score").mean(),
    )
    limits = [_limits(part) for part in rows.partition_by("ability", maintain_order=True)]
    low, high = (pl.Series([pair[i] for pair in limits], dtype=pl.Float64) for i in (0, 1))
    return table.select("ability", "n", "accuracy", low.alias("low"), high.alias("high"), "invalid", "score")


def _limits(rows: pl.DataFrame) -> tuple[float | None, float | None]:
    # An item without a group is its own, and so are all texts that were sampled of it.
    own = rows.select(pl.when(pl.col("group") == "").then("item " + pl.col("id")).otherwise("group " + pl.col("group")))
    try:
        found = share_interval(rows["correct"].to_numpy(), own.to_series().to_numpy())
    except StatisticsError:
        return None, None
    return found.low, found.high


def _score(answer: int, logprobs: Sequence[float]) -> float | None:
    others = [*logprobs[:answer], *logprobs[answer + 1 :]]
    if not others or any(map(math.isnan, logprobs)):
        return None
    score = logprobs[answer] - max(others)
    # Both may be minus infinity.
    return None if math.isnan(score) else score
