"""What an instrument's folder holds beside its spec: ``tables.py``, ``blocks.py`` and ``cost.py``, found by where the spec is.

Whoever stores, reports or prints a run asks here, and so names no instrument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

from broca.instruments import INSTRUMENTS
from broca.page.blocks import Block
from broca.page.record import Record
from broca.specs.cost import Plan
from broca.specs.parts import part_beside
from broca.specs.schema import Schema


def tables_of(spec: type) -> dict[str, Schema]:
    """The schemas of the tables that an instrument writes, by name; none for one that declares none."""
    part = part_beside(spec, "tables")
    return {schema.name: schema for schema in getattr(part, "TABLES", ())}


def result_type(instrument: str) -> Any:
    """The class of an instrument's results: ``run.restore(result_type(kind))``."""
    return get_type_hints(INSTRUMENTS[instrument].work())["return"]


def tables_by_name(instrument: str) -> Mapping[str, Schema]:
    """The same by the instrument's name; none for one that is not installed."""
    return tables_of(INSTRUMENTS[instrument]) if instrument in INSTRUMENTS else {}


def blocks_by_name(instrument: str) -> Callable[[Record], Sequence[Block]]:
    """What makes the blocks of an instrument's runs; none for one that is not installed, or has none."""
    part = part_beside(INSTRUMENTS[instrument], "blocks") if instrument in INSTRUMENTS else None
    return getattr(part, "blocks", _nothing)


def plan_of(study: Any, lm: Any) -> Plan | None:
    """What a study will do on a model, counted; None for an instrument that does not count.

    Raises:
        BrocaError: whatever the study would raise, too.
    """
    part = part_beside(type(study), "cost")
    return None if part is None else part.cost(study, lm)


def _nothing(record: Record, /) -> Sequence[Block]:  # noqa: ARG001 - as every function of blocks has it
    return ()
