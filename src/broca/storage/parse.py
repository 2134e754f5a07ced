"""JSON and TOML of anybody, read through a schema: one error for whatever is wrong with it.

Untrusted text nests too deep, holds numbers of ten thousand digits or half a surrogate pair, or is a list where a table is meant.
Integers beyond 64 bits are refused, as TOML demands: Python would hold them, and can neither print nor convert the longest.
Each reader says what it wants as a type; what is not that raises the reader's own error, with the place.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from broca.errors import BrocaError, first_line

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


def parse_json(content: bytes | str, kind: Any, *, name: str, error: type[BrocaError], advice: str) -> Any:
    """JSON as a value of a type.

    Args:
        content: the text, UTF-8.
        kind: what it must be: a type, or anything that pydantic takes for one.
        name: what it is, for the error: a path.
        error: the class of the error.
        advice: what to do about it.

    Raises:
        BrocaError: of the class `error`, if it is no JSON or not of that type, naming the place.
    """
    from pydantic_core import from_json  # not at the top: the command line answers before it is there

    try:
        value = _within_64_bits(from_json(content))
    except (ValueError, RecursionError) as reason:
        raise error(f"{name} is no JSON: {_short(reason)}. {advice}") from reason
    return validate(value, kind, name=name, error=error, advice=advice)


def read_json(path: Path, kind: Any, *, largest: int, error: type[BrocaError], advice: str) -> Any:
    """A file of somebody's JSON as a value of a type; arguments as `parse_json`.

    Args:
        path: the file.
        kind: what it must be.
        largest: bytes; a file that is larger is not opened.
        error: the class of the error.
        advice: what to do about it.

    Raises:
        BrocaError: of the class `error`, if it cannot be read, is larger, is no JSON, or not of that type.
    """
    try:
        if (size := path.stat().st_size) > largest:
            raise error(f"{path} has {size:,} bytes, and {largest:,} are read at most. {advice}")
        content = path.read_bytes()
    except OSError as reason:
        raise error(f"{path} could not be read: {reason.strerror or reason}. Check the path.") from reason
    return parse_json(content, kind, name=str(path), error=error, advice=advice)


def parse_toml(content: bytes | str, kind: Any, *, name: str, error: type[BrocaError], advice: str) -> Any:
    """TOML as a value of a type; arguments and errors as `parse_json`."""
    try:
        value = _within_64_bits(tomllib.loads(content if isinstance(content, str) else content.decode()))
    except UnicodeDecodeError as reason:
        raise error(f"{name} is no text in UTF-8. {advice}") from reason
    except (ValueError, RecursionError) as reason:
        raise error(f"{name} is not valid TOML: {_short(reason)}. {advice}") from reason
    return validate(value, kind, name=name, error=error, advice=advice)


def validate(value: Any, kind: Any, *, name: str, error: type[BrocaError], advice: str) -> Any:
    """A value of a type, from what JSON or TOML made; arguments and errors as `parse_json`."""
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as reason:
        first = reason.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        more = f" (and {reason.error_count() - 1} more)" if reason.error_count() > 1 else ""
        raise error(f"{name}: {place}: {first['msg']}{more}, given {first['input']!r:.60}. {advice}") from reason
    except RecursionError as reason:
        raise error(f"{name} nests too deep. {advice}") from reason


@lru_cache(maxsize=256)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def fits_64_bits(number: int) -> bool:
    """Whether an integer is among those that 64 bits hold, signed or not."""
    return -(2**63) <= number < 2**64


def _within_64_bits(value: Any) -> Any:
    """The value, all of whose integers fit."""
    left = [value]
    while left:
        match left.pop():
            case dict() as table:
                left += table.values()
            case list() as items:
                left += items
            case int() as number if not fits_64_bits(number):
                raise ValueError("an integer in it is beyond 64 bits")
    return value


def _short(reason: BaseException) -> str:
    return first_line(reason)[:200]
