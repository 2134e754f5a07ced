"""Writing TOML, so that the standard library's `tomllib` reads back the same values.

TOML has no null: a None in a table is left out, a None in a list is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli_w

from broca.errors import RunError
from broca.storage.parse import fits_64_bits


def to_toml(document: Mapping[str, Any]) -> str:
    """`document` as TOML: values first, then a table for each mapping.

    Raises:
        RunError: for a value that TOML cannot say.
    """
    return tomli_w.dumps(_plain(document, ()))


def _plain(value: Any, path: tuple[str, ...]) -> Any:
    """The value without None in mappings, in the types that TOML has."""
    match value:
        case Mapping():
            return {
                _text(key, (*path, key)): _plain(item, (*path, key)) for key, item in value.items() if item is not None
            }
        case list() | tuple():
            return [_plain(item, (*path, str(i))) for i, item in enumerate(value)]
        case str():
            return _text(value, path)
        case int() if not fits_64_bits(value):
            raise RunError(
                f"{'.'.join(path)} is an integer beyond 64 bits, which TOML cannot hold. Give a smaller one."
            )
        case bool() | int() | float():
            return value
        case _:
            raise RunError(
                f"{'.'.join(path)} is {value!r}, which TOML cannot hold. Use strings, numbers, lists and mappings."
            )


def _text(text: str, path: tuple[str, ...]) -> str:
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise RunError(f"{'.'.join(path)!a} is {text!a}, which is no valid Unicode. Remove the lone surrogate.")
    return text
