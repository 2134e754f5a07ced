"""Names of what is unfinished, and whose they are: what a writer that is no more has left is taken away."""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path

from broca.storage.digests import digest

TEMPORARY = ".tmp-"
"""What the names of unfinished files and folders begin with."""


_NAME = re.compile(rf"{re.escape(TEMPORARY)}(?:(?P<host>[0-9a-f]{{6}})-)?(?P<pid>\d+)-(?P<target>[0-9a-f]{{12}})")
"""Those of earlier versions named no host."""


def sweep(folder: Path, *, only: Path | None = None, alone: bool = False) -> list[Path]:
    """Take away what writers that are no more have left unfinished in a folder, and name it.

    Args:
        folder: where.
        only: what was to become this file or folder alone; all of it when None.
        alone: nobody else writes there, since we hold its lock: also what cannot be told from here to be dead.
    """
    gone = []
    for place in folder.glob(f"{TEMPORARY}*"):
        found = _NAME.fullmatch(place.name)
        if found is None or not (alone or (found["host"] == _host() and not _alive(int(found["pid"])))):
            continue
        if only is None or found["target"] == _target(only):
            remove(place)
            gone.append(place)
    return gone


def temporary_of(path: Path) -> Path:
    """The name under which `path` is written by this process."""
    return path.with_name(f"{TEMPORARY}{_host()}-{os.getpid()}-{_target(path)}")


def _target(path: Path) -> str:
    return digest(path.name.encode(errors="surrogateescape"))[:12]


def _host() -> str:
    return digest(platform.node().encode())[:6]


def _alive(pid: int) -> bool:
    if os.name == "nt":  # os.kill(pid, 0) would end the process there
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return not _reaped_not(pid)


def _reaped_not(pid: int) -> bool:
    """Whether a process is dead and only its number is left, since nobody has asked how it ended. Linux only."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def remove(place: Path) -> None:
    """Take away a file, a link or a folder, if it is there."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)
