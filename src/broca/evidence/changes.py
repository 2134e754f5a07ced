"""What would change a verdict, in a few lines, from its rungs: what is open, what is missing, what could overturn it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

FEW = 3
"""Lines that are given at most."""

_AGAINST = {
    "selective": "other stimuli of more groups, in which the selected places do tell the two sides apart",
    "reliable": "more stimuli or a larger selection, whose two halves agree",
    "learned": "stimuli that untrained twins do not tell apart as well",
    "causal": "another selection, whose loss is large enough under every fill and beyond matched random ones",
    "specific": "other abilities that lose less, as a share of what each had to lose and in log-odds",
}
"""What would overturn a rung that failed."""

_ABIDES = (
    "A second wording, another model, or an ability closer to this one: a yes is about what was asked, and of whom.",
    "A place outside the selection that costs the ability as much: random draws look at few of them.",
)
"""What could still overturn a ladder that was climbed to its top."""

_SENTENCE = re.compile(r"(?<=[.)]) (?=[A-Z])")


def changes(rungs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What would change the verdict, what matters most first, `FEW` lines at most.

    Args:
        rungs: of a verdict as ``result.json`` holds it: name, state and text of each.
    """
    of: dict[str, list[Mapping[str, Any]]] = {}
    for rung in rungs:
        of.setdefault(str(rung.get("state")), []).append(rung)
    found = [
        f"{str(rung['name']).capitalize()} failed: {_AGAINST[rung['name']]} would overturn it."
        for rung in of.get("failed", ())
        if rung.get("name") in _AGAINST
    ]
    found += [
        f"{str(rung.get('name')).capitalize()} is {state}: {reason}"
        for state in ("undecided", "not tested")
        for rung in of.get(state, ())
        if (reason := decisive(str(rung.get("text") or "")))
    ]
    return (found or [*_ABIDES] * bool(of.get("passed")))[:FEW]


def decisive(text: str) -> str:
    """The part of an undecided rung's text that says what would decide it: behind "Undecided:", or else its last sentence, without its state."""
    _, mark, behind = text.rpartition("Undecided: ")
    said = behind if mark else _SENTENCE.split(text.strip())[-1].removeprefix("Not tested: ")
    return said[:1].lower() + said[1:] if said[1:2].islower() else said
