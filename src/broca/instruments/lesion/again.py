"""A finished localize run whose ranking is lesioned: what it says where the command does not."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, nextafter
from typing import Any

from broca.errors import RunError
from broca.units.selection import share


def selection_again(run: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields `localizer`, `percent` and `sides` of a causal test of what a run selected.

    Args:
        run: a finished run.
        given: what was asked for otherwise, by field.

    Raises:
        RunError: if it is no run of localize.
    """
    kind = run.manifest["kind"]
    if kind != "localize":
        raise RunError(
            f"{run.path} is a run of {kind}, and --localizer takes one of localize. To lesion what that run selected: --units {run.path}."
        )
    spec = run.spec["study"]
    chosen = spec.get("select", {})
    fields: dict[str, Any] = {}
    if given.get("percent") is None and chosen.get("percent") is not None:
        fields["percent"] = chosen["percent"]
    elif given.get("percent") is None:
        fields["percent"] = _percent(run.result["selection"]["k"], run.result["selection"]["n_alive"])
    if given.get("sides") is None and chosen.get("side") is not None:
        fields["sides"] = [chosen["side"]]
    # What is selected is said by percent and sides, so that the same test has one name, however it was asked for.
    kept = {name: value for name, value in chosen.items() if name not in ("percent", "count", "side")}
    return {**fields, "localizer": {**spec, "select": kept}}


def _percent(count: int, of: int) -> float:
    """A percentage that is so many of so many units: 1, or the least one. Fractions of a unit are cut off."""
    if share(of, 1.0) == count:
        return 1.0
    percent = 100 * count / of
    while share(of, percent) < count:
        percent = nextafter(percent, inf)
    return percent
