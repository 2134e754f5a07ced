"""Contrasts and items from data frames, read as strictly as files are; and as data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import polars as pl

from broca.errors import StimulusError
from broca.items import Contrast, Item, Items
from broca.stimuli.answers import AnswerForm
from broca.stimuli.item_tables import items_of_table
from broca.stimuli.label_tables import contrast_of_table
from broca.stimuli.tables import Row, Table


def contrast_of(frame: Any, *, positive: str | None, negative: str | None, name: str) -> Contrast:
    """See `Contrast.from_frame`."""
    return contrast_of_table(table_of(frame, name), positive=positive, negative=negative)


def items_of(frame: Any, *, answers: Any, ability: str | None, name: str) -> Items:
    """See `Items.from_frame`."""
    if answers not in (forms := get_args(AnswerForm)):
        raise StimulusError(f"answers is {answers!r}. Choose one of {', '.join(forms)}.")
    return items_of_table(table_of(frame, name), answers=answers, ability=ability)


def table_of(frame: Any, name: str) -> Table:
    """The rows of a polars or pandas data frame, or of a list of dictionaries with the same keys.

    Raises:
        StimulusError: if it is something else, or has no rows.
    """
    if isinstance(frame, pl.DataFrame):
        columns, rows = frame.columns, frame.to_dicts()
    elif hasattr(frame, "columns") and hasattr(frame, "to_dict"):
        columns, rows = [str(column) for column in frame.columns], frame.to_dict(orient="records")
    elif isinstance(frame, list | tuple) and all(isinstance(row, Mapping) for row in frame):
        columns, rows = list(frame[0]) if frame else [], [dict(row) for row in frame]
    else:
        raise StimulusError(
            f"{name} is {type(frame).__name__}. Give a data frame of polars or pandas, or a list of dictionaries."
        )
    if not rows:
        raise StimulusError(f"{name} has no rows. Give at least one.")
    if odd := next(
        (n for n, row in enumerate(rows) if len(row) != len(columns) or {*map(str, row)} != {*columns}), None
    ):
        raise StimulusError(
            f"{name}, row {odd + 1}: its fields differ from those of row 1. Give every row the same fields."
        )
    cells = ({str(key): _value(value) for key, value in row.items()} for row in rows)
    return Table(Path(name), tuple(columns), tuple(Row(f"row {n}", row) for n, row in enumerate(cells, 1)))


def _value(value: Any) -> Any:
    """A number of numpy as Python's; a series or an array as a list."""
    return value.tolist() if hasattr(value, "tolist") else value


def frame_of_contrast(contrast: Contrast) -> pl.DataFrame:
    """See `Contrast.frame`."""
    return pl.DataFrame(
        [
            {"id": each.id, "side": side, "text": _text(each.text), "group": each.group}
            for side, stimuli in (("positive", contrast.positive), ("negative", contrast.negative))
            for each in stimuli
        ]
    )


def frame_of_items(items: Sequence[Item]) -> pl.DataFrame:
    """See `Items.frame`."""
    schema = {"id": pl.String, "ability": pl.String, "group": pl.String, "prompt": pl.String,
              "choices": pl.List(pl.String), "answer": pl.Int64}  # fmt: skip
    rows = [(i.id, i.ability, i.group, _text(i.prompt), list(i.choices), i.answer) for i in items]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _text(text: Any) -> str:
    return text if isinstance(text, str) else "\n\n".join(f"{each.role}: {each.content}" for each in text)
