"""A chart of a page, or a table of a run, by its name; without one the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from broca.page.blocks import Block, Chart, every
from broca.registry import unknown

T = TypeVar("T")


def chart_named(blocks: Sequence[Block], name: str | None) -> Any:
    """The Vega-Lite chart (Altair) of that name, among blocks.

    Raises:
        UnknownName: if there is no such chart, or none at all; it names those that there are.
    """
    charts = {block.name: block for block in every(blocks) if isinstance(block, Chart)}
    return _pick("chart", charts, charts, name).make()


def table_named(tables: Mapping[str, T], order: Iterable[str], name: str | None) -> T:
    """The table of that name; without one the first in an order.

    Raises:
        UnknownName: if there is no such table, or none at all; it names those that there are.
    """
    return _pick("table", tables, (each for each in (*order, *tables) if each in tables), name)


def _pick(what: str, known: Mapping[str, T], order: Iterable[str], name: str | None) -> T:
    first = next(iter(order), "")
    wanted = first if name is None else name
    if wanted not in known:
        raise unknown(what, wanted, tuple(known), "" if known else f"This result has no {what}.")
    return known[wanted]
