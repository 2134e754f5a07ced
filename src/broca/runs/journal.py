"""What happened during a run, one JSON line an event: ``log.jsonl``."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broca.runs.formats import plain
from broca.runs.manifest import Event
from broca.storage import read, writing
from broca.storage.secrets import without_secrets

OPENING = ("start", "resume")
"""Events that begin a session of work."""


class Journal:
    """Appends events to a log file; one that ends in a torn line (a killed writer) is mended first.

    Raises:
        RunError: if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with writing(path):
            if path.exists():
                whole = path.read_bytes().rpartition(b"\n")
                if whole[2]:
                    path.write_bytes(whole[0] + whole[1])

    def note(self, event: str, **fields: object) -> None:
        """Append one event with the present time."""
        line = json.dumps(without_secrets({"time": now(), "event": event, **plain(fields)}))
        with self._lock, writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def events(self) -> tuple[list[dict[str, Any]], int]:
        """Every event so far, oldest first, and how many lines of the file are none."""
        return read_events(read(self.path))


class Listener(logging.Handler):
    """Copies warnings of the "broca" loggers into a journal."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self.journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        self.journal.note("warning", text=record.getMessage())
        # Where nobody set up logging, warnings go to stderr; that we listen must not silence them.
        alone = logging.getLogger("broca").handlers == [self] and not logging.getLogger().handlers
        if alone and logging.lastResort is not None:
            logging.lastResort.handle(record)


@contextlib.contextmanager
def listening(journal: Journal) -> Iterator[None]:
    """Copy broca's warnings into `journal` during the body."""
    listener = Listener(journal)
    logging.getLogger("broca").addHandler(listener)
    try:
        yield
    finally:
        logging.getLogger("broca").removeHandler(listener)


def read_events(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """The events of a log, oldest first, and how many lines are none and left out: a log is a log, and costs no result."""
    found, lost = [], 0
    for line in content.split(b"\n"):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            Event.model_validate(event)
            found.append(event)
        except (ValueError, RecursionError):
            lost += 1
    return found, lost


def seconds(events: Iterable[dict[str, Any]]) -> float:
    """Time worked: over the sessions, from each one's start to the last thing it noted."""
    total, began, last = 0.0, None, None
    for event in events:
        time = datetime.fromisoformat(event["time"])
        if event["event"] in OPENING:
            if began and last:
                total += (last - began).total_seconds()
            began = time
        last = time
    return round(total + ((last - began).total_seconds() if began and last else 0.0), 3)


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
