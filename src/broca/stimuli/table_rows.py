"""Rows of files of tables, as they stand there: each knows its line, entry or row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from broca.errors import StimulusError
from broca.stimuli.csv_files import read_delimited
from broca.stimuli.encodings import read_bytes, read_text
from broca.stimuli.json_values import is_lines, parse_json
from broca.storage.parquet import read_parquet

_LIST = re.compile(r"\s*\[\s*\{")


@dataclass(frozen=True, slots=True)
class Row:
    """One record and its place in the file, e.g. ``line 7``."""

    where: str
    cells: Mapping[str, object]


def delimited_rows(path: Path, usual: str) -> tuple[tuple[str, ...], Iterator[Row]]:
    """Columns and rows of a CSV or TSV file, each with its line."""
    names, records = read_delimited(path, usual)
    columns = _columns(path, names)
    return columns, (Row(f"line {line}", dict(zip(columns, record, strict=True))) for line, record in records)


def _columns(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise StimulusError(f"{path.name} has two columns named {name!r}. Rename one.")
    return names


def json_lines(path: Path) -> tuple[tuple[str, ...], Iterator[Row]]:
    """The same of JSONL, or of a list of objects under that name."""
    text = read_text(path)
    if _LIST.match(text):
        return json_list(path)
    lines = enumerate(text.split("\n"), start=1)
    return _objects(path, ((f"line {n}", parse_json(path, line, first=n)) for n, line in lines if line.strip()))


def json_list(path: Path) -> tuple[tuple[str, ...], Iterator[Row]]:
    """The same of a list of objects, or of JSONL under that name."""
    text = read_text(path)
    if is_lines(text):
        return json_lines(path)
    value = parse_json(path, text)
    if not isinstance(value, list):
        raise StimulusError(
            f"{path.name} holds a JSON {type(value).__name__}. Give a list of objects (of pandas: to_json(orient='records')), or JSONL."
        )
    return _objects(path, ((f"entry {n}", entry) for n, entry in enumerate(value, start=1)))


def _objects(path: Path, entries: Iterator[tuple[str, object]]) -> tuple[tuple[str, ...], Iterator[Row]]:
    rows: list[Row] = []
    for where, entry in entries:
        if not isinstance(entry, dict):
            raise StimulusError(
                f"{path.name}, {where}: a JSON {type(entry).__name__}. Give an object with named fields."
            )
        if rows and entry.keys() != rows[0].cells.keys():
            odd = sorted(entry.keys() ^ rows[0].cells.keys())
            raise StimulusError(
                f"{path.name}, {where}: the fields differ from those of {rows[0].where} in {', '.join(map(repr, odd))}. "
                "Give every object the same fields."
            )
        rows.append(Row(where, entry))
    return (tuple(rows[0].cells) if rows else ()), iter(rows)


def parquet_rows(path: Path) -> tuple[tuple[str, ...], Iterator[Row]]:
    """The same of Parquet."""
    frame, _ = read_parquet(read_bytes(path), name=path.name, error=StimulusError, plain=True)
    try:
        records = frame.to_dicts()
    except (ValueError, OverflowError) as error:  # a date that Python does not have
        raise StimulusError(f"{path.name} holds what is no value in Python: {error}.") from error
    return tuple(frame.columns), (Row(f"row {n}", record) for n, record in enumerate(records, start=1))
