"""What the version before wrote, by the names of this one: fields of specs, wherever in a run they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broca.instruments import INSTRUMENTS


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
    """What ``result.json`` says, its study's fields by the names that they have now."""
    return words | {"spec": study_of_today(words["spec"])} if "spec" in words else words
