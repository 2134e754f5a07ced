"""One process at a time: a lock that the system itself takes away from a holder that dies."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from broca.errors import RunError
from broca.storage.files import writing


@contextlib.contextmanager
def hold_lock(path: Path, *, seconds: float = 0.0, what: str = "this run") -> Iterator[None]:
    """Hold the lock file `path` during the body; it is gone afterwards.

    A dead holder, also one that nobody has reaped, holds nothing.

    Args:
        path: the lock file.
        seconds: to wait for another process that holds it.
        what: is worked on, for the error.

    Raises:
        RunError: if another process holds it, naming it and its host; or the file cannot be written.
    """
    lock = FileLock(path, timeout=seconds, thread_local=False)
    with writing(path):
        try:
            lock.acquire()
        except Timeout:
            raise RunError(f"{_holder(path)} works on {what}. Wait until it ends, or choose another path.") from None
        # Beside what the system holds: for people, and for the message above.
        path.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}), encoding="utf-8")
    try:
        yield
    finally:
        # While it is held: one that waits on a file without a name takes a new one.
        path.unlink(missing_ok=True)
        lock.release(force=True)


def is_locked(path: Path) -> bool:
    """Whether a process that lives holds a lock file. One that nobody holds stays as it is."""
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    except (OSError, NotImplementedError):  # a place that one may not write to, or a file system without locks
        return False
    lock.release(force=True)
    return False


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text(encoding="utf-8", errors="replace")[:1000])
        return f"Process {int(told['pid'])} on {str(told['host'])[:100]}"
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "Another process"
