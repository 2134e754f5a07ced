"""CSV and its relatives: records with the line of each, whatever divides their fields and however long these are."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from broca.errors import StimulusError
from broca.stimuli.encodings import read_text

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_NAMED = re.compile(r"sep=([,;|\t])\r?\n")
"""The first line of a file, if Excel wrote there what divides the others."""
_LONGEST = 2**31 - 1
"""Characters of a cell, for the csv module."""
_one_at_a_time = Lock()


def read_delimited(path: Path, usual: str) -> tuple[tuple[str, ...], list[tuple[int, list[str]]]]:
    """The header, and each further record with the line that it begins on.

    Args:
        path: the file.
        usual: what divides its fields, unless something else divides the header into more.

    Raises:
        StimulusError: The file is missing, empty, malformed or not UTF-8, or a record has more or fewer fields than the header.
    """
    text = read_text(path)
    named = _NAMED.match(text)
    if not text[named.end() if named else 0 :].strip():
        raise StimulusError(f"{path.name} is empty. Give a header and at least one row.")
    delimiter = named[1] if named else _delimiter(text, usual)
    with _any_length():
        header, *rows = [*_records(path, text, delimiter)][1 if named else 0 :]
    names = [name.strip() for name in header[1]]
    while len(names) > 1 and not names[-1]:  # a delimiter at the end of each line divides nothing
        names.pop()
    return tuple(names), [(line, _fields(path, line, record, len(names), delimiter)) for line, record in rows]


def _delimiter(text: str, usual: str) -> str:
    """What divides the header into most columns; the usual one of that ending, where others divide it into no more."""

    def columns(delimiter: str) -> int:
        try:
            with _any_length():
                rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
                return sum(bool(name.strip()) for name in next((row for row in rows if row), []))
        except csv.Error:
            return 0

    return max((usual, *_DELIMITERS), key=columns)


@contextmanager
def _any_length() -> Iterator[None]:
    """The csv module without its limit to the length of a cell, which is everybody's."""
    with _one_at_a_time:
        before = csv.field_size_limit(_LONGEST)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _records(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Records with the line each begins on; blank lines are no records."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    try:
        for record in reader:
            if record:
                yield start, record
            start = reader.line_num + 1
    except csv.Error as error:
        raise StimulusError(
            f"{path.name}, line {start}: malformed ({error}). Quote fields that hold a delimiter, a line end or quotes."
        ) from error


def _fields(path: Path, line: int, record: list[str], n: int, delimiter: str) -> list[str]:
    """The fields of a record, of which there must be as many as the header has; empty ones behind these are none."""
    if len(record) < n or any(cell.strip() for cell in record[n:]):
        raise StimulusError(
            f"{path.name}, line {line}: {len(record)} fields, and the header has {n}, divided by {_DELIMITERS[delimiter]}. "
            "Quote fields that hold a delimiter."
        )
    return record[:n]
