"""Fields of a causal test that come from any instrument: a selector, found by its name, and a selection.

Which instruments are selectors, and where each keeps what it selected, their `Command` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, SerializeAsAny

from broca.errors import BrocaError
from broca.instruments import COMMANDS, INSTRUMENTS
from broca.specs.faults import join_names
from broca.specs.spec import Spec
from broca.units import UnitMask, WeightSet, read_choice

USUAL = "localize"
"""The selector of fields that do not say of which kind they are."""


def _selector(given: Any) -> Any:
    kind = given.get("kind", USUAL) if isinstance(given, Mapping) else getattr(given, "kind", None)
    if kind not in COMMANDS or not COMMANDS[kind].ranks:
        able = join_names([name for name, each in COMMANDS.items() if each.ranks])
        raise ValueError(f"{kind!r} ranks nothing that a share can be selected of; {able} does")
    return INSTRUMENTS[kind].model_validate(given) if isinstance(given, Mapping) else given


def _selection(given: Any) -> UnitMask | WeightSet:
    try:
        return read_choice(given)
    except BrocaError as error:
        raise ValueError(str(error)) from error


AnySelector = Annotated[SerializeAsAny[Spec], BeforeValidator(_selector)]
"""A spec that ranks: see `broca.evidence.selector.Selector`."""

AnySelection = Annotated[
    UnitMask | WeightSet,
    PlainValidator(_selection),
    PlainSerializer(lambda chosen: chosen.to_json(), return_type=dict[str, Any]),
]
"""Units, heads or weights; in TOML also as they are typed: ``"0.4,1.2"``, ``"3.mlp_act:0,2"``, or a mask's file."""
