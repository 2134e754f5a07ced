"""A finished run whose selection is lesioned: what it says where the command does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broca.errors import RunError
from broca.evidence.ledger import chosen_groups
from broca.evidence.selector import MAP_RUNGS, Origin
from broca.evidence.verdict import Rung
from broca.instruments import COMMANDS, INSTRUMENTS


def fields_of_run(run: Any, given: Mapping[str, Any], *, ranked: bool = False) -> dict[str, Any]:
    """The fields of a causal test of what a run selected: of its ranking where there is one, else of its selection alone.

    Args:
        run: a finished run of any instrument.
        given: what was asked for otherwise, by field.
        ranked: refuse a run that ranked nothing.

    Raises:
        RunError: if it selected nothing, or is to be a ranking and is none.
    """
    kind = run.manifest["kind"]
    if kind in COMMANDS and COMMANDS[kind].ranks:
        return _of_ranking(run, given)
    if ranked:
        able = ", ".join(name for name, each in COMMANDS.items() if each.ranks)
        raise RunError(
            f"{run.path} is a run of {kind}, and --localizer takes one of {able}. To lesion what that run selected: --from {run.path}."
        )
    return {"selection": run.selection, "origin": _origin(run)}


def _of_ranking(run: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    spec, percent, side = INSTRUMENTS[run.manifest["kind"]].taken_from(run)
    fields: dict[str, Any] = {"localizer": spec}
    if given.get("percent") is None:
        fields["percent"] = percent
    if given.get("sides") is None and side is not None:
        fields["sides"] = [side]
    return fields


def _origin(run: Any) -> Origin:
    climbed = (run.verdict or {}).get("rungs", ())
    return Origin(
        instrument=run.manifest["kind"],
        hash=run.manifest["hash"],
        rungs=tuple(Rung(**rung) for rung in climbed if rung["name"] in MAP_RUNGS and rung["state"] != "not tested"),
        data=dict(run.manifest["data"]),
        groups=chosen_groups(run.result.get("ledger")),
    )
