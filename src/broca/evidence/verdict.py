"""The verdict ladder: five rungs, the first that fails, and how they look in a notebook. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Literal

from broca.page.words import visible

State = Literal["passed", "failed", "not tested"]


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder: what was asked, and what came out, in words and numbers."""

    name: str
    state: State
    text: str
    numbers: Mapping[str, float | int | None]

    def more(self, text: str, numbers: Mapping[str, float | int | None]) -> Rung:
        """The rung with a further finding that does not decide it."""
        return replace(self, text=self.text + text, numbers={**self.numbers, **numbers})

    def failed_if(self, why: str | None) -> Rung:
        """The rung as failed for this reason, where there is one, if it had passed: a guard stands above a test."""
        return replace(self, state="failed", text=f"{self.text} {why}") if why and self.state == "passed" else self


RUNGS = ("selective", "reliable", "learned", "causal", "specific")
"""From the bottom up: a claim is worth what it has climbed without a miss."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ladder that a selection climbed, and the first rung that failed."""

    rungs: tuple[Rung, ...]
    first_failure: str | None
    sentence: str

    @classmethod
    def of(cls, *rungs: Rung) -> Verdict:
        """Put the rungs in order; those that nobody tested are named as such."""
        given = {rung.name: rung for rung in rungs}
        ladder = tuple(given.get(name) or Rung(name, "not tested", _UNTESTED[name], {}) for name in RUNGS)
        failed = next((rung.name for rung in ladder if rung.state == "failed"), None)
        return cls(ladder, failed, _sentence(ladder, failed))


_UNTESTED = {
    "selective": "No contrast was run: the selection was given.",
    "reliable": "No contrast was run: the selection was given.",
    "learned": "Not compared with untrained twins of this model, so architecture alone could explain the selectivity (--twins 20 compares).",
    "causal": "Nothing was lesioned (broca lesion does).",
    "specific": "No other ability was scored.",
}


def _sentence(ladder: tuple[Rung, ...], failed: str | None) -> str:
    passed = [rung.name for rung in ladder if rung.state == "passed"]
    if failed is None:
        left = [rung.name for rung in ladder if rung.state == "not tested"]
        if not passed:
            return "Nothing was tested."
        if not left:
            return f"Yes: {_joined_names(passed)}."
        return f"Yes, as far as tested: {_joined_names(passed)}. Not tested: {_joined_names(left)}."
    below = [name for name in passed if RUNGS.index(name) < RUNGS.index(failed)]
    return f"No: {_joined_names(below)}, but not {failed}." if below else f"No: not {failed}."


def _joined_names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True, slots=True)
class Guard:
    """A check that ran by itself: passed, or marked in the report. One that must stop the run raises instead."""

    name: str
    state: Literal["passed", "marked"]
    text: str


def fragment(claim: str, rungs: Sequence[Mapping[str, Any]], sentence: str) -> str:
    """Claim and ladder as a few lines of HTML for a notebook; colours and type stay the notebook's.

    Whatever the texts hold is shown as text.
    """
    listed = "".join(
        f"<li><span aria-hidden='true'>{_MARKS.get(str(rung['state']), '·')}</span> <strong>{_safe(rung['name'])}</strong> "
        f"{_safe(rung['state'])}. {_safe(rung.get('text') or '')}</li>"
        for rung in rungs
    )
    return (
        f"<div style='line-height:1.45;max-width:46em'><p><strong>{_safe(claim)}</strong></p>"
        f"<ul style='list-style:none;padding:0'>{listed}</ul><p><em>{_safe(sentence)}</em></p></div>"
    )


_MARKS = {"passed": "✓", "failed": "✕", "not tested": "○"}


def _safe(text: object) -> str:
    return escape(visible(str(text)))
