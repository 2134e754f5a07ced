"""The columns of a table, said once: type, unit, and a line of meaning.

What is written is checked against it, what is read is cast to it, and the reference of tables and the tips of the report are made
from it::

    HEADS = Schema("heads", "a head", layer=Int("block, from 0"), head=Int("head, from 0"), norm=Float("mean norm", unit="L2"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from broca.errors import RunError

_Kind = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Field:
    """A column: what it means, in which unit, and whether a table may go without it."""

    meaning: str
    unit: str = ""
    optional: bool = False
    default: Any = None
    """What stands in each row of a table without it."""
    former: str = ""
    """What it was called in the version before."""

    dtype: ClassVar[Any]
    """As which it is read."""
    word: ClassVar[str]

    def fits(self, dtype: Any) -> bool:
        """Whether a column of this type may be written. One without a single value has no type yet, and always may."""
        return dtype == pl.Null or _fits(dtype, self.dtype)

    @property
    def tip(self) -> str:
        """The meaning, with its unit."""
        return f"{self.meaning} ({self.unit})" if self.unit else self.meaning


class Int(Field):
    """A column of whole numbers."""

    dtype, word = pl.Int64, "whole number"


class Float(Field):
    """A column of numbers."""

    dtype, word = pl.Float64, "number"


class Text(Field):
    """A column of texts."""

    dtype, word = pl.String, "text"


class Flag(Field):
    """A column of yes or no."""

    dtype, word = pl.Boolean, "yes or no"


class Ints(Field):
    """A column of lists of whole numbers."""

    dtype, word = pl.List(pl.Int64), "whole numbers"


class Floats(Field):
    """A column of lists of numbers."""

    dtype, word = pl.List(pl.Float64), "numbers"


class Texts(Field):
    """A column of lists of texts."""

    dtype, word = pl.List(pl.String), "texts"


def _fits(given: Any, wanted: Any) -> bool:
    if isinstance(wanted, pl.List):
        return isinstance(given, pl.List) and (given.inner == pl.Null or _fits(given.inner, wanted.inner))
    if wanted == pl.Int64:
        return given.is_integer()
    if wanted == pl.Float64:
        return given.is_numeric()
    return given == wanted


class Schema:
    """A table's name, what its rows are, and its columns."""

    def __init__(self, name: str, rows: str = "", further: str = "", /, **columns: Field) -> None:
        """Declare a table.

        Args:
            name: of the table: its file is ``tables/NAME.parquet``.
            rows: what a row is: "a head".
            further: what columns it may have beside those declared, as a scorer's own; nothing where it may have none.
            columns: by name, in order.
        """
        self.name, self.rows, self.further = name, rows, further
        self.columns: Mapping[str, Field] = columns

    def __repr__(self) -> str:
        return f"Schema({self.name!r}, {', '.join(self.columns)})"

    def tip(self, column: str) -> str:
        """What a column means, in a line; nothing for one that was not declared."""
        return self.columns[column].tip if column in self.columns else ""

    def check(self, table: pl.DataFrame) -> None:
        """Refuse what is not the declared table; one without a row may lack columns.

        Raises:
            RunError: if a column is missing, undeclared, or of another type.
        """
        needed = [name for name, field in self.columns.items() if not field.optional and table.height]
        if missing := [name for name in needed if name not in table.columns]:
            raise RunError(self._wrong(f"has no column {', '.join(missing)}", "Write it, or declare it optional"))
        extra = [name for name in table.columns if name not in self.columns]
        if extra and not self.further:
            raise RunError(self._wrong(f"has an undeclared column {', '.join(extra)}", "Declare it, with its meaning"))
        for name, field in self.columns.items():
            if name in table.columns and not field.fits(table.schema[name]):
                what = f"holds {table.schema[name]} in {name}, which is declared as {field.word}"
                raise RunError(self._wrong(what, "Write that, or declare what is written"))

    def of_today(self, table: pl.DataFrame) -> pl.DataFrame:
        """A table that was written, its columns by the names that they have now."""
        known = {field.former: name for name, field in self.columns.items() if field.former}
        return table.rename(
            {old: new for old, new in known.items() if old in table.columns and new not in table.columns}
        )

    def _wrong(self, what: str, remedy: str) -> str:
        return f"The table {self.name} {what}. {remedy} in tables.py of its instrument; it declares {', '.join(self.columns)}."

    def read(self, table: pl.DataFrame, place: object, hint: str = "") -> pl.DataFrame:
        """The declared columns of a table that somebody wrote, NaN as null.

        Args:
            table: what was read.
            place: from where, for the error.
            hint: what to do about damage.

        Raises:
            RunError: if a column is missing or cannot be cast.
        """
        table, given = self.of_today(table), table.columns
        absent = {
            n: pl.lit(f.default, f.dtype) for n, f in self.columns.items() if f.optional and n not in table.columns
        }
        table = table.with_columns(**absent)
        if missing := [name for name in self.columns if name not in table.columns]:
            raise RunError(f"{place} has no column {', '.join(missing)}; it has {', '.join(given)}. {hint}")
        more = [pl.col(name) for name in table.columns if name not in self.columns] if self.further else []
        try:
            table = table.select(*(pl.col(name).cast(field.dtype) for name, field in self.columns.items()), *more)
        except pl.exceptions.PolarsError as error:
            raise RunError(f"{place} has a column of another type than {self.name} has: {error}. {hint}") from error
        return table.with_columns(pl.selectors.float().fill_nan(None), pl.selectors.boolean().fill_null(value=False))
