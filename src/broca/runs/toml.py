"""Writing TOML, so that the standard library's `tomllib` reads back the same values.

TOML has no null: a None in a table is left out, a None in a list is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from broca.errors import RunError

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}


def to_toml(document: Mapping[str, Any]) -> str:
    """`document` as TOML: values first, then a table for each mapping; mappings within lists are written inline.

    Raises:
        RunError: for a value that TOML cannot say.
    """
    return "".join(f"{line}\n" for line in _table(document, ())).lstrip("\n")


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = [
        f"{_key(key)} = {_value(value, (*path, key))}"
        for key, value in table.items()
        if key not in inner and value is not None
    ]
    if path and (lines or not inner):
        lines = ["", f"[{'.'.join(map(_key, path))}]", *lines]
    for key, value in inner.items():
        lines += _table(value, (*path, key))
    return lines


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key, (key,))


def _value(value: object, path: tuple[str, ...]) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _string(value, path)
        case int():
            return int.__repr__(value)
        case float():
            return (
                float.__repr__(value)
                if math.isfinite(value)
                else "nan"
                if math.isnan(value)
                else f"{'-' * (value < 0)}inf"
            )
        case Mapping():
            pairs = (f"{_key(key)} = {_value(item, (*path, key))}" for key, item in value.items() if item is not None)
            return f"{{{', '.join(pairs)}}}"
        case list() | tuple():
            return f"[{', '.join(_value(item, (*path, str(i))) for i, item in enumerate(value))}]"
        case _:
            raise RunError(
                f"{'.'.join(path)} is {value!r}, which TOML cannot hold. Use strings, numbers, lists and mappings."
            )


def _string(text: str, path: tuple[str, ...]) -> str:
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise RunError(f"{'.'.join(path)!a} is {text!a}, which is no valid Unicode. Remove the lone surrogate.")
    return (
        '"'
        + "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else c) for c in text)
        + '"'
    )
