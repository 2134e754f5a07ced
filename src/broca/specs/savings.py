"""What a study may give up to keep a budget. Plain data, no torch.

An instrument says in its ``cost.py``, beside `cost`, what may be lowered, that first which costs least of what a verdict can show::

    def savings(spec, lm) -> Sequence[Saving]:
        return (Saving("draws", steps(spec.draws, 19), "matched draws", ("causal",)), Saving("twins", (spec.twins, 0), "untrained twins"))

and, where it can, how probable it is that what is left finds something: ``power(spec, lm) -> float``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter

STEP = 0.85
"""From one number to the next lower one."""


@dataclass(frozen=True, slots=True)
class Saving:
    """A field that may be lowered, and to what."""

    field: str
    """Of the spec, or with a dot of a part of it: ``localizer.twins``."""
    values: tuple[Any, ...]
    """From what is asked for down to the least that still decides something."""
    what: str
    """In the plural: "matched draws"."""
    rungs: tuple[str, ...] = ()
    """That it weakens."""
    fine: bool = False
    """Whether there are many values, of which the largest that the budget allows is taken: of one field at most."""
    enough: float = 0.0
    """Of a fine one, the number above which nothing is lost, where an instrument gives no `power`; what is asked for when 0."""

    def words(self, value: Any) -> str:
        """``19 of 200 matched draws``."""
        asked = self.values[0]
        if isinstance(asked, str):
            return f"{self.what}: {value}, not {asked}"
        left = _number(value)
        return f"{f'{left:,}' if left else 'none'} of {_number(asked):,} {self.what}"


def steps(most: int, least: int) -> tuple[int, ...]:
    """Numbers from the most down to the least, each `STEP` times the one before."""
    found = [most]
    while found[-1] > least:
        found.append(max(least, min(found[-1] - 1, round(found[-1] * STEP))))
    return tuple(found)


def value_of(spec: Any, field: str) -> Any:
    """The value of a field, or of a field of a part."""
    for name in field.split("."):
        spec = getattr(spec, name)
    return spec


def with_values(spec: Any, values: Mapping[str, Any]) -> Any:
    """The same spec with other values of some fields, as they are or as a file has them."""
    for field, value in values.items():
        name, _, rest = field.partition(".")
        made = with_values(getattr(spec, name), {rest: value}) if rest else _read(spec, name, value)
        spec = spec.model_copy(update={name: made})
    return spec


def _read(spec: BaseModel, name: str, value: Any) -> Any:
    hint: Any = type(spec).model_fields[name].annotation
    return TypeAdapter(hint).validate_python(value)


def _number(value: Any) -> int:
    return len(value) if isinstance(value, Sequence) else int(value or 0)
