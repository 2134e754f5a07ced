"""The verdict ladder: five rungs in two halves, and how they look in a notebook. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Literal

from broca.page.words import visible
from broca.specs.expectation import State


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder: its state, in words and numbers."""

    name: str
    state: State
    text: str
    numbers: Mapping[str, float | int | None]
    caveat: str = ""
    """What a passed rung leaves open, in a few words that stand beside it wherever it is named."""

    def more(self, text: str, numbers: Mapping[str, float | int | None]) -> Rung:
        """The rung with a further finding that does not decide it."""
        return replace(self, text=self.text + text, numbers={**self.numbers, **numbers})

    def undecided_if(self, why: str | None) -> Rung:
        """The rung as undecided for this reason too, where there is one: what a guard refuses is neither shown nor refuted."""
        tested = self.state != "not tested"
        return replace(self, state="undecided", text=f"{self.text} {why}", caveat="") if why and tested else self

    def failed_if(self, why: str | None) -> Rung:
        """The rung as failed for this reason, where there is one, if it had passed."""
        return replace(self, state="failed", text=f"{self.text} {why}") if why and self.state == "passed" else self


MAP = ("selective", "reliable", "learned")
"""What the map is worth that made the selection."""
PLACE = ("causal", "specific")
"""What the place does."""
RUNGS = (*MAP, *PLACE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ladder of a selection in its two halves, and both of them in a sentence."""

    rungs: tuple[Rung, ...]
    first_failure: str | None
    """The first rung that failed; those that are undecided did not."""
    sentence: str

    @classmethod
    def of(cls, *rungs: Rung) -> Verdict:
        """Put the rungs in order; those that nobody tested are named as such."""
        given = {rung.name: rung for rung in rungs}
        ladder = tuple(given.get(name) or Rung(name, "not tested", _UNTESTED[name], {}) for name in RUNGS)
        failed = next((rung.name for rung in ladder if rung.state == "failed"), None)
        halves = (_half(name, [rung for rung in ladder if rung.name in names])
                  for name, names in (("Map", MAP), ("Place", PLACE)))  # fmt: skip
        return cls(ladder, failed, " ".join(halves))

    def __getitem__(self, name: str) -> Rung:
        return self.rungs[RUNGS.index(name)]


_UNTESTED = {
    "selective": "Not tested: no contrast was localized in this run.",
    "reliable": "Not tested: no two halves of data were compared in this run.",
    "learned": "Not compared with untrained twins of this model, so architecture alone could explain the map (--twins 19 compares, where a command has it).",
    "causal": "Nothing was lesioned (broca lesion does).",
    "specific": "No other ability was scored.",
}


def _half(name: str, rungs: Sequence[Rung]) -> str:
    """A half of the verdict: no where a rung failed; can't tell where none did, but one is undecided; else yes."""
    of: dict[State, list[str]] = {"passed": [], "failed": [], "undecided": [], "not tested": []}
    for rung in rungs:
        of[rung.state].append(f"{rung.name} ({rung.caveat})" if rung.caveat else rung.name)
    if len(of["not tested"]) == len(rungs):
        return f"{name}: not tested."
    parts = [_joined_names(of["passed"])] if of["passed"] else []
    parts += [f"{'but ' if parts else ''}not {_joined_names(of['failed'], 'or')}"] if of["failed"] else []
    parts += [f"{_joined_names(of[state])} {state}" for state in ("undecided", "not tested") if of[state]]
    word = (
        "no"
        if of["failed"]
        else "can't tell"
        if of["undecided"]
        else "yes, as far as tested"
        if of["not tested"]
        else "yes"
    )
    return f"{name}: {word} ({'; '.join(parts)})."


def _joined_names(names: Sequence[str], word: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


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
        f"{_safe(_standing(rung))}. {_safe(rung.get('text') or '')}</li>"
        for rung in rungs
    )
    return (
        f"<div style='line-height:1.45;max-width:46em'><p><strong>{_safe(claim)}</strong></p>"
        f"<ul style='list-style:none;padding:0'>{listed}</ul><p><em>{_safe(sentence)}</em></p></div>"
    )


def _standing(rung: Mapping[str, Any]) -> str:
    return ", ".join(filter(None, (str(rung["state"]), str(rung.get("caveat") or ""))))


_MARKS = {"passed": "✓", "failed": "✕", "undecided": "?", "not tested": "○"}


def _safe(text: object) -> str:
    return escape(visible(str(text)))
