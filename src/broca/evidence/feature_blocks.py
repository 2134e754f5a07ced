"""Blocks of a result with features: what their dictionaries explain, and the texts that fire the selected ones, each token shaded."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from broca.evidence.blocks import table
from broca.evidence.tables import DICTIONARIES
from broca.page.blocks import Block, Line, Text, Token, Tokens, section
from broca.page.record import Record
from broca.page.words import number

_SETTINGS = (
    ("site", "features"), ("dictionary", "dictionary"), ("writes", "of"), ("n_features", "number"), ("fvu", "FVU"), ("l0", "L0"),
    ("dead", "dead", "percent"), ("recovered", "loss recovered", "percent"),
)  # fmt: skip


def features(record: Record) -> list[Block]:
    """Nothing where no feature was looked at."""
    rows = record.rows("dictionaries")
    caption = "What the dictionaries make of the texts that were shown; what they leave unexplained stays in the stream under a lesion."
    shown = table(
        DICTIONARIES, rows, "Dictionaries", *_SETTINGS, strong=("fvu", "recovered"), caption=caption,
        summary=("site", "dictionary", "fvu", "recovered"),
    )  # fmt: skip
    texts = [*_texts(record.tables.get("activations"))]
    words = (
        Text("The texts that fire each selected feature most; the darker a token, the stronger.", quiet=True)
        if texts
        else None
    )
    return section("features", "What the features are", shown, words, *texts)


def _texts(rows: pl.DataFrame | None) -> Iterator[Block]:
    if rows is None:
        return
    for (name,), own in rows.group_by("feature", maintain_order=True):
        most = max(own["activation"].abs().max() or 0.0, 1e-12)  # type: ignore[arg-type, type-var]
        lines = tuple(
            Line(
                str(part["label"][0]),
                tuple(
                    Token(row["text"] or "", strength=row["activation"] / most)
                    for row in part.sort("token").iter_rows(named=True)
                ),
                number(part["largest"][0]),
            )
            for _, part in own.group_by("rank", maintain_order=True)
        )
        yield Tokens(str(name), f"at most {number(most)}", lines)
