"""The content of a GGUF file, read field by field: each length in it is a stranger's word, and is held against the size of the file.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from broca.errors import BrocaError

UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9
"""Types of fields, as they are numbered."""
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", UINT32: "I", INT32: "i", FLOAT32: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRINGS = 5_000_000
"""Of one list at most."""


class GgufContent:
    """The bytes behind the letters GGUF, and how far they have been read. Who inherits says what is wrong, as an error of its own."""

    def __init__(self, path: Path, content: bytes | mmap.mmap, size: int) -> None:
        self.path, self.content, self.size, self.at = path, content, size, 4

    def damage_error(self, why: str) -> BrocaError:
        raise NotImplementedError

    def cut_off(self) -> BrocaError:
        raise NotImplementedError

    def value(self, kind: int) -> Any:
        """One value. Of a list, how many it has: nothing asks what they are."""
        if kind == STRING:
            return self.text()
        if kind in SCALARS:
            return self.take(SCALARS[kind])[0]
        if kind != ARRAY:
            raise self.damage_error(f"it has a field of the unknown type {kind}")
        inner, n = self.take("IQ")
        if inner == STRING:
            self.bound("strings of one list", n, _STRINGS)
            for _ in range(n):
                self.skip(*self.take("Q"))
        elif inner in SCALARS:
            self.skip(n * struct.calcsize(f"<{SCALARS[inner]}"))
        else:
            raise self.damage_error(f"it has a list of the unknown type {inner}")
        return n

    def text(self) -> str:
        (n,) = self.take("Q")
        start = self.at
        self.skip(n)
        return self.content[start : self.at].decode("utf-8", "replace")

    def take(self, form: str) -> tuple[Any, ...]:
        start = self.at
        self.skip(struct.calcsize(f"<{form}"))
        return struct.unpack_from(f"<{form}", self.content, start)

    def skip(self, n: int) -> None:
        if self.at + n > self.size:
            raise self.cut_off()
        self.at += n

    def bound(self, what: str, n: int, most: int) -> None:
        if n > most:
            raise self.damage_error(f"it says that it has {n:,} {what}")
