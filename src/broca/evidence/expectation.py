"""What was expected of a run beside what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broca.page.numbers import number


@dataclass(frozen=True, slots=True)
class Prediction:
    """One thing that a spec expected."""

    name: str
    """A rung, or ``loss``."""
    predicted: str
    found: str
    met: bool


def predictions(expect: Mapping[str, Any] | None, result: Mapping[str, Any]) -> Iterator[Prediction]:
    """Each thing that was expected, with what was found.

    Args:
        expect: the field `expect` of a spec, as it is written.
        result: of the run: `verdict` and `estimate` of ``result.json``.
    """
    given = {name: value for name, value in (expect or {}).items() if value is not None}
    verdict = result.get("verdict") or {}
    states = {rung["name"]: str(rung["state"]) for rung in verdict.get("rungs", ())}
    for name, value in given.items():
        if name != "loss":
            found = states.get(name, "not tested")
            yield Prediction(name, str(value), found, found == value)
    if "loss" in given:
        low, high = given["loss"]
        loss = _loss(result.get("estimate"))
        found = "no loss of accuracy was measured" if loss is None else number(loss, ".3g")
        yield Prediction("loss", f"{low:g} to {high:g}", found, loss is not None and low <= loss <= high)


def _loss(estimate: Any) -> float | None:
    if not isinstance(estimate, Mapping) or estimate.get("unit") != "accuracy" or estimate.get("value") is None:
        return None
    return -float(estimate["value"])
