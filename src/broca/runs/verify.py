"""Whether what is kept is what was written: runs, captures, stores of answers, masks of units and weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from broca.errors import BrocaError, RunError
from broca.runs.opening import unfinished_error
from broca.runs.reading import LOG, MANIFEST, Run
from broca.runs.shards import is_capture, open_raw
from broca.runs.store import TABLES
from broca.scoring.answer_store import AnswerStore
from broca.storage import inside, legible
from broca.units import UnitMask
from broca.units.weights import WeightSet

_SQLITE = b"SQLite format 3\0"


class FileCheck(NamedTuple):
    """One thing that was looked at."""

    path: Path
    kind: str
    """``run``, ``capture``, ``answers`` or ``mask``."""
    files: int
    """How many files were read."""
    wrong: tuple[str, ...]
    """A sentence for each file that is not what was written."""


def verify(path: str | Path) -> Iterator[FileCheck]:
    """Look at a run, a folder of runs, a capture, a store of answers or a mask.

    Raises:
        RunError: if it is none of these.
    """
    path = Path(path)
    if path.is_dir() and is_capture(path):
        yield _capture(path)
    elif (path / MANIFEST).is_file():
        yield _run(path)
    elif path.is_dir():
        places = [place for place in sorted(path.iterdir()) if (place / MANIFEST).is_file()]
        if not places:
            raise RunError(f"{path} holds no run. {_WANTED}")
        for place in places:
            yield from verify(place)
    elif path.is_file():
        yield _file(path)
    else:
        raise RunError(f"{legible(path)} does not exist. {_WANTED}")


_WANTED = "Give a run, a folder of runs, a capture, a store of answers (--cache) or a mask file."


def _run(path: Path) -> FileCheck:
    run = Run(path, unverified=True)
    try:
        names = [*run.manifest["files"]]
        if run.manifest.get("status") == "partial":
            return FileCheck(path, "run", 1, (str(unfinished_error(path)),))
    except BrocaError as error:
        return FileCheck(path, "run", 1, (str(error),))
    for name in names:
        try:
            run.file(name)
        except BrocaError as error:
            run.doubts.setdefault(name, str(error))
    for table in sorted((path / TABLES).glob("*")):
        if f"{TABLES}/{table.name}" not in names:
            run.doubts[table.name] = f"{table} is no file of this run. Delete it."
    try:
        inside(path, LOG)
    except BrocaError as error:
        run.doubts[LOG] = str(error)
    return FileCheck(path, "run", 1 + len(names), tuple(run.doubts.values()))


def _capture(path: Path) -> FileCheck:
    wrong: list[str] = []
    count = 1
    try:
        capture = open_raw(path)
        for error in capture.find_damage():
            count += 1
            if error:
                wrong.append(error)
    except BrocaError as error:
        wrong.append(str(error))
    return FileCheck(path, "capture", count, tuple(wrong))


def _file(path: Path) -> FileCheck:
    with path.open("rb") as file:
        start = file.read(len(_SQLITE))
    if start == _SQLITE:
        try:
            lost = AnswerStore(path).count_damage()
        except BrocaError as error:
            return FileCheck(path, "answers", 1, (str(error),))
        wrong = (f"{path}: {lost} answers are not what was written; they are computed again when they are asked for.",)
        return FileCheck(path, "answers", 1, wrong if lost else ())
    reasons = []
    for read in (UnitMask.load, WeightSet.load):
        try:
            read(path)
        except BrocaError as error:
            reasons.append(str(error))
        else:
            return FileCheck(path, "mask", 1, ())
    # The one that knows the file for its own says more than that it is not.
    told = next((reason for reason in reasons if "damaged" in reason or "fingerprint" in reason), "")
    return FileCheck(path, "mask", 1, (told or f"{path} is no mask that can be read: {reasons[0]} {_WANTED}",))
