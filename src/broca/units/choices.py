"""What may be given for a selection: units, heads or weights, as a value, as it is written, or as a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from broca.errors import SelectionError
from broca.sites import Site
from broca.units.mask import UnitMask
from broca.units.notation import OPEN, Grain
from broca.units.weights import WeightSet

Choice = UnitMask | WeightSet
"""Some of a model's parts."""


C = TypeVar("C", bound=UnitMask | WeightSet)


class Shape(Protocol):
    """How many units and heads a model has: its anatomy."""

    @property
    def n_heads(self) -> int: ...

    @property
    def n_layers(self) -> int: ...

    def choices(self, site: Site, grain: Grain, /) -> int: ...


def read_choice(given: Any) -> Choice:
    """A selection from whatever stands for one.

    Args:
        given: the selection; its JSON; heads (``0.4,1.2``) or units (``3.mlp_act:0,2``) as they are written; or a mask's file.

    Raises:
        SelectionError: if it is none of these.
    """
    if isinstance(given, UnitMask | WeightSet):
        return given
    if isinstance(given, Mapping) and "matrices" in given:
        return WeightSet.from_json(given)
    if not isinstance(given, str):
        return UnitMask.from_json(given)
    try:
        return UnitMask.from_text(given)
    except SelectionError:
        if not Path(given).is_file():
            raise
        return WeightSet.load(given)


def fit(chosen: C, shape: Shape) -> C:
    """A selection that was written before its model was known, with the widths that this model has.

    Raises:
        SelectionError: if the model has no such unit or head.
        SiteUnavailable: if the model has no such site.
    """
    if isinstance(chosen, WeightSet) or all(flags.size != OPEN for flags in chosen.at.values()):
        return chosen
    if chosen.grain == "head":
        return UnitMask.heads(",".join(chosen.names), n_heads=shape.n_heads, n_layers=shape.n_layers)
    return UnitMask.parse(" ".join(chosen.names), n=shape.choices)
