"""The index of a folder of runs: what a listing says of each finished run, kept for as long as the run's files are as they were.

It is a cache. One that is missing, damaged or of another version of broca is made anew, and one that cannot be written costs nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from broca import __version__
from broca.errors import RunError
from broca.runs.formats import canonical
from broca.runs.manifest import Index, check, seal, seal_fits
from broca.runs.store import parse_json
from broca.storage import inside, read, write

INDEX = ".broca-index.json"


def read_index(folder: Path) -> dict[str, Any]:
    """What is known of the runs of a folder, by the names of their directories; nothing where no index is to be relied on."""
    place = folder / INDEX
    with contextlib.suppress(RunError):
        if place.is_file():
            told = parse_json(read(inside(folder, INDEX)), place)
            check(told, Index, place)
            if seal_fits(told) and told["broca"] == __version__:
                return told["runs"]
    return {}


def write_index(folder: Path, runs: dict[str, Any]) -> None:
    """Keep what is known of the runs of a folder, where one may write."""
    with contextlib.suppress(RunError):
        write(folder / INDEX, canonical(seal({"broca": __version__, "runs": runs})).encode())


def file_stamps(place: Path, names: Iterable[str]) -> dict[str, list[int]] | None:
    """The size and time of change of files of a run; None where one is missing."""
    found = {}
    try:
        for name in names:
            told = os.stat(f"{place}/{name}", follow_symlinks=False)  # noqa: PTH116 - thousands of them
            found[name] = [told.st_size, told.st_mtime_ns]
    except (OSError, ValueError):
        return None
    return found
