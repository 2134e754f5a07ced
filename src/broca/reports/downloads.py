"""Tables of a run as CSV, held by the page itself: nothing is fetched when they are saved."""

from __future__ import annotations

from base64 import b64encode

import polars as pl

from broca.page.blocks import Block, Download, Downloads, Text, section
from broca.page.record import Record
from broca.page.words import count, visible

LARGEST = 400_000
"""Bytes of CSV that the page holds of a table."""
IN_ALL = 2_000_000
"""Bytes of CSV that the page holds of all tables."""


def downloads(record: Record) -> list[Block]:
    """Each table of the run as a file to save; of those that are too large, where they are."""
    held, room = [], IN_ALL
    # The smallest first, so that one large table does not keep many others out.
    sizes = sorted((table.estimated_size(), name) for name, table in record.tables.items())
    for _, name in sizes:
        table = record.tables[name]
        text = csv(table).encode() if table.estimated_size() <= 4 * LARGEST else b""
        fits = bool(text) and len(text) <= min(LARGEST, room)
        room -= len(text) * fits
        note = f"{count(table.height, 'row')}, {count(table.width, 'column')}"
        held.append(
            Download(f"{name}.csv", note, f"data:text/csv;charset=utf-8;base64,{b64encode(text).decode('ascii')}")
            if fits
            else Download(f"{name}.csv", f"{note}: too large for this page, see tables/{name}.parquet", "")
        )
    if not held:
        return []
    words = Text(
        "Each is whole. A text that a spreadsheet would take for a formula begins with an apostrophe.", quiet=True
    )
    return section("tables", "Tables", words, Downloads(tuple(sorted(held, key=lambda each: each.name))))


def csv(table: pl.DataFrame) -> str:
    """A table as CSV (RFC 4180, UTF-8); lists are joined by ``|``, numbers as precise as they are.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    return table.select(_plain(table, name) for name in table.columns).write_csv(line_terminator="\r\n")


def _plain(table: pl.DataFrame, name: str) -> pl.Expr:
    column, kind = pl.col(name), table.schema[name]
    if isinstance(kind, pl.List | pl.Array):
        column, kind = column.cast(pl.List(pl.String)).list.join("|", ignore_nulls=True), pl.String()
    if isinstance(kind, pl.Struct):
        column, kind = column.struct.json_encode(), pl.String()
    if kind != pl.String:
        return column
    column = column.map_elements(visible, return_dtype=pl.String)
    return pl.when(column.str.contains(r"^[=+\-@\t\r]")).then(pl.lit("'") + column).otherwise(column).alias(name)
