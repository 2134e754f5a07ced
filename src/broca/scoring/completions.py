"""What models wrote, about to be scored by another model; and how such scores are kept and summed up.

The question that a completion is scored against is the clean one, whatever was shown: else the typo itself would be scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from broca.errors import StatisticsError, StimulusError
from broca.items import Text, cluster, fingerprint
from broca.scoring.answer_store import AnswerStore
from broca.stats.corrections import holm
from broca.stats.pairs import mean_interval, sign_flip_test

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_SPREAD = {
    "n": pl.Int64,
    "missing": pl.Int64,
    "mean": pl.Float64,
    "sd": pl.Float64,
    "min": pl.Float64,
    "max": pl.Float64,
    **{f"q{100 * q:02.0f}": pl.Float64 for q in QUANTILES},
}
SUMMARY_SCHEMA = pl.Schema({"kind": pl.String, **_SPREAD})
"""One row a kind: completions that have a score, and those that have none; the rest is null where none has. `sd` has n - 1 below."""

DIFFERENCE_SCHEMA = pl.Schema(
    {
        "kind": pl.String,
        **_SPREAD,
        "low": pl.Float64,
        "high": pl.Float64,
        "better": pl.Float64,
        "worse": pl.Float64,
        "p": pl.Float64,
        "p_holm": pl.Float64,
    }
)
"""One row a kind, of each row's score minus that of its clean completion.

`low` and `high`: 95 % interval of the mean over resampled groups; `better`, `worse`: shares of differences above and below 0; `p`:
two-sided, of a mean of 0 by the signs of groups, and `p_holm` over kinds. Null where there are fewer than two groups.
"""


@dataclass(frozen=True, slots=True)
class Completion:
    """What was written after one prompt."""

    id: str
    """Of the item: the same for all kinds."""
    kind: str
    """Of perturbation, of the prompt that was shown; ``clean`` for none."""
    question: Text
    """The clean prompt."""
    text: str
    """The completion alone."""
    group: str = ""
    """The wording that several items share."""


def hashes(completions: Sequence[Completion]) -> dict[str, list[str]]:
    """Columns that say what was scored: row_id, kind, group, prompt_hash, completion_hash.

    Raises:
        StimulusError: if there are none, or a row and kind comes twice.
    """
    if not completions:
        raise StimulusError(
            "There are no completions to score: that is no score of 0. Check where they were to come from."
        )
    places = {(one.id, one.kind) for one in completions}
    if len(places) < len(completions):
        raise StimulusError(
            f"{len(completions)} completions have {len(places)} ids and kinds. Give one of each id and kind."
        )
    return {
        "row_id": [one.id for one in completions],
        "kind": [one.kind for one in completions],
        "group": [cluster(one.group, one.id) for one in completions],
        "prompt_hash": [fingerprint(one.question) for one in completions],
        "completion_hash": [fingerprint(one.text) for one in completions],
    }


@dataclass(frozen=True, slots=True)
class _Request:
    args: tuple[Any, ...]


def cached_answers(
    about: Sequence[object],
    asked: Sequence[tuple[Any, ...]],
    answer: Callable[[list[tuple[Any, ...]]], Sequence[Any]],
    *,
    cache: str | Path | None = None,
) -> list[Any]:
    """The answer to each of `asked`, each different one asked once, and not at all where `cache` has it.

    Args:
        about: what answers depend on beside what is asked: model, method.
        asked: what JSON can say.
        answer: called with those that are not on record; answers are what JSON can say.
        cache: a file, made where there is none.

    Raises:
        RunError: if the file is no such record, or cannot be written.
    """
    different = list(dict.fromkeys(asked))
    if not different:
        return []
    if cache is None:
        found = answer(different)
    else:
        requests = [_Request(one) for one in different]
        found = AnswerStore(cache)(about, requests, lambda some: answer([request.args for request in some]))
    known = dict(zip(different, found, strict=True))
    return [known[one] for one in asked]


def score_summary(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """The table of `SUMMARY_SCHEMA` for a column of scores, kinds in the order in which they come.

    Raises:
        StimulusError: if there are no rows.
    """
    if rows.is_empty():
        raise StimulusError("There is nothing to sum up: no completion was scored.")
    parts = rows.partition_by("kind", maintain_order=True)
    made = [{"kind": part["kind"][0], **_spread(part[column])} for part in parts]
    return pl.DataFrame(made, schema=SUMMARY_SCHEMA)


def score_differences(
    rows: pl.DataFrame, column: str, *, clean: str = "clean", n: int = 2000, seed: int = 0
) -> pl.DataFrame:
    """The table of `DIFFERENCE_SCHEMA`: each kind against the clean completions of the same rows.

    Args:
        rows: with the columns row_id, kind, group and `column`.
        column: of scores; rows that lack one under either kind count as missing.
        clean: the kind that others are compared with.
        n: resamplings of groups.
        seed: of them.

    Raises:
        StimulusError: if there are no clean completions, or none else.
    """
    base = rows.filter(kind=clean).select("row_id", base=column)
    others = rows.filter(pl.col("kind") != clean)
    if base.is_empty() or others.is_empty():
        raise StimulusError(
            f"There are {len(base)} completions of the kind {clean!r} and {len(others)} of others. Give both."
        )
    made = []
    for part in others.partition_by("kind", maintain_order=True):
        both = part.join(base, on="row_id", how="left", maintain_order="left")
        values = (both[column] - both["base"]).rename("difference")
        made.append(
            {"kind": part["kind"][0], **_spread(values), **_test_differences(values, both["group"].to_list(), n, seed)}
        )
    p = [row["p"] for row in made if row["p"] is not None]
    adjusted = iter(holm(p).tolist() if p else [])
    return pl.DataFrame(
        [row | {"p_holm": None if row["p"] is None else next(adjusted)} for row in made], schema=DIFFERENCE_SCHEMA
    )


def _spread(values: pl.Series) -> dict[str, float | int | None]:
    known = values.drop_nulls().drop_nans().to_numpy().astype(np.float64)
    n = len(known)
    return {
        "n": n,
        "missing": len(values) - n,
        "mean": float(known.mean()) if n else None,
        "sd": float(known.std(ddof=1)) if n > 1 else None,
        "min": float(known.min()) if n else None,
        "max": float(known.max()) if n else None,
        **{f"q{100 * q:02.0f}": float(np.quantile(known, q)) if n else None for q in QUANTILES},
    }


def _test_differences(values: pl.Series, groups: Sequence[object], n: int, seed: int) -> dict[str, float | None]:
    numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    known = numbers[~np.isnan(numbers)]
    shares = {"better": float((known > 0).mean()), "worse": float((known < 0).mean())} if len(known) else {}
    empty: dict[str, float | None] = dict.fromkeys(("low", "high", "better", "worse", "p"))
    try:
        interval = mean_interval(numbers, groups=groups, n=n, seed=seed)
        p = sign_flip_test(numbers, groups=groups, seed=seed).p
    except StatisticsError:  # fewer than two groups: a difference, but nothing to say of its certainty
        return empty | shares
    return empty | shares | {"low": interval.low, "high": interval.high, "p": p}
