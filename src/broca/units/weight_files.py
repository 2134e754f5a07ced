"""Chosen weights outside of memory: one safetensors file, which says of which model they are.

One int64 tensor a matrix that has chosen entries, and one metadata entry, ``broca-weightset``: JSON with `format`,
`version`, `addresses` (name to layer, kind, rows, columns), `about` and `fingerprint`.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from broca.errors import SelectionError
from broca.storage import Source, tensors_of, write

FORMAT = "broca-weightset"
VERSION = 1
_FORMER = {"m": "mask_fraction"}
"""What is said of chosen weights, by the names that the version before wrote."""


class Choice(Protocol):
    """What is written, and has been read: a `broca.units.weights.WeightSet`."""

    @property
    def at(self) -> Mapping[str, np.ndarray]: ...

    @property
    def addresses(self) -> Mapping[str, Any]: ...

    @property
    def about(self) -> Mapping[str, Any]: ...

    @property
    def fingerprint(self) -> str: ...


C = TypeVar("C", bound=Choice)
Make = Callable[[Mapping[str, np.ndarray], Mapping[str, tuple[int, str, int, int]], Mapping[str, Any]], C]
"""Makes a choice of its indices, the addresses' fields (layer, kind, rows, columns), and what is said about it."""


def to_bytes(chosen: Choice) -> bytes:
    """The content of a file."""
    from safetensors.numpy import save as pack

    addresses = {name: [a.layer, a.kind, a.rows, a.columns] for name, a in chosen.addresses.items()}
    about = {
        "format": FORMAT,
        "version": VERSION,
        "addresses": addresses,
        "about": dict(chosen.about),
        "fingerprint": chosen.fingerprint,
    }
    # One metadata entry: safetensors writes several in an order that changes from one process to the next.
    return pack(dict(chosen.at), metadata={FORMAT: json.dumps(about, sort_keys=True)})


def save(chosen: Choice, path: Path) -> Path:
    """Write under a temporary name, then rename."""
    write(path, to_bytes(chosen))
    return path


def load(make: Make[C], path: Path, *, model: str | None = None) -> C:
    """Read chosen weights and check them against their own fingerprint and, if given, the model's.

    Raises:
        SelectionError: if the file is missing, damaged or something else, or was made on another model.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise SelectionError(f"There are no chosen weights at {path}. Check the path.") from error
    except OSError as error:
        raise SelectionError(f"{path} cannot be read: {error.strerror}.") from error
    found = from_bytes(make, content, str(path))
    made_on = found.about.get("model")
    if model is not None and made_on not in (None, model):
        raise SelectionError(
            f"{path} chooses weights of another model (its fingerprint is {made_on}, this one's {model}). Score this model "
            "itself; the same places in another model mean nothing."
        )
    return found


def from_bytes(make: Make[C], content: bytes, where: str) -> C:
    """Chosen weights from the content of a file; `where` is for errors.

    Raises:
        SelectionError: if it is damaged or something else.
    """
    source = Source(where, SelectionError, "Make it again.")
    header, tensors = tensors_of(content, source)
    about = source.words(header.metadata.get(FORMAT, "{}"), dict[str, Any])
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise SelectionError(
            f"{where} is a safetensors file, but holds no chosen weights that this version of broca wrote."
        )
    said = source.validate(about, _About)
    try:
        found = make(tensors, said.addresses, {_FORMER.get(name) or name: value for name, value in said.about.items()})
    except SelectionError as error:
        raise SelectionError(f"{where} is damaged: {error}") from error
    if found.fingerprint != said.fingerprint:
        raise SelectionError(f"{where} is damaged: its content does not have the fingerprint {said.fingerprint}.")
    return found


_Count = Annotated[int, Field(strict=True, ge=0, lt=1 << 31)]


class _About(BaseModel):
    """What a file says of its choice."""

    addresses: dict[str, tuple[int, str, _Count, _Count]]
    about: dict[str, Any]
    fingerprint: str


class _WeightEntry(BaseModel):
    """Weights as plain data."""

    model_config = ConfigDict(extra="forbid")

    matrices: dict[str, tuple[int, str, _Count, _Count, str]]
    about: dict[str, Any] = {}


def pack(index: np.ndarray | None) -> str:
    """Sorted indices as text: the gaps between them as int64, deflated, in base 64."""
    gaps = np.diff(np.zeros(0, np.int64) if index is None else index, prepend=0).astype("<i8")
    return base64.b64encode(zlib.compress(gaps.tobytes(), 9)).decode()


def unpack_weights(data: Any) -> tuple[dict[str, tuple[int, str, int, int, np.ndarray]], dict[str, Any]]:
    """Addresses and indices of each matrix, and what is said about them, of what `pack` and its like wrote.

    Raises:
        SelectionError: if it is anything else.
    """
    try:
        said = _WeightEntry.model_validate(data)
        found = {
            name: (layer, kind, rows, columns, _gaps(text, rows * columns))
            for name, (layer, kind, rows, columns, text) in said.matrices.items()
        }
    except (ValueError, zlib.error) as error:
        raise SelectionError(f"These are no weights that this version of broca wrote: {str(data)[:80]}.") from error
    return found, said.about


def _gaps(text: str, size: int) -> np.ndarray:
    """Indices of a matrix of so many weights: whatever is packed, no more of it is unpacked."""
    opened = zlib.decompressobj()
    content = opened.decompress(base64.b64decode(text, validate=True), 8 * size + 8)
    if not opened.eof or opened.unconsumed_tail or len(content) % 8 or len(content) > 8 * size:
        raise ValueError("more indices than weights")
    return np.cumsum(np.frombuffer(content, "<i8")).astype(np.int64)
