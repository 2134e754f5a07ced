"""A finished run, read back: each file when it is first asked for, and checked against the manifest. The one door to a run's files.

`broca.runs.opening` finds and opens one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl

from broca.errors import RunError
from broca.evidence.verdict import fragment
from broca.instruments import COMMANDS
from broca.instruments.parts import blocks_by_name, tables_by_name
from broca.page.lookup import chart_named, table_named
from broca.registry import unknown
from broca.runs import store
from broca.runs.formats import canonical, json_to_bytes, plain
from broca.runs.journal import read_events
from broca.runs.manifest import SCHEMA, Begun, FinishedManifest, check, read_manifest
from broca.runs.migration import result_of_today, study_of_today, table_of_today
from broca.runs.spec import Study, parse_spec
from broca.sites import Site
from broca.storage import digest, inside, read
from broca.units import UnitMask, WeightSet

if TYPE_CHECKING:
    import altair as alt

R = TypeVar("R")

_CHANGED = "its content is not what was written"

_log = logging.getLogger(__name__)

MANIFEST, SPEC, LOG = "manifest.json", "spec.toml", "log.jsonl"


class Tables(Mapping[str, pl.DataFrame]):
    """The tables of a run, each read when it is first asked for."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._read: dict[str, pl.DataFrame] = {}
        prefix, suffix = f"{store.TABLES}/", ".parquet"
        self._names = tuple(
            name[len(prefix) : -len(suffix)] for name in run.manifest["files"] if name.startswith(prefix)
        )

    def __getitem__(self, name: str) -> pl.DataFrame:
        if name not in self._names:
            raise unknown("table", name, self._names)
        if name not in self._read:
            file = f"{store.TABLES}/{name}.parquet"
            table = store.parse_table(self._run.file(file), self._run.path / file)
            self._read[name] = table_of_today(str(self._run.manifest.get("kind")), name, table)
        return self._read[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self._names else default

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"Tables({', '.join(self._names)})"


@dataclass(frozen=True)
class Run:
    """A finished run. Open one with `open_run`, or get one from `run`.

    Every property raises RunError if its file is missing or is not what was written.
    """

    path: Path
    unverified: bool = field(default=False, compare=False)
    """Whether what does not match its checksum is given out all the same; `doubts` says what that was."""
    doubts: dict[str, str] = field(default_factory=dict, compare=False)
    """What was found wrong, by file: filled as files are read."""

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Status, hashes, versions, device, seconds, memory, guards and warnings."""
        place = self.path / MANIFEST
        told: dict[str, Any] = {}
        try:
            told, wrong = read_manifest(read(inside(self.path, MANIFEST)), place)
            check(told, Begun if told.get("status") == "partial" else FinishedManifest, place)
        except RunError as error:
            if not self.unverified or not told:
                raise
            wrong, told = str(error), {"schema": SCHEMA, "files": {}}
        if wrong:
            self._doubt(MANIFEST, store.corrupt(place, wrong))
        return told

    @cached_property
    def spec(self) -> dict[str, Any]:
        """``{"study": {...}, "model": {...}}``, as `broca run spec.toml` would read it."""
        document = parse_spec(self.file(SPEC), self.path / SPEC)
        return {**document, "study": study_of_today(document["study"])}

    @cached_property
    def result(self) -> dict[str, Any]:
        """What ``result.json`` says: claim, estimate, verdict, guards."""
        return result_of_today(store.parse_json(self.file(store.RESULT), self.path / store.RESULT))

    @cached_property
    def tables(self) -> Tables:
        """The tables by name, each read when asked for."""
        return Tables(self)

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        """Every array by ``<field>/<site or key>``; masks as uint8."""
        return self._arrays[0]

    @property
    def verdict(self) -> dict[str, Any] | None:
        """The verdict ladder; None for a study that gives none."""
        return self.result.get("verdict")

    def frame(self, name: str | None = None) -> pl.DataFrame:
        """A table of the run, by name; without one the first that its instrument declares.

        Raises:
            UnknownName: if there is no such table; it names those that there are.
        """
        return table_named(self.tables, tables_by_name(str(self.manifest.get("kind", ""))), name)

    def plot(self, name: str | None = None) -> alt.LayerChart:
        """A chart of the run's report, by name; without one the first.

        Raises:
            UnknownName: if there is no such chart; it names those that there are.
        """
        record = import_module("broca.runs.record").record_of(self)
        return chart_named(blocks_by_name(record.instrument)(record), name)

    @property
    def log(self) -> list[dict[str, Any]]:
        """What happened, one event each, oldest first."""
        try:
            events, lost = read_events(read(inside(self.path, LOG)))
        except RunError as error:
            _log.warning("%s", error)
            return []
        if lost:
            _log.warning("%s: %d lines are no events and are left out.", self.path / LOG, lost)
        return events

    def at(self, field: str) -> dict[Site, np.ndarray]:
        """The arrays of one field by site, such as ``run.at("t")``.

        Raises:
            UnknownName: if the run has no such field, or not by site.
        """
        shapes = self._arrays[1]
        known = tuple(name for name, shape in shapes.items() if shape == "sites" or isinstance(shape, dict))
        if field not in known:
            raise unknown("map of sites", field, known)
        start = len(field) + 1
        return {Site.parse(key[start:]): a for key, a in self.tensors.items() if key.startswith(f"{field}/")}

    def units(self, field: str = "selected") -> UnitMask:
        """A mask of units of the result: ready to be lesioned again.

        Raises:
            UnknownName: if the run has no such mask.
        """
        if field not in self.masks:
            raise unknown("mask", field, self.masks)
        return store.as_mask(self.at(field), self._arrays[1][field])

    @property
    def selection(self) -> UnitMask | WeightSet:
        """What the run selected, units, heads or weights: the field that its instrument declares for it.

        Raises:
            RunError: if it selected nothing, or its instrument is not installed.
        """
        kind = self.manifest["kind"]
        if kind not in COMMANDS:
            raise RunError(
                f"{self.path} is a run of {kind}, which is not installed. Install the package that it is of."
            )
        field = COMMANDS[kind].selection
        if field in self.masks:
            return self.units(field)
        if (file := f"{field}.safetensors") in self.manifest["files"]:
            return WeightSet.from_bytes(self.file(file), str(self.path / file))
        raise RunError(
            f"{self.path} selected nothing: it has no {field}. Give a run that did; its report says what came of it."
        )

    @property
    def masks(self) -> tuple[str, ...]:
        """The fields of the result that are masks of units."""
        return tuple(name for name, shape in self._arrays[1].items() if isinstance(shape, dict))

    def restore(self, kind: type[R]) -> R:
        """The study's result as the dataclass it was, such as ``run.restore(Localization)``.

        Raises:
            RunError: if the run holds another class's result.
        """
        content = {name: self.file(name) for name in self.manifest["files"] if name != SPEC}
        if store.RESULT in content:
            content[store.RESULT] = json_to_bytes(self.result)
        instrument = str(self.manifest.get("kind"))
        return store.restore(content, kind, self.path, table_of=partial(table_of_today, instrument))

    def made_by(self, lm: Any) -> bool:
        """Whether this model made it, as it stands."""
        return canonical(self.manifest["model"].get("identity")) == canonical(plain(dict(lm.identity)))

    def made_on(self, study: Study, lm: Any) -> bool:
        """Whether it was made by this model, and of the data that a study has now; by whatever version."""
        data = dict(getattr(study, "data_fingerprints", dict)())
        there = {name: value for name, value in self.manifest["data"].items() if name in data}
        return self.made_by(lm) and there == data

    def file(self, name: str) -> bytes:
        """The content of one of the run's own files.

        Raises:
            RunError: if it is missing, or not what the manifest says was written.
        """
        content = read(inside(self.path, name))
        written = self.manifest.get("files", {}).get(name)
        if written is None:
            self._doubt(name, store.corrupt(self.path / name, "the manifest does not list it"))
        elif digest(content) != written["sha256"]:
            self._doubt(name, store.corrupt(self.path / name, _CHANGED))
        return content

    def _doubt(self, name: str, error: RunError) -> None:
        if not self.unverified:
            raise error
        self.doubts[name] = str(error)

    @cached_property
    def _arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return store.parse_tensors(self.file(store.TENSORS), self.path / store.TENSORS)

    def __repr__(self) -> str:
        sentence = (self.verdict or {}).get("sentence")
        return f"Run({str(self.path)!r}{f': {sentence}' if sentence else ''})"

    def _repr_html_(self) -> str:
        """The claim and the ladder, for a notebook."""
        verdict = self.verdict or {}
        claim = self.result.get("claim") or self.manifest.get("kind", "")
        return fragment(claim, verdict.get("rungs", ()), verdict.get("sentence") or "")
