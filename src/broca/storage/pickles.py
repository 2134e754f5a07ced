"""Pickles of strangers, as data alone: the instructions are read before any is obeyed, and only those that build plain values are.

A pickle is a program. What names a class or a function is refused, and so is what asks for more room than its file could fill: an
index into the memo of two milliards costs an unpickler gigabytes.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any, NoReturn

_PLAIN = frozenset(
    [
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "EMPTY_LIST",
        "LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "EMPTY_DICT",
        "DICT",
        "SETITEM",
        "SETITEMS",
        "PUT",
        "BINPUT",
        "LONG_BINPUT",
        "GET",
        "BINGET",
        "LONG_BINGET",
        "MEMOIZE",
    ]
)
"""Instructions that build numbers, texts, lists, tuples and mappings."""


def plain_pickle(content: bytes) -> Any:
    """The value of a pickle of plain data.

    Raises:
        ValueError: if it holds anything else, or is damaged.
    """
    try:
        found = [(operation.name, argument) for operation, argument, _ in pickletools.genops(content)]
        for count, (name, argument) in enumerate(found):
            _check(name, argument, count)
        return _Unpickler(io.BytesIO(content)).load()
    except _RefusedError:
        raise
    except Exception as error:  # an unpickler's ways to fail are without number
        raise ValueError(f"it is damaged ({type(error).__name__})") from error


class _RefusedError(ValueError):
    """What a pickle of plain data never does."""


def _check(name: str, argument: Any, count: int) -> None:
    if name not in _PLAIN:
        raise _RefusedError(f"it holds more than numbers, texts and lists ({name})")
    if "PUT" in name and int(argument) > count:
        raise _RefusedError(f"it asks for place {argument} after {count} instructions")


class _Unpickler(pickle.Unpickler):
    """Nothing is named in what has been looked through; this is the second lock."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")
