"""Every answer intact and under each lesion, in one list that a reader sorts, searches and picks from."""

from __future__ import annotations

from typing import Any

import polars as pl

from broca.evidence.blocks import table
from broca.evidence.tables import CONDITION, ITEMS
from broca.page.blocks import Block, Details, Table, Text
from broca.page.record import Record
from broca.page.words import count, number

LISTED = 100
"""Items that are listed."""
LESIONS = 8
"""Lesions under which each is shown, the claim's own first."""
LETTERS = 300
"""Of a prompt in the list."""

_KEYS = ["id", "ability"]
_SETTINGS = (
    ("id", "item"), ("ability", "ability"), ("lesioned", "lesion"), ("change", "answer"), ("moved", "margin moved, nats", "column"),
    ("answer", "right answer"), ("text", "intact"), ("text_lesion", "lesioned"), ("prompt", "shown"),
)  # fmt: skip
_FACETS = (1, 2, 3)
"""Ability, lesion, and what became of the answer."""


def answers(record: Record) -> list[Block]:
    """Each item intact and under each lesion that is no random draw: those that turned first, then by how much the margin moved."""
    rows, texts = record.tables.get("items"), record.tables.get("prompts")
    if rows is None or texts is None:
        return []
    address = [name for name in CONDITION if name != "k"]
    lesions = rows.filter(pl.col("condition") == "lesion").select(address).unique(maintain_order=True)
    if lesions.is_empty():
        return []
    parts = [_answer_changes(rows, texts, lesion) for lesion in lesions.head(LESIONS).to_dicts()]
    first = parts[0].head(LISTED).select(_KEYS)
    shown = pl.concat([parts[0].head(LISTED), *(part.join(first, on=_KEYS, how="semi") for part in parts[1:])])
    made = table(ITEMS, shown.to_dicts(), "Answers one by one", *_SETTINGS)
    if made is None:
        return []
    left, lesions_left = parts[0].height - first.height, max(0, lesions.height - LESIONS)
    more = [count(left, "more item")] * bool(left) + [count(lesions_left, "more lesion")] * bool(lesions_left)
    notes = (
        [Text(f"{' and '.join(more)} and all random draws are in tables/items.parquet of this run.")] if more else []
    )
    wide = Table(made.title, made.columns, made.rows, made.caption, texts=True, facets=_FACETS)
    return [Details("Answers one by one, those that changed most first", (wide, *notes))]


def _answer_changes(rows: pl.DataFrame, texts: pl.DataFrame, lesion: dict[str, Any]) -> pl.DataFrame:
    """Each item intact and under one lesion, in the order of how much it changed."""
    own = ["correct", "score", "text"]
    under = rows.join(
        pl.DataFrame([lesion], schema_overrides={k: rows.schema[k] for k in lesion}), on=list(lesion), how="semi"
    )
    intact = rows.filter(pl.col("condition") == "intact").select(*_KEYS, *own)
    both = intact.join(under.select(*_KEYS, *own), on=_KEYS, suffix="_lesion", maintain_order="left")
    both = both.join(texts.select(*_KEYS, "prompt", "answer"), on=_KEYS, how="left", maintain_order="left")
    kept = pl.when(pl.col("correct")).then(pl.lit("right")).otherwise(pl.lit("wrong"))
    turned = pl.when(pl.col("correct")).then(pl.lit("lost")).otherwise(pl.lit("gained"))
    cut = pl.col("prompt").str.slice(0, LETTERS) + "…"
    both = both.with_columns(
        lesioned=pl.lit(_words(lesion)),
        change=pl.when(pl.col("correct") == pl.col("correct_lesion")).then(kept).otherwise(turned),
        moved=pl.col("score_lesion") - pl.col("score"),
        prompt=pl.when(pl.col("prompt").str.len_chars() > LETTERS).then(cut).otherwise(pl.col("prompt")),
    )
    order = (pl.col("change").replace_strict({"lost": 0, "gained": 1}, default=2), -pl.col("moved").abs())
    return both.sort(*order, nulls_last=True, maintain_order=True)


def _words(lesion: dict[str, Any]) -> str:
    """A lesion in few words: by whose ranking, which end, how much, and what units are held at."""
    dose = f"{number(lesion['dose'])} %" if lesion.get("dose") else ""
    return " ".join(
        filter(
            None,
            (str(lesion.get("localizer") or ""), str(lesion.get("side") or ""), dose, str(lesion.get("fill") or "")),
        )
    )
