"""Reading tables strictly: CSV, TSV, JSONL, JSON and Parquet become rows that know where they came from.

Nothing is guessed and nothing is repaired: what has one reading only is read, as other programs write it, and all else is refused.
Text formats are read with the standard library, because it knows the line of each mistake; Parquet with polars. What a file holds is
data, and is never evaluated.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from broca.errors import StimulusError
from broca.stimuli.table_rows import Row, delimited_rows, json_lines, json_list, parquet_rows

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
"""The endings that `read_table` knows."""

_OTHERS = {
    "prompt": ("question", "query", "input", "inputs", "context", "sentence", "text", "stem", "instruction", "ctx"),
    "choices": ("options", "candidates", "alternatives", "endings", "answers", "cands"),
    "answer": ("label", "target", "gold", "correct", "answerkey", "answer_key", "answer_idx", "solution", "gold_label"),
    "text": ("sentence", "stimulus", "prompt", "content", "item", "txt"),
    "label": ("class", "category", "condition", "target", "y"),
    "positive": ("pos", "good", "sentence_good", "chosen"),
    "negative": ("neg", "bad", "sentence_bad", "rejected"),
    "clean": ("original", "source", "reference"),
    "perturbed": ("noisy", "typo", "corrupted", "modified"),
}
"""What others call these columns."""
_MOST_NAMES = 20
"""Columns that are named in a message."""

_NAMELESS = frozenset({"", "nan", "null", "none", "<na>"})
"""How tables write that there is no group."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one file, in file order."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def at(self, row: Row) -> str:
        """Where a row is, for messages: ``stimuli.csv, line 7``."""
        return f"{self.path.name}, {row.where}"

    def require(self, *columns: str) -> None:
        """Refuse a table that lacks one of `columns`, with the nearest name found.

        Raises:
            StimulusError: A column is missing.
        """
        missing = [column for column in columns if column not in self.columns]
        if missing:
            near = [guess for column in missing if (guess := self._guess(column))]
            raise StimulusError(
                f"{self.path.name} has no column {alternatives(missing)}.{_meant(near)} "
                f"Columns found: {self.column_names}."
                + (f" Needed are {', '.join(map(repr, columns))}: rename yours." if len(missing) > 1 else "")
            )

    @property
    def column_names(self) -> str:
        """The names of the columns, for messages."""
        more = f", ... ({len(self.columns)})" if len(self.columns) > _MOST_NAMES else ""
        return (", ".join(map(repr, self.columns[:_MOST_NAMES])) or "none") + more

    def near(self, *columns: str) -> str:
        """A question about columns that may be meant by these names; nothing where none is like them."""
        return _meant([guess for column in columns if (guess := self._guess(column))])

    def optional(self, *columns: str) -> None:
        """Refuse a near miss of an optional column, which would be left out without a word.

        Raises:
            StimulusError: A column found is one letter or so from an optional one that is absent.
        """
        for column in columns:
            if column not in self.columns and (guess := self._guess(column, cutoff=0.85, others=False)):
                raise StimulusError(
                    f"{self.path.name} has no column {column!r}.{_meant([guess])} Rename it if so, else give it another name."
                )

    def text(self, row: Row, column: str) -> str:
        """The text in one cell, as it is.

        Raises:
            StimulusError: The cell is empty, or holds something other than text.
        """
        if column not in row.cells:
            self.require(column)
        value = row.cells[column]
        if value is None or value == "":
            raise StimulusError(f"{self.at(row)}: {column!r} is empty. Give a text, or remove the row.")
        if not isinstance(value, str):
            raise StimulusError(
                f"{self.at(row)}: {column!r} is {short_repr(value)} ({type(value).__name__}). Give a text; quote it if it is one."
            )
        if not value.strip():
            raise StimulusError(f"{self.at(row)}: {column!r} is only white space. Give a text, or remove the row.")
        return value

    def word(self, row: Row, column: str) -> str:
        """The text in one cell without surrounding white space, for names, labels and answers.

        Raises:
            StimulusError: As for `text`.
        """
        return self.text(row, column).strip()

    def tag(self, row: Row, column: str, default: str) -> str:
        """A short text or whole number in an optional column; `default` where the column is absent.

        Raises:
            StimulusError: The cell is empty, or neither text nor a whole number.
        """
        if column not in self.columns:
            return default
        value = whole_number(row.cells[column])
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else self.word(row, column)

    def group(self, row: Row) -> str:
        """What is written in the column ``group``; nothing where it is absent, or its cell empty, NaN, null or none.

        Raises:
            StimulusError: The cell is neither text nor a number.
        """
        value = row.cells.get("group")
        if value is None or value != value or (isinstance(value, str) and value.strip().lower() in _NAMELESS):  # noqa: PLR0124
            return ""
        return self.tag(row, "group", "")

    def names(self, default: Callable[[int], str]) -> tuple[str, ...]:
        """One id for each row: its `id` column, or else `default` of its position.

        Raises:
            StimulusError: Two rows have the same id.
        """
        seen: dict[str, Row] = {}
        for index, row in enumerate(self.rows):
            name = self.tag(row, "id", default(index))
            if name in seen:
                raise StimulusError(
                    f"{self.at(row)}: the id {short_repr(name)} was used in {seen[name].where} already. Make ids unique."
                )
            seen[name] = row
        return tuple(seen)

    def _guess(self, column: str, cutoff: float = 0.5, *, others: bool = True) -> str:
        """Which column may be meant by a name: one spelt like it, or else one that others call so."""
        lowered = {found.strip().lower(): found for found in self.columns}
        near = difflib.get_close_matches(column, lowered, n=1, cutoff=cutoff)
        near = near or [name for name in (_OTHERS.get(column, ()) if others else ()) if name in lowered]
        return f"{lowered[near[0]]!r} to be {column!r}" if near else ""


def read_table(path: str | Path) -> Table:
    """The rows of a CSV, TSV, JSONL, JSON (a list of objects) or Parquet file with a header or keys.

    Raises:
        StimulusError: The file is missing, of another kind, not UTF-8, malformed (with its line), or has no rows.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], tuple[tuple[str, ...], Iterator[Row]]]] = {
        ".csv": lambda p: delimited_rows(p, ","),
        ".tsv": lambda p: delimited_rows(p, "\t"),
        ".jsonl": json_lines,
        ".ndjson": json_lines,
        ".json": json_list,
        ".parquet": parquet_rows,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise StimulusError(
            f"{path.name!r} ends in {path.suffix or 'nothing'!r}. Tables end in one of {', '.join(SUFFIXES)}."
        )
    columns, rows = reader(path)
    table = Table(path, columns, tuple(rows))
    if not table.rows:
        raise StimulusError(f"{path.name} has no rows{' below its header' if columns else ''}. Give at least one.")
    return table


def rename_columns(table: Table, names: str, known: Sequence[str]) -> Table:
    """A table whose columns are called otherwise, under the names that a reader reads.

    Args:
        table: As it was written.
        names: ``prompt=question,answer=label``: the name that is read, and the column's own.
        known: The names that are read.

    Raises:
        StimulusError: A name is not read, a column is not there, or one would stand twice.
    """
    pairs = [part.partition("=") for part in names.split(",")]
    wanted = {new.strip(): old.strip() for new, _, old in pairs}
    if not all(sign and new.strip() and old.strip() for new, sign, old in pairs) or len(wanted) < len(pairs):
        raise StimulusError(
            f"columns is {short_repr(names)}. Write it as prompt=question,answer=label, each name once."
        )
    for new, old in wanted.items():
        if new not in known:
            near = difflib.get_close_matches(new, known, n=1)
            raise StimulusError(
                f"columns names {new!r}, which is not read.{_meant([*map(repr, near)])} Read are {', '.join(known)}."
            )
        if old not in table.columns:
            near = difflib.get_close_matches(old, table.columns, n=1)
            raise StimulusError(
                f"{table.path.name} has no column {old!r}.{_meant([*map(repr, near)])} Columns found: {table.column_names}."
            )
        if new in table.columns and new != old:
            raise StimulusError(
                f"{table.path.name} has a column {new!r} already, and columns says {new}={old}. Leave one of the two out."
            )
    called = {old: new for new, old in wanted.items()}
    if len(called) < len(wanted):
        raise StimulusError(f"columns is {short_repr(names)}, which gives one column two names. Name it once.")
    rows = tuple(
        Row(row.where, {called.get(name, name): cell for name, cell in row.cells.items()}) for row in table.rows
    )
    return Table(table.path, tuple(called.get(name, name) for name in table.columns), rows)


def whole_number(value: object) -> object:
    """A whole number that is written as 1.0, as pandas does beside missing ones, as what it is; all else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def alternatives(names: Sequence[str]) -> str:
    """Names for a message: 'a', 'b' or 'c'."""
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}" if first else last


def _meant(guesses: Sequence[str]) -> str:
    *first, last = guesses or ("",)
    return f" Did you mean {', '.join(first)}{' and ' if first else ''}{last}?" if last else ""


def short_repr(value: object) -> str:
    """A value for a message: its repr, cut where it is long or deep."""
    return _SHORT.repr(value)
