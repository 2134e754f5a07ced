"""Answers on disk, addressed by everything that they depend on: an intact model's are never a lesioned one's.

A SQLite file of hashes, JSON and a checksum of both, written as answers come, so that a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from broca.errors import RunError
from broca.items import fingerprint
from broca.storage import digest

_log = logging.getLogger(__name__)

_MISSING = object()


class AnswerStore:
    """Answers to lm-eval's requests, in a file.

    Args:
        path: The file; it is made where there is none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __call__(
        self,
        about: Sequence[object],
        requests: Sequence[Any],
        answer: Callable[[list[Any]], Sequence[Any]],
        *,
        chunk: int = 256,
    ) -> list[Any]:
        """The answer of each request: what is on record, and for the rest what `answer` says.

        Args:
            about: What answers depend on beside the request: weights, interventions in force, method.
            requests: With `args`, which JSON can say. Sampled ones are asked anew every time.
            answer: Called with some of the requests.
            chunk: How many are answered before they are put on record.

        Raises:
            RunError: The file is no such record, or cannot be written.
        """
        keys = [fingerprint([*about, list(request.args)]) for request in requests]
        damaged = 0
        with self._open() as store:
            found = []
            for request, key in zip(requests, keys, strict=True):
                value, whole = (_MISSING, True) if _is_sampled(request) else self._read(store, key)
                found.append(value)
                damaged += not whole
            if damaged:
                _log.warning(
                    "%d of %d answers kept in %s are damaged and are computed again", damaged, len(keys), self.path
                )
            missing = [i for i, value in enumerate(found) if value is _MISSING]
            for start in range(0, len(missing), chunk):
                own = missing[start : start + chunk]
                for i, value in zip(own, answer([requests[i] for i in own]), strict=True):
                    found[i] = value
                    if not _is_sampled(requests[i]):
                        text = json.dumps(value)
                        row = (keys[i], text, _sum(keys[i], text))
                        store.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", row)
                store.commit()
        return found

    def count_damage(self) -> int:
        """How many of the answers on record are not what was written.

        Raises:
            RunError: The file is no such record.
        """
        with self._open() as store:
            if (told := store.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(str(told))
            rows = store.execute("SELECT key, value, sum FROM kept")
            return sum(not (isinstance(value, str) and _sum(key, value) == kept) for key, value, kept in rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as store:
                store.execute(
                    "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value TEXT NOT NULL, sum TEXT NOT NULL)"
                )
                yield store
        except (sqlite3.Error, ValueError) as error:
            # What sqlite says of a damaged file may itself be no text.
            if isinstance(error, ValueError) and not isinstance(error, UnicodeError) and "null" not in str(error):
                raise
            raise RunError(
                f"Answers cannot be kept in {str(self.path)!r}: {error}. Give a file that may be written, or none; a damaged one may be "
                "deleted, and what it held is computed again."
            ) from error

    @staticmethod
    def _read(store: sqlite3.Connection, key: str) -> tuple[Any, bool]:
        """What is kept under a key, and whether it is whole; a value that is not counts as missing."""
        row = store.execute("SELECT value, sum FROM kept WHERE key = ?", (key,)).fetchone()
        if row is None:
            return _MISSING, True
        value, kept = row
        if not isinstance(value, str) or _sum(key, value) != kept:
            return _MISSING, False
        return json.loads(value), True


def _sum(key: str, value: str) -> str:
    return digest(f"{key} {value}".encode(errors="surrogatepass"))


def _is_sampled(request: Any) -> bool:
    return len(request.args) > 1 and isinstance(request.args[1], dict) and bool(request.args[1].get("do_sample"))
