"""A few lines of HTML for notebooks: colours and type stay the notebook's. Whatever the texts hold is shown as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

MOST = 12
"""Rows that are shown of a longer table."""


def facts(title: str, pairs: Mapping[str, object]) -> str:
    """A title, and names with their values; what has no value is left out."""
    rows = [f"<tr><th style='text-align:left'>{_safe(k)}</th><td>{_safe(v)}</td></tr>" for k, v in pairs.items() if v]
    return f"<div><strong>{_safe(title)}</strong><table>{''.join(rows)}</table></div>"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, n: int | None = None) -> str:
    """A title and a table; of `n` rows only those that are given."""
    head = "".join(f"<th>{_safe(column)}</th>" for column in columns)
    body = ["".join(f"<td>{_safe(cell)}</td>" for cell in row) for row in rows]
    more = f"<p>{n - len(body):,} more</p>" if n is not None and n > len(body) else ""
    lines = "".join(f"<tr>{cells}</tr>" for cells in body)
    return f"<div><strong>{_safe(title)}</strong><table><tr>{head}</tr>{lines}</table>{more}</div>"


def _safe(text: object) -> str:
    return escape(str(text))
