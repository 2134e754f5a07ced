"""Whole runs where nothing is there: a spec is executed into a directory, and the verdict that lies in it is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from broca.models.lm import LM
from broca.runs import open_run, run
from certificate.parts import NOMINAL, Kept, generator
from certificate.random_models import Rng
from certificate.rows import Row, share

INSTRUMENTS: Mapping[str, tuple[str, ...]] = {
    "localize": ("localize", "lesion"),
    "sensitivity": ("sensitivity",),
    "probe": ("probe",),
    "perturb": ("perturb",),
    "direction": ("direction",),
    "circuit": ("circuit",),
    "features": ("localize", "lesion"),
}
"""Whose runs are counted, and the instruments that decide in them."""
BOTH = "causal and specific"
DRAWS = 40
States = dict[str, str]
"""Of each rung."""


@dataclass(frozen=True, slots=True)
class RunCase:
    """Runs of a kind, and which of their rungs would be false."""

    name: str
    states: Callable[[Rng, Path], States]
    """Of a generator and an empty folder: what a run there found."""
    false: tuple[str, ...]


def executed(study: Any, lm: LM, path: Path) -> States:
    """The states that a run of a study has in its directory."""
    done = run(study, lm, path)
    return {rung["name"]: rung["state"] for rung in open_run(done.path).verdict["rungs"]}


def once(made: Callable[[Rng, Path], tuple[Any, LM]]) -> Callable[[Rng, Path], States]:
    """One run of what is made: a study, and the model."""

    def states(rng: Rng, folder: Path) -> States:
        return executed(*made(rng, folder), folder / "run")

    return states


def verdict(instrument: str, case: RunCase, k: int) -> States:
    """The states of the k-th run of a kind."""
    with TemporaryDirectory() as folder:
        return case.states(generator(f"{instrument} {case.name}", k), Path(folder))


def _state(verdict: Mapping[str, str], rung: str) -> str:
    """Of a rung, or of both of the place in one word."""
    if rung != BOTH:
        return verdict.get(rung, "not tested")
    both = {verdict.get(name, "not tested") for name in ("causal", "specific")}
    return "passed" if both == {"passed"} else next(s for s in ("failed", "undecided", "not tested") if s in both)


def cases_of(instrument: str) -> Sequence[RunCase]:
    """Its kinds of runs."""
    return import_module(f"certificate.null_runs.{instrument}").CASES


def rows(kept: Kept, instrument: str, n: int) -> list[Row]:
    """Each rung that would be false, by kind; and of all kinds, of which `n` or more could claim the place."""
    found: list[Row] = []
    pooled: dict[str, list[str]] = {}
    cases = cases_of(instrument)
    each = -(-n // sum(BOTH in case.false for case in cases))
    for case in cases:
        verdicts = kept(f"run {instrument} {case.name}", each, lambda k, case=case: verdict(instrument, case, k))
        for rung in case.false:
            states = [_state(one, rung) for one in verdicts]
            found.append(share("run", f"{instrument}, {case.name}", states, claim=rung, bound=NOMINAL))
            pooled.setdefault(rung, []).extend(states)
    return found + [
        share("run", f"{instrument}, all of these", states, claim=rung, bound=NOMINAL)
        for rung, states in pooled.items()
    ]


def together(found: Sequence[Row]) -> Row:
    """All runs of all instruments."""
    own = [row for row in found if row.part == "run" and row.what.endswith(", all of these") and row.claim == BOTH]
    states = [state for row in own for state, count in row.states.items() for _ in range(count)]
    return share("run", "all runs together", states, claim=BOTH, bound=NOMINAL, strict=True)
