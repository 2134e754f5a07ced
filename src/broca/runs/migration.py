"""What the version before wrote, by the names of this one: fields of specs, wherever in a run they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from broca.instruments import INSTRUMENTS
from broca.instruments.parts import tables_by_name


def study_of_today(fields: Any) -> Any:
    """The fields of a study, and of the studies within it, by the names that they have now.

    Args:
        fields: as they were written; those of an instrument that is not installed stay as they are.
    """
    if not isinstance(fields, Mapping):
        return fields
    made = {name: study_of_today(value) for name, value in fields.items()}
    kind = made.get("kind")
    study = INSTRUMENTS[kind] if isinstance(kind, str) and kind in INSTRUMENTS else None
    return getattr(study, "by_names_of_today", dict)(made)


def result_of_today(words: dict[str, Any]) -> dict[str, Any]:
    """What ``result.json`` says, by the names of this version: its study's fields, and the entries that its study says were renamed."""
    if "spec" not in words:
        return words
    study = study_of_today(words["spec"])
    kind = study.get("kind") if isinstance(study, Mapping) else None
    spec = INSTRUMENTS[kind] if isinstance(kind, str) and kind in INSTRUMENTS else None
    made = words | {"spec": study}
    for part, names in getattr(spec, "renamed_result", {}).items():
        if isinstance(made.get(part), Mapping):
            made[part] = {names.get(name, name): value for name, value in made[part].items()}
    return made


def table_of_today(kind: str, name: str, table: pl.DataFrame) -> pl.DataFrame:
    """A table of a run, its columns by the names that they have now; of an instrument that is not installed as it is."""
    schema = tables_by_name(kind).get(name)
    return table if schema is None else schema.of_today(table)
