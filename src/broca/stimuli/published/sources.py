"""Files of published benchmarks: their records, their checksums, and where they lie in a folder or on the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broca.errors import StimulusError
from broca.models.access import access
from broca.stimuli.encodings import read_bytes, read_text
from broca.stimuli.json_values import is_lines, parse_json
from broca.stimuli.tables import Row, Table, read_table
from broca.storage.secrets import hide_secrets

KNOWN = {
    "7cfbd1b4ed86034a": "ToMi, version of Sap et al. (2022), 1861 rows",
    "4e2592124096ee46": "MATH as four-way choice, test set, 4914 rows",
    "54a6b908f793f660": "MMToM-QA, text questions, 600 rows",
    "373f6c0b412a9be2": "MathVista testmini, 1000 rows",
}
"""The first 16 hex digits of the SHA-256 of files that published results were made from."""

NAMED = frozenset({"ToMi-finalNeuralTOM.csv", "testmini-00000-of-00001-725687bf7a18d64b.parquet"})
"""Names that belong to one known file alone: another content under such a name is worth a word."""

HUB: Mapping[str, tuple[str, ...]] = {
    "SeacowX/OpenToM": ("opentom.json",),
    "AI4Math/MathVista": ("data/testmini-*.parquet",),
    "Lin-Chen/MMStar": ("mmstar.parquet",),
}
"""Data sets of the Hugging Face hub that are known by id, and the files that are fetched of each."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a file of items is, by its content."""

    name: str
    sha256: str
    known: str = ""
    """Which published file has this very content; nothing where none is known to."""

    @property
    def note(self) -> str:
        """What a reader of results should know; usually nothing."""
        if self.name in NAMED and not self.known:
            return f"{self.name} (SHA-256 {self.sha256[:16]}) is not the file of that name that published results are from."
        return ""


def origin(path: Path) -> Origin:
    """The checksum of a file, and what is known by it.

    Raises:
        StimulusError: There is no such file, or it cannot be read.
    """
    digest = hashlib.sha256(read_bytes(path)).hexdigest()
    return Origin(path.name, digest, KNOWN.get(digest[:16], ""))


def check(path: Path, wanted: str) -> None:
    """Refuse a file of another content than was wanted.

    Args:
        path: The file.
        wanted: The SHA-256 in hex, or at least its first 16 digits; or ``known``: any of `KNOWN`.

    Raises:
        StimulusError: The content is another, or `wanted` is no checksum.
    """
    found = origin(path)
    if wanted != "known" and (len(wanted) < 16 or not set(wanted.lower()) <= set("0123456789abcdef")):
        raise StimulusError(f"sha256 is {wanted!r}. Give 16 or more hex digits of the file's SHA-256, or known.")
    if not (found.known if wanted == "known" else found.sha256.startswith(wanted.lower())):
        raise StimulusError(
            f"{path.name} has the SHA-256 {found.sha256}, and {'a known file' if wanted == 'known' else wanted} was asked "
            "for. Fetch the file again, or leave out the option sha256."
        )


def columns_of(path: Path) -> frozenset[str]:
    """The names of a table's columns or of its first record's fields, nested ones with a dot; none where it has no rows.

    Raises:
        StimulusError: The file is missing or malformed.
    """
    if path.suffix.lower() == ".parquet":
        return frozenset((*read_table(path).columns, *records(path).columns))
    return frozenset(records(path).columns)


def records(path: str | Path) -> Table:
    """The records of a table, of JSON lines (whatever the ending), or of a JSON list or object of objects.

    Fields of nested objects get a dot (``question.answer``). Records may lack fields: those are empty. Of an object of
    objects, the keys become the field ``key``.

    Raises:
        StimulusError: The file is missing or malformed; the message names the line or entry.
    """
    path = Path(path)
    if path.suffix.lower() != ".json":
        table = read_table(path)
        return _table(path, ((row.where, row.cells) for row in table.rows))
    text = read_text(path)
    if is_lines(text):
        lines = ((n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip())
        return _table(path, ((f"line {n}", parse_json(path, line, first=n)) for n, line in lines))
    value = parse_json(path, text)
    if isinstance(value, dict) and value and all(isinstance(entry, dict) for entry in value.values()):
        return _table(path, ((f"entry {key!r}", {"key": key, **entry}) for key, entry in value.items()))
    if isinstance(value, dict):
        return _table(path, [("line 1", value)])
    if not isinstance(value, list) or not value:
        raise StimulusError(f"{path.name} holds no list of objects. Give a JSON list of them, or JSON lines.")
    return _table(path, ((f"entry {n}", entry) for n, entry in enumerate(value, start=1)))


def _table(path: Path, entries: Iterable[tuple[str, object]]) -> Table:
    rows: list[Row] = []
    for where, entry in entries:
        if not isinstance(entry, Mapping):
            raise StimulusError(
                f"{path.name}, {where}: a JSON {type(entry).__name__}. Give an object with named fields."
            )
        rows.append(Row(where, _flat(entry)))
    columns = tuple(dict.fromkeys(name for row in rows for name in row.cells))
    return Table(path, columns, tuple(Row(row.where, {**dict.fromkeys(columns), **row.cells}) for row in rows))


def _flat(record: Mapping[str, Any], before: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in record.items():
        nested = isinstance(value, Mapping) and not {"bytes", "path"} >= value.keys()
        flat |= _flat(value, f"{before}{name}.") if nested and value else {f"{before}{name}": value}
    return flat


def fetch(hub_id: str, files: Sequence[str], revision: str | None = None) -> Path:
    """The folder in which the files of a data set of the hub lie, downloaded where they were not yet.

    Args:
        hub_id: Of the data set.
        files: Patterns of those that are needed.
        revision: Branch, tag or commit.

    Raises:
        StimulusError: It can be neither downloaded nor found among what was.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            hub_id, repo_type="dataset", revision=revision, allow_patterns=list(files), **access()
        )
    except (OSError, ValueError) as error:
        raise StimulusError(
            f"The data set {hub_id} cannot be had from the hub: {hide_secrets(str(error)).splitlines()[0]} Check the connection and the "
            "revision, or give the path of a file that you have."
        ) from error
    return Path(folder)
