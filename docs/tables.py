"""Write docs/tables.md: every table that the instruments write, from the schemas that it is checked against.

`make tables` runs it; a test says so when the page is not what it would write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from broca.instruments import INSTRUMENTS
from broca.instruments.parts import tables_by_name
from broca.specs.schema import Field, Schema

PAGE = Path(__file__).with_name("tables.md")
_HEAD = """# The tables of a run

Written by `make tables` from the schemas that every table is checked against, on writing and on reading. A run keeps each as
`tables/NAME.parquet`; `broca.open_run(path).tables["NAME"]` reads it. A column with a unit says so; shares are of 1, not of 100.
"""


def page() -> str:
    """The whole page."""
    return f"{_HEAD}\n{markdown({name: tables_by_name(name).values() for name in INSTRUMENTS})}"


def markdown(instruments: Mapping[str, Iterable[Schema]]) -> str:
    """A page that says what each table's rows and columns are, each table once, under the first instrument that writes it.

    Args:
        instruments: the tables of each, by name.
    """
    parts, first = [], dict[str, str]()
    for name, schemas in instruments.items():
        again = []
        parts.append(f"## {name}")
        for schema in schemas:
            if (place := first.setdefault(f"{schema.name}{list(schema.columns)}", name)) == name:
                parts.append(_table(schema))
            else:
                again.append(f"`{schema.name}` (see {place})")
        if again:
            parts.append(f"Also: {', '.join(again)}.")
    return "\n\n".join(parts) + "\n"


def _table(schema: Schema) -> str:
    rows = "\n".join(_row(name, field) for name, field in schema.columns.items())
    further = f" Further columns: {schema.further}." if schema.further else ""
    head = "| column | type | unit | meaning |\n|---|---|---|---|"
    return f"### `{schema.name}`\n\nOne row: {schema.rows}.{further}\n\n{head}\n{rows}"


def _row(name: str, field: Field) -> str:
    kind = f"{field.word}, optional" if field.optional else field.word
    return f"| `{name}` | {kind} | {field.unit} | {field.meaning.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
