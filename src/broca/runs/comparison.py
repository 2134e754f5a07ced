"""Two runs side by side: what was chosen otherwise, what each found, and what their maps and selections share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from broca.errors import BrocaError
from broca.page.blocks import Block, Column, Facts, Heading, Table, Text
from broca.page.words import as_text, finite, leaves, number
from broca.runs.reading import Run
from broca.stats.reliability import correlation
from broca.units import UnitMask

_ABSENT = object()
_LONGEST = 120
"""Letters of a value of a field."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two runs' maps and selections are; None where they cannot be compared."""

    r: float | None
    """Pearson correlation of their maps over all units that both have a number for."""
    jaccard: float | None
    """Units that both selected, as a share of those that either did."""
    chance: float | None
    """The same of random selections of these sizes."""


def blocks(one: Run, two: Run) -> list[Block]:
    """What a reader sees of two runs: fields that differ, verdicts, estimates, and how alike their maps and selections are."""
    names = (one.path.name, two.path.name) if one.path.name != two.path.name else (str(one.path), str(two.path))
    columns = (Column("", brief=True), Column(names[0]), Column(names[1]))
    changed = tuple((name, _short(a), _short(b)) for name, a, b in differences(one.spec, two.spec))
    found: list[Block] = [Heading("What was chosen otherwise")]
    found.append(Table("", columns, changed, texts=True) if changed else Text("Nothing: the specs are the same."))
    rows = [("model", *(_model(run) for run in (one, two))), ("verdict", *(_sentence(run) for run in (one, two)))]
    rows += [(rung, *states) for rung, *states in _rungs(one, two)]
    rows.append(("estimate", _estimate(one), _estimate(two)))
    found += [Heading("What was found"), Table("", columns, tuple(rows), texts=True), Heading("How alike they are")]
    alike = likeness(one, two)
    found.append(
        Facts(tuple(_likeness(alike)))
        if alike != Likeness(None, None, None)
        else Text("They have no map or selection that can be compared.")
    )
    return found


def differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The fields in which two specs differ, with their dotted names, in the order of the first."""
    first, second = dict(leaves(one)), dict(leaves(two))
    for name in dict.fromkeys((*first, *second)):
        a, b = first.get(name, _ABSENT), second.get(name, _ABSENT)
        if a != b:
            yield name.removeprefix("study."), None if a is _ABSENT else a, None if b is _ABSENT else b


def likeness(one: Run, two: Run) -> Likeness:
    """How alike the maps and the selections of two runs are."""
    return likeness_of(map_of(one), map_of(two), selection_of(one), selection_of(two))


def likeness_of(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], chosen: UnitMask | None, other: UnitMask | None
) -> Likeness:
    """How alike two maps, and two selections, are."""
    r = jaccard = chance = None
    shared = [site for site in first if site in second and first[site].shape == second[site].shape]
    if shared:
        a, b = (np.concatenate([np.ravel(at[site]) for site in shared]).astype(float) for at in (first, second))
        both = np.isfinite(a) & np.isfinite(b)
        if both.sum() > 2 and np.ptp(a[both]) > 0 and np.ptp(b[both]) > 0:
            r = float(correlation(a[both], b[both]))
    if chosen is not None and other is not None:
        try:
            overlap = chosen.overlap(other)
            jaccard, chance = overlap.jaccard, overlap.chance_jaccard
        except BrocaError:
            # Units of another grain, or of a model of another width.
            pass
    return Likeness(r, jaccard, chance)


def map_of(run: Run) -> dict[str, np.ndarray]:
    """The map of a run by site; empty where it made none."""
    return (
        {str(site): values for site, values in run.at("t").items()}
        if any(name.startswith("t/") for name in run.tensors)
        else {}
    )


def selection_of(run: Run) -> UnitMask | None:
    """The units or heads that a run selected; None where it selected none."""
    try:
        chosen = run.selection
    except BrocaError:
        return None
    return chosen if isinstance(chosen, UnitMask) else None


def _likeness(alike: Likeness) -> Iterator[tuple[str, str]]:
    if alike.r is not None:
        yield "correlation of the maps", number(alike.r)
    if alike.jaccard is not None:
        yield "selections share (Jaccard)", f"{number(alike.jaccard)}, by chance {number(alike.chance)}"


def _rungs(one: Run, two: Run) -> Iterator[tuple[str, str, str]]:
    states = [
        {str(rung["name"]): str(rung["state"]) for rung in (run.verdict or {}).get("rungs", ())} for run in (one, two)
    ]
    for name in dict.fromkeys((*states[0], *states[1])):
        yield name, states[0].get(name, ""), states[1].get(name, "")


def _model(run: Run) -> str:
    return f"{run.manifest['model']['name']} ({run.manifest['hash'][:6]})"


def _sentence(run: Run) -> str:
    return str((run.verdict or {}).get("sentence") or "")


def _estimate(run: Run) -> str:
    told = run.result.get("estimate")
    if not isinstance(told, Mapping) or not finite(told.get("value")):
        return ""
    ends = [told.get("low"), told.get("high")]
    interval = f" [{', '.join(map(number, ends))}]" if all(map(finite, ends)) else ""
    return f"{number(told['value'])}{interval} {told.get('unit') or ''}".strip()


def _short(value: Any) -> str:
    text = as_text(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
