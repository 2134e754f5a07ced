"""One process at a time: a lock file that names its holder, and outlives no holder."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from broca.errors import RunError
from broca.runs.files import writing

_GRACE = 10.0
"""Seconds after which a lock without a holder's name (its writer died while writing it) is taken for dead."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` during the body.

    Raises:
        RunError: if a living process, or one on another machine, holds it, or the file cannot be written.
    """
    me = _identity(os.getpid())
    with writing(path):
        if not _take(path, me):
            _bury(path)
            if not _take(path, me):
                raise RunError(
                    f"{path} was just taken by another process, which works on this run. Wait until it ends."
                )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Whether a process that lives, or may live, holds a lock file."""
    try:
        _refuse_if_alive(path)
    except RunError:
        return True
    return False


def _take(path: Path, me: dict[str, Any]) -> bool:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(me, file)
    except OSError:
        # Without its holder's name it would keep others out for a while.
        path.unlink(missing_ok=True)
        raise
    return True


def _bury(path: Path) -> None:
    """Remove a dead holder's lock.

    It is renamed before it is looked at a second time: of two that find the same dead lock, one gets it.
    """
    _refuse_if_alive(path)
    grave = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.rename(grave)
    except FileNotFoundError:
        return
    try:
        _refuse_if_alive(grave)
    except RunError:
        with contextlib.suppress(FileExistsError):
            os.link(grave, path)
        raise
    finally:
        grave.unlink()


def _refuse_if_alive(path: Path) -> None:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        pid, host = int(holder["pid"]), str(holder["host"])
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        if time.time() - path.stat().st_mtime > _GRACE:
            return
        raise RunError(f"{path} is being taken by another process. Wait until it ends.") from None
    if host != platform.node():
        raise RunError(
            f"Process {pid} on {host} works on this run, as far as can be seen from here. Wait until it ends, or delete "
            f"{path} if it is no more."
        )
    if _alive(pid) and holder == _identity(pid):
        raise RunError(f"Process {pid} works on this run. Wait until it ends, or choose another path.")


def _identity(pid: int) -> dict[str, Any]:
    return {"pid": pid, "host": platform.node(), "born": _born(pid)}


def _alive(pid: int) -> bool:
    if os.name == "nt":  # os.kill(pid, 0) would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _born(pid: int) -> str | None:
    """When a process began, in ticks since boot: tells it from a later one with the same number. Linux only."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
