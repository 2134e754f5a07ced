"""What the model scores under weight masks: abilities item by item, and how well it predicts plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from broca.cache.cache import Cache
from broca.cache.mapping import map_cached
from broca.evidence.conditions import Condition, Scoring, WeightMasking, concat_with_labels
from broca.interventions.weights import WeightMask
from broca.items import Item, Stimulus, fingerprint
from broca.models.lm import LM
from broca.registry import COMPAT
from broca.scoring.sampling import Sampled
from broca.scoring.windows import Windows, window_rows
from broca.stimuli.cell_items import cells as by_cell

Masked = Condition[WeightMask | None]

INTACT: Masked = Condition("intact", None)
"""The condition in which no weight is masked."""


def fraction(condition: Masked) -> float:
    """The fraction that chose the mask; 0 for none."""
    return float(condition.mask.weights.about["mask_fraction"]) if condition.mask else 0.0


force = WeightMasking()
"""What a condition puts in force."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The task of predicting texts under a condition."""

    texts: tuple[Stimulus, ...]
    windows: Windows

    def key(self, lm: LM, part: Masked, /) -> dict[str, Any]:
        return {
            "cell": "perplexity",
            "texts": fingerprint(list(self.texts)),
            "windows": repr(self.windows),
            "condition": [*lm.condition, *(mask.fingerprint for mask in force(part))],
        }

    def __call__(self, lm: LM, part: Masked, /) -> pl.DataFrame:
        with lm.under(*force(part)):
            return window_rows(lm, self.texts, self.windows)


@dataclass(frozen=True, slots=True)
class Repeating:
    """The task of sampling several answers to each item of whole tasks, under a condition."""

    items: tuple[Item, ...]
    scorer: Sampled

    def key(self, lm: LM, part: Masked, /) -> dict[str, Any]:
        items = fingerprint([item.fingerprint for item in self.items])
        condition = [*lm.condition, *(mask.fingerprint for mask in force(part))]
        return {"cell": "repeat", "items": items, "scorer": repr(self.scorer), "condition": condition}

    def __call__(self, lm: LM, part: Masked, /) -> pl.DataFrame:
        with lm.under(*force(part)):
            return self.scorer.repetition_rows(lm, self.items)


def repetition_cells(
    lm: LM, items: Sequence[Item], conditions: Mapping[float, Masked], *, scorer: Sampled, cache: Cache
) -> pl.DataFrame:
    """Cells of theory-of-mind tasks by repetition and fraction, in the published columns."""
    parts = list(conditions.values())
    found = map_cached(Repeating(tuple(items), scorer), parts, lm, cache)
    rows = [(m, next(found)) for m in conditions]
    table = pl.concat([part.with_columns(m=pl.lit(m)) for m, part in rows if isinstance(part, pl.DataFrame)])
    return COMPAT["cell-table"](by_cell(items, table, by=("repetition", "m")))


def score_conditions(
    lm: LM,
    items: Sequence[Item],
    conditions: Sequence[Masked],
    *,
    scorer: Any,
    cache: Cache,
    progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """One row an item and condition: the labels, then the scorer's columns."""
    return pl.concat(Scoring(tuple(items), scorer, force).tables(lm, conditions, cache, progress))


def read(
    lm: LM,
    texts: Sequence[Stimulus],
    conditions: Sequence[Masked],
    *,
    windows: Windows,
    cache: Cache,
    progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """One row a window and condition: the labels, then those of `broca.scoring.windows.window_rows`."""
    found = map_cached(Reading(tuple(texts), windows), list(conditions), lm, cache, progress)
    return pl.concat([concat_with_labels([next(found)], condition) for condition in conditions])
