"""The memory of a run: one file for each expensive cell, whole or absent.

A cell's file is named by the hash of its key and the hash of its content; both are checked when it is read. What does
not match (a torn write, a flipped bit) is thrown away and computed again, and the log says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from broca.cache.cache import Json, Part
from broca.errors import RunError
from broca.runs.formats import arrays_from_bytes, arrays_to_bytes, canonical, table_from_bytes, table_to_bytes
from broca.storage import TEMPORARY, digest, sweep, write, writing

_DRAFT = ".draft-"

_log = logging.getLogger(__name__)

_READERS: dict[str, Callable[[bytes], tuple[Part, Any]]] = {
    ".parquet": table_from_bytes,
    ".safetensors": arrays_from_bytes,
}

Note = Callable[..., None]
"""Called with an event's name and its fields."""


def _quiet(event: str, **fields: Json) -> None:
    pass


class Cells:
    """A `broca.cache.cache.Cache` that keeps what it computes as files in one folder.

    A computed cell is handed out as it would be read back, so a resumed study sees exactly what an uninterrupted one
    sees.

    Args:
        path: the folder; made if absent.
        note: told of each cell: ``note("cell", state="computed"|"reused"|"discarded", key=..., seconds=...)``.

    Raises:
        RunError: if the folder cannot be written.
    """

    def __init__(self, path: Path, *, note: Note = _quiet) -> None:
        self.path = path
        self._note = note
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            sweep(path, alone=True)
            files = [file for file in sorted(path.iterdir()) if not file.name.startswith((_DRAFT, TEMPORARY))]
            self._known = {file.name.partition("-")[0]: file for file in files}

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"Cells({str(self.path)!r}: {len(self)})"

    def __call__(self, key: Mapping[str, Json], compute: Callable[[], Part], /) -> Part:
        """The cell of `key`, read if it is there and whole, else computed and kept.

        Raises:
            RunError: if the key is not JSON, or the value cannot be stored.
        """
        text = _text(key)
        name = digest(text.encode())
        started = time.perf_counter()
        if name in self._known:
            part = self._recall(self._known[name], key, text)
            if part is not None:
                self._note("cell", state="reused", key=key)
                return part
        part = compute()
        suffix, content = _content(key, text, part)
        file = self.path / f"{name}-{digest(content)[:16]}{suffix}"
        write(file, content)
        self._known[name] = file
        self._note("cell", state="computed", key=key, seconds=round(time.perf_counter() - started, 4))
        return _READERS[suffix](content)[0]

    def draft(self, key: Mapping[str, Json]) -> DraftFile:
        """Where the unfinished value of `key` is left: a file beside the cells, which is no cell."""
        text = _text(key)
        return DraftFile(self.path / f"{_DRAFT}{digest(text.encode())}.safetensors", text)

    def _recall(self, file: Path, key: Mapping[str, Json], text: str) -> Part | None:
        """What `file` holds; None, and no file, if it is not whole or not of this key."""
        try:
            content = file.read_bytes()
            if file.stem.partition("-")[2] == digest(content)[:16]:
                part, header = _READERS[file.suffix](content)
                if header == text:
                    return part
            reason = "its content does not match its name"
        except (OSError, RunError, KeyError) as error:
            reason = str(error)
        _log.warning("cell %s is corrupt and will be computed again: %s", file.name, reason)
        self._note("cell", state="discarded", key=key, reason=reason)
        with writing(file):
            file.unlink(missing_ok=True)
        del self._known[file.name.partition("-")[0]]
        return None


@dataclass(frozen=True)
class DraftFile:
    """Unfinished work as one file."""

    file: Path
    key: str

    def load(self) -> Mapping[str, np.ndarray] | None:
        """What was left; None where there is nothing, or it is torn."""
        try:
            content = self.file.read_bytes()
            arrays, header = arrays_from_bytes(content[32:])
        except (OSError, RunError):
            return None
        return arrays if header == self.key and content[:32] == bytes.fromhex(digest(content[32:])) else None

    def save(self, arrays: Mapping[str, np.ndarray], /) -> None:
        """Leave these instead of what was left before.

        Raises:
            RunError: if the disk refuses.
        """
        content = arrays_to_bytes(arrays, self.key)
        write(self.file, bytes.fromhex(digest(content)) + content)

    def drop(self) -> None:
        """Leave nothing."""
        with writing(self.file):
            self.file.unlink(missing_ok=True)


def _text(key: Mapping[str, Json]) -> str:
    try:
        return canonical(key)
    except (TypeError, ValueError) as error:
        raise RunError(
            f"A cell's key must be JSON, and {dict(key)!r} is not: {error}. Use strings, numbers, lists and mappings."
        ) from error


def _content(key: Mapping[str, Json], text: str, part: Part) -> tuple[str, bytes]:
    try:
        if isinstance(part, pl.DataFrame):
            return ".parquet", table_to_bytes(part, text)
        return ".safetensors", arrays_to_bytes(part, text)
    except (RunError, AttributeError) as error:
        raise RunError(
            f"Cell {dict(key)!r} cannot be kept: {error} A cell is a table or a mapping of names to arrays."
        ) from error
