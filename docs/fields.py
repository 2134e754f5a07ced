"""Write docs/fields.md: every field of every study's spec, from the specs themselves.

`make tables` runs it; a test says so when the page is not what it would write.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from broca.instruments import COMMANDS, INSTRUMENTS

PAGE = Path(__file__).with_name("fields.md")
_HEAD = """# The fields of a spec

Written by `make tables` from the specs. A field has the same name in Python, in the `[study]` of a `spec.toml`, and as an option of the command, where
`_` is `-`: `n_items`, `n_items = 60`, `--n-items 60`. `broca run spec.toml` runs a file of them:

```toml
[study]
kind = "causal"
selection = "0.4,1.2"
items = "beliefs/false-belief"

[model]
name = "beliefs"
```
"""
_LONGEST = 60
"""Characters of a default that is shown."""


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(_section(kind) for kind in INSTRUMENTS)


def _section(kind: str) -> str:
    spec = INSTRUMENTS[kind]
    summary = (spec.__doc__ or "").strip().splitlines()[0]
    rows = "".join(_row(name, field) for name, field in spec.model_fields.items() if name != "kind")
    head = "| field | takes | default | meaning |\n|---|---|---|---|\n"
    return f"\n## {kind}\n\n`broca.{spec.__name__}`, `broca {COMMANDS[kind].name}`: {summary}\n\n{head}{rows}"


def _row(name: str, field: FieldInfo) -> str:
    default = "" if field.is_required() else _default(field.get_default(call_default_factory=True))
    cells = (
        f"`{name}`",
        " or ".join(dict.fromkeys(_takes(field.annotation))),
        default,
        " ".join((field.description or "").split()),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _default(value: Any) -> str:
    if value is None or value in ((), {}, ""):
        return ""
    text = (
        str(value).lower()
        if isinstance(value, bool)
        else str(value)
        if isinstance(value, str | int | float)
        else repr(value)
    )
    return f"`{text}`" if len(text) <= _LONGEST else ""


def _takes(kind: Any) -> Iterator[str]:
    """What a value can be, in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from _takes(inner[0])
    elif origin in (Union, types.UnionType):
        for each in inner:
            yield from _takes(each)
    elif origin is Literal:
        yield ", ".join(f"`{each}`" for each in inner)
    elif origin in (tuple, list) or getattr(origin, "__name__", "") == "Sequence":
        yield f"several of ({' or '.join(dict.fromkeys(word for each in inner if each is not Ellipsis for word in _takes(each)))})"
    elif getattr(origin, "__name__", "") in ("Mapping", "dict"):
        yield "names and values"
    elif isinstance(kind, type) and issubclass(kind, Enum):
        yield ", ".join(f"`{each.value}`" for each in kind)
    else:
        words = {"str": "text", "int": "whole number", "float": "number", "bool": "true, false", "NoneType": "nothing"}
        name = getattr(kind, "__name__", str(kind))
        yield words.get(name, f"`{name}`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
