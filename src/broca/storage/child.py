"""Work at arm's length: a process of its own that answers questions, and may die without taking its asker with it."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

_START = 120.0
"""Seconds for the process to start, on a busy machine."""


class ChildError(Exception):
    """The process did not answer. Whoever asks says what that means."""


class Child:
    """A Python process that takes a line of JSON and gives one, after it has said ``ready``.

    It is started when it is first asked, anew after it has died or was killed, and anew in a forked process.

    Args:
        module: run as ``python -m module``.
        seconds: that one answer may take.
    """

    def __init__(self, module: str, seconds: float) -> None:
        self.module, self.seconds = module, seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        atexit.register(self.close)

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """What it answers.

        Raises:
            ChildError: if it cannot be started, ends, or takes too long.
        """
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(question).encode() + b"\n")
                process.stdin.flush()
            line = _line(process, self.seconds)
            if line is not None:
                return json.loads(line)
            late = process.poll() is None and not _has_ended(process)
            self.close()
            raise ChildError(f"it takes more than {self.seconds:g} seconds" if late else "its process ended")

    def close(self) -> None:
        """End the process, if this one has started it."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.communicate()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self.close()
            self._process, self._owner = self._start(), os.getpid()
        return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONIOENCODING": "utf-8"}
        try:
            # In a session of its own: Ctrl-C is for the one who asks.
            process = subprocess.Popen(  # noqa: S603 - a module of ours
                [sys.executable, "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | paths,
                start_new_session=True,
            )
        except OSError as error:
            raise ChildError(f"its process could not be started: {error.strerror or error}") from error
        if _line(process, _START) != b"ready":
            process.kill()
            process.communicate()
            raise ChildError("its process could not be started")
        return process


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process that has closed its output is gone, or going."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0.2)
    return process.poll() is not None


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The next line of a process's output; None if it ends, or takes too long."""
    assert process.stdout is not None
    handle, got = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as ready:
        ready.register(handle, selectors.EVENT_READ)
        while not got.endswith(b"\n"):
            if not ready.select(seconds):
                return None
            part = os.read(handle, 1 << 20)
            if not part:
                return None
            got += part
    return got.rstrip(b"\n")
