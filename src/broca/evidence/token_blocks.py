"""Items token by token, each shaded by what the lesion does to it: see `broca.evidence.token_effects`."""

from __future__ import annotations

import polars as pl

from broca.page.blocks import Block, Line, Text, Token, Tokens, section
from broca.page.record import Record
from broca.page.words import column

LAST = 300
"""Tokens of an item that are shown."""


def shaded_items(record: Record) -> list[Block]:
    """The section of a page; nothing where no token was read."""
    rows = record.tables.get("token_effects")
    if rows is None or rows.is_empty():
        return []
    most = max((abs(change) for change in rows["change"].drop_nulls()), default=0.0) or 1e-12
    texts = [_item(str(name), own, most) for (name,), own in rows.group_by("id", maintain_order=True)]
    words = (
        "The items whose margins the lesion moved most, with the right answer, underlined, behind the prompt. What is blue is less probable under the "
        f"lesion, what is orange more; the darkest by {column(most)} nats."
    )
    return section("shaded", "Where the lesion is felt, token by token", Text(words), *texts)


def _item(name: str, rows: pl.DataFrame, most: float) -> Block:
    last = rows.sort("token").tail(LAST)
    left_out = rows.height - last.height
    tokens = (
        *[Token(f"{left_out:,} tokens … ", "unmatched") for _ in range(bool(left_out))],
        *(
            Token(row["text"] or "", "edited" if row["answer"] else "", (row["change"] or 0.0) / most)
            for row in last.iter_rows(named=True)
        ),
    )
    moved = rows.filter(pl.col("answer"))["change"].sum()
    return Tokens(name, f"right answer {'+' if moved > 0 else ''}{column(moved)} nats", (Line("", tokens),))
