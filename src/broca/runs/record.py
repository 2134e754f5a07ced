"""A run directory as it was left on disk, read once through its door and checked against what its instrument declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from broca.errors import RunError, SiteUnavailable
from broca.instruments.parts import tables_by_name
from broca.page.record import Record
from broca.runs.manifest import SCHEMA
from broca.runs.opening import open_silently
from broca.runs.reading import SPEC, Run
from broca.runs.store import RESULT, TABLES, TENSORS
from broca.sites import Site
from broca.specs.schema import Schema

V = TypeVar("V")


def read_record(path: Path, *, trust: bool = True) -> Record:
    """Read a run directory, also what does not match its checksum: `Record.doubts` says what that is.

    Args:
        path: the directory.
        trust: whether to take results and settings that do not match their checksum; when False they are left out. Tables and
            arrays that do not match theirs are left out in any case.

    Raises:
        RunError: if `path` is no finished run, or one of its files is not of the shape a run has; the message names the file
            and says what to do.
    """
    return record_of(open_silently(path, unverified=True), trust=trust)


def record_of(run: Run, *, trust: bool = True) -> Record:
    """What an open run holds; see `read_record`."""
    doubts = run.doubts
    manifest = run.manifest if trust or not doubts else {"schema": SCHEMA, "files": run.manifest["files"]}
    result = _content(run, RESULT, lambda: run.result, {}, trust=trust)
    spec = _content(
        run, SPEC, lambda: run.spec, {"study": {"kind": manifest.get("kind", "")}, "model": {}}, trust=trust
    )
    tables = Tables(run, tables_by_name(str(spec["study"].get("kind", ""))))
    arrays = _content(run, TENSORS, lambda: _arrays(run.tensors, run.path / TENSORS), {}, trust=False)
    return Record(run.path, manifest, spec["study"], spec["model"], result, tables, arrays, doubts)


def _content(run: Run, name: str, read: Callable[[], V], otherwise: V, *, trust: bool) -> V:
    """What a file holds; something else where it is doubted, and not to be trusted or not to be read."""
    if name not in run.manifest["files"] and not (run.path / name).exists():
        return otherwise
    try:
        run.file(name)
        found = read() if trust or name not in run.doubts else otherwise
    except RunError as error:
        if name not in run.doubts and (run.path / name).is_file() and not (run.path / name).is_symlink():
            raise
        run.doubts.setdefault(name, str(error))
        return otherwise
    return found


class Tables(Mapping[str, pl.DataFrame]):
    """The tables of a run that have a row, each read and checked when it is first asked for."""

    def __init__(self, run: Run, schemas: Mapping[str, Schema]) -> None:
        self._run, self._schemas = run, schemas
        self._read: dict[str, pl.DataFrame | None] = {}

    def __getitem__(self, name: str) -> pl.DataFrame:
        if name not in self._read:
            self._read[name] = _table(self._run, name, self._schemas.get(name)) if name in self._run.tables else None
        table = self._read[name]
        if table is None:
            raise KeyError(name)
        return table

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._run.tables if name in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _table(run: Run, name: str, schema: Schema | None) -> pl.DataFrame | None:
    relative = f"{TABLES}/{name}.parquet"
    empty = pl.DataFrame()
    table = _content(run, relative, lambda: run.tables[name], empty, trust=False)
    if table is empty:
        return None
    table = schema.read(table, run.path / relative, _AGAIN) if schema and table.height else table
    return table if table.height else None


def _arrays(stored: Mapping[str, np.ndarray], path: Path) -> dict[str, dict[Site, np.ndarray]]:
    fields: dict[str, dict[Site, np.ndarray]] = {}
    for key, array in stored.items():
        name, _, place = key.partition("/")
        try:
            fields.setdefault(name, {})[Site.parse(place)] = np.ravel(array)
        except SiteUnavailable:
            continue  # a tensor that is kept by another key than a site is not drawn
    for name, at in fields.items():
        for site, array in at.items():
            if name in _LIKE_T and len(array) != len(fields.get("t", {}).get(site, array)):
                raise RunError(f"{path}: {name}/{site} has {len(array)} entries and t/{site} another number. {_AGAIN}")
    return {name: dict(sorted(at.items())) for name, at in fields.items()}


_LIKE_T = ("p", "q", "d", "selected")
"""Fields that have one entry for each entry of t."""

_AGAIN = "The file is damaged or from another version: run the spec again under another path."
