"""Safetensors files of anybody: what the header claims is held against the file before any of it is believed.

The header is JSON behind a length of eight bytes. It goes through a schema; a length, an offset or a shape that the file has no room
for is the reader's own error, and so is a type that the reader's arrays do not know.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import BaseModel, Field

from broca.errors import BrocaError
from broca.storage.parse import parse_json, validate

_LONGEST = 100_000_000
"""Bytes of a header; safetensors takes no more either."""
_Whole = Annotated[int, Field(strict=True, ge=0, lt=1 << 63)]
_BITS = {"F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "U16": 16}


class Entry(BaseModel):
    """What the header says of one tensor."""

    dtype: str
    shape: Annotated[list[_Whole], Field(max_length=64)]
    data_offsets: tuple[_Whole, _Whole]

    @property
    def count(self) -> int:
        """Numbers in it."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the numbers."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Source:
    """A file of somebody, and how its faults are told."""

    name: str
    error: type[BrocaError]
    advice: str

    def refusal(self, why: object) -> BrocaError:
        """The error that says what is wrong with it."""
        text = next(iter(str(why).splitlines()), "")[:200]
        return self.error(f"{self.name} is no whole safetensors file ({text}). {self.advice}")

    def words(self, content: str, kind: Any) -> Any:
        """A value of a type from a JSON text in the metadata."""
        return parse_json(content, kind, name=self.name, error=self.error, advice=self.advice)

    def validate(self, value: Any, kind: Any) -> Any:
        """A value of a type from what the metadata held."""
        return validate(value, kind, name=self.name, error=self.error, advice=self.advice)


def tensor_header(path: Path, source: Source) -> Header:
    """The header of a file, whose claims fit the file.

    Raises:
        FileNotFoundError: if there is none.
        BrocaError: of the source, if it cannot be read or is damaged.
    """
    try:
        with path.open("rb") as file:
            return _header(file, path.stat().st_size, source)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise source.error(f"{source.name} cannot be read: {reason}. {source.advice}") from error


def read_tensors(path: Path, source: Source, *, framework: Literal["numpy", "pt"]) -> tuple[Header, dict[str, Any]]:
    """The header and the tensors of a file; errors as `tensor_header`."""
    from safetensors import safe_open

    header = tensor_header(path, source)
    with _reader_errors(source), safe_open(path, framework=framework) as file:
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping


def tensors_of(content: bytes, source: Source) -> tuple[Header, dict[str, Any]]:
    """The header and the arrays of a file's content; errors as `tensor_header`."""
    from safetensors.numpy import load

    header = _header(io.BytesIO(content), len(content), source)
    with _reader_errors(source):
        return header, load(content)


def _header(file: BinaryIO, size: int, source: Source) -> Header:
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, _LONGEST):
        raise source.refusal(f"its header claims {length:,} bytes of {size:,}")
    claimed = source.words(_text(file.read(length), source), dict[str, Any])
    metadata = source.validate(claimed.pop("__metadata__", None) or {}, dict[str, str])
    tensors = source.validate(claimed, dict[str, Entry])
    for name, entry in tensors.items():
        begin, end = entry.data_offsets
        bits = _BITS.get(entry.dtype, 8 * (end - begin) // max(entry.count, 1))
        if not begin <= end <= size - 8 - length or entry.count * bits > 8 * (end - begin):
            raise source.refusal(f"{name!r:.60} claims more than the file holds")
    return Header(metadata, tensors)


def _text(content: bytes, source: Source) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise source.refusal("its header is no text in UTF-8") from error


@contextmanager
def _reader_errors(source: Source) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise source.refusal(error) from error
    except (RuntimeError, MemoryError) as error:  # torch, of a shape or a type that it does not have
        raise source.refusal(error or "no memory") from error
