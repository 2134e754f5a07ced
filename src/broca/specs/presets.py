"""What earlier projects did, each quirk one named field: so that their numbers can be reproduced, and their choices seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broca.registry import PRESETS


@dataclass(frozen=True, slots=True)
class Preset:
    """What a preset says where the user says nothing."""

    fields: Mapping[str, Any]
    """Of the spec."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the contrast, where it has such options."""
    advice: str = ""
    """What to do where the preset leaves nothing to tell apart."""


def preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        UnknownName: if there is none.
    """
    return PRESETS[name]


def fill_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, completed from its preset.

    Raises:
        UnknownName: if there is no such preset.
    """
    name = given.get("preset")
    if not name:
        return dict(given)
    fields = preset(str(name)).fields
    select = given.get("select")
    merged = {**fields, **given}
    if isinstance(select, Mapping):
        merged["select"] = {**fields["select"], **select}
    return merged
