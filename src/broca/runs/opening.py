"""The run at a path: found, seen to be finished and whole, and opened; or what to do where there is none."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broca import __version__
from broca.errors import RunError
from broca.runs import store
from broca.runs.reading import MANIFEST, SPEC, Run
from broca.runs.spec import read_spec
from broca.storage import inside, legible

_log = logging.getLogger(__name__)

_LONGEST = 240
"""Characters of a name to which something can be added."""


def partial_of(path: Path) -> Path:
    """The hidden sibling in which the run `path` is worked on until it is whole."""
    return path.with_name(f".{path.name}.partial")


def open_run(path: str | Path, *, unverified: bool = False) -> Run:
    """Open a finished run; the log warns where another version of broca made it.

    Args:
        path: its directory.
        unverified: give out also what does not match its checksum, and list it in `Run.doubts`, instead of raising an error.

    Raises:
        RunError: if there is none at `path`, it is unfinished, or one of its files is missing, changed, or a link.
    """
    run = open_silently(Path(path), unverified=unverified)
    if note := version_note(run.path, run.manifest):
        _log.warning("%s", note)
    return run


def version_note(path: Path, manifest: Mapping[str, Any]) -> str:
    """That a run was made by another version of broca than this one, and what to do; nothing where it was not."""
    made = manifest.get("broca")
    if not made or made == __version__:
        return (
            ""
            if manifest.get("schema", 1) > 1
            else f"{path} was made before manifests had a checksum: a change of its manifest cannot be seen."
        )
    return (
        f"{path} was made by broca {made}, and this is broca {__version__}: its numbers are those of {made}, and nothing is computed "
        "anew. To have it computed by this version, run its spec into another folder, or delete it first."
    )


def open_silently(path: Path, *, unverified: bool = False) -> Run:
    """As `open_run`, without a word about versions.

    Raises:
        RunError: as `open_run`.
    """
    if not os.path.exists(path):  # noqa: PTH110 - unlike Path.exists, never raises on an overlong name
        if len(path.name) < _LONGEST and partial_of(path).exists():
            raise unfinished_error(path)
        raise RunError(
            f"{legible(path)} does not exist. Give the directory of a run; broca.list_runs lists those of a folder."
        )
    if not path.is_dir() or not (path / MANIFEST).exists():
        raise RunError(f"{path} is not a run: it has no {MANIFEST}. Give the directory that holds {MANIFEST}.")
    run = Run(path, unverified)
    if run.manifest.get("status") == "partial":
        raise unfinished_error(path)
    if not unverified:
        check_sizes(run)
    return run


def check_sizes(run: Run) -> None:
    """See that each file of a run is there, no link, and as large as it was written.

    Raises:
        RunError: naming the first that is not.
    """
    for name, written in run.manifest["files"].items():
        file = inside(run.path, name)
        if not file.is_file():
            raise RunError(f"{file} is missing, so this run is incomplete. Delete {run.path} and run its spec again.")
        if (size := file.stat().st_size) != written["bytes"]:
            raise store.corrupt(file, f"it has {size} bytes instead of {written['bytes']}")


def spec_of(path: Path) -> dict[str, Any]:
    """The spec that a file holds, or the run at a path, finished or not: a run's own is checked against its manifest.

    Raises:
        RunError: if it cannot be read, or is a run's and was changed.
    """
    folder = path if os.path.isdir(path) else path.parent  # noqa: PTH112 - unlike Path.is_dir, never raises on an overlong name
    if (folder == path or path.name == SPEC) and (folder / MANIFEST).is_file():
        return Run(folder).spec
    return read_spec(path / SPEC if folder == path else path)


def run_around(path: Path) -> Path | None:
    """The run that a path lies in, or is; None where it lies in none."""
    place = path.resolve()
    return next((each for each in (place, *place.parents) if (each / MANIFEST).is_file()), None)


def unfinished_error(path: Path) -> RunError:
    """The error for a run that was stopped before its end."""
    return RunError(f"{path} is not finished. Run the same spec to the same path again: it resumes where it stopped.")
