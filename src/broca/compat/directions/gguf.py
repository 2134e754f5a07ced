"""Control vectors in GGUF, as llama.cpp reads them and repeng writes them.

A tensor ``direction.{i}`` is added to the *output* of block i, counted from 0, at every token. Block 0 cannot have one: llama.cpp
refuses the name. The numbers must be F32: it refuses others too, and the package `gguf` writes float64 without a word.

llama.cpp's own `cvector-generator` writes what it read at the output of block i under ``direction.{i + 1}``, which the reader adds one
block later than it was read. Its files are told from repeng's by the type of ``controlvector.layer_count``: int32, where repeng has
uint32.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from broca.errors import SelectionError
from broca.sites import Site
from broca.storage import write
from broca.storage.gguf_content import INT32, STRING, UINT32, GgufContent
from broca.units.direction import Direction

Producer = Literal["repeng", "cvector-generator", "unknown"]
"""Who wrote a file, by the type of its ``controlvector.layer_count``; *unknown* where it has none."""

ARCHITECTURE = "controlvector"
HINT, COUNT = f"{ARCHITECTURE}.model_hint", f"{ARCHITECTURE}.layer_count"
_ALIGNMENT = 32
_F32 = 0
_MOST = 10_000
"""Fields, and tensors, of a file."""


@dataclass(frozen=True, slots=True, eq=False)
class ControlVector:
    """What a file says."""

    vectors: Mapping[int, NDArray[np.float32]]
    """By the number in the name."""
    hint: str
    """Which kind of model it is of, by the ``model_type`` of its config; empty where nothing is said."""
    producer: Producer


def write_control_vector(direction: Direction, path: str | Path, *, model_type: str = "", dose: float = 1.0) -> Path:
    """Write a direction for llama.cpp (``--control-vector``).

    Args:
        direction: vectors at block outputs, none at that of block 0.
        path: of the file.
        model_type: of the model's config; repeng insists on one.
        dose: what the vectors are multiplied by.

    Raises:
        SelectionError: if a vector is not at the output of block 1 or a later one, or lengths differ.
        RunError: if the disk refuses.
    """
    if odd := [str(site) for site in direction.sites if site.kind != "resid_post" or site.layer < 1]:
        raise SelectionError(
            f"{', '.join(odd[:4])}: a control vector holds outputs of blocks from 1 on (1.resid_post, ...), and llama.cpp has no place "
            "for others. Choose some: direction.at('12.resid_post')."
        )
    vectors = {site.layer: (vector * np.float32(dose)).astype("<f4") for site, vector in direction.vectors.items()}
    if len({v.size for v in vectors.values()}) > 1 or not all(np.isfinite(v).all() for v in vectors.values()):
        raise SelectionError(f"The vectors of {direction!r} at dose {dose:g} are of several lengths, or not finite.")
    fields = [
        _text("general.architecture") + struct.pack("<I", STRING) + _text(ARCHITECTURE),
        _text(HINT) + struct.pack("<I", STRING) + _text(model_type),
        _text(COUNT) + struct.pack("<II", UINT32, len(vectors)),
    ]
    infos, data = b"", b""
    for layer, vector in vectors.items():
        infos += _text(f"direction.{layer}") + struct.pack("<IQIQ", 1, vector.size, _F32, len(data))
        data += _pad(vector.tobytes())
    head = b"GGUF" + struct.pack("<IQQ", 3, len(vectors), len(fields)) + b"".join(fields) + infos
    write(Path(path), _pad(head) + data)
    return Path(path)


def _text(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _pad(content: bytes) -> bytes:
    return content + bytes(-len(content) % _ALIGNMENT)


def read_control_vector(path: str | Path) -> ControlVector:
    """Read a control vector, under the rules of llama.cpp's own reader.

    Raises:
        SelectionError: if the file is missing, damaged, of another kind, or breaks a rule: one says which.
    """
    place = Path(path)
    try:
        content = place.read_bytes()
    except OSError as error:
        raise SelectionError(f"{place} could not be read: {error.strerror or error}. Check the path.") from error
    return _Content(place, content, len(content)).control_vector()


def direction_of(found: ControlVector, path: Path, *, generator: Literal["refuse", "shift"] = "refuse") -> Direction:
    """The direction of a control vector, each vector at the block whose output it was read at.

    Raises:
        SelectionError: if llama.cpp's generator wrote it, and `generator` refuses.
    """
    shift = 0
    if found.producer == "cvector-generator":
        if generator == "refuse":
            raise SelectionError(
                f"{path} was written by llama.cpp's cvector-generator, which numbers each vector one block too high, so that llama.cpp adds "
                "it one block after it was read. To take each at the block where it was read: generator='shift'."
            )
        shift = 1
    vectors = {Site(layer - shift, "resid_post"): vector for layer, vector in found.vectors.items()}
    about = {"name": path.stem, "format": "gguf", "producer": found.producer, "model_type": found.hint}
    return Direction(vectors, about=about)


class _Content(GgufContent):
    """A control vector's file."""

    def control_vector(self) -> ControlVector:
        if self.content[:4] != b"GGUF":
            raise SelectionError(f"{self.path} is no GGUF file: it does not begin with the letters GGUF.")
        (version,) = self.take("I")
        if version not in (2, 3):
            raise self.damage_error(f"it is version {version} of GGUF, and 2 and 3 are read")
        n_tensors, n_fields = self.take("QQ")
        if max(n_tensors, n_fields) > _MOST:
            raise self.damage_error(f"it says that it has {n_tensors:,} tensors and {n_fields:,} fields")
        fields: dict[str, tuple[int, Any]] = {}
        for _ in range(n_fields):
            key = self.text()
            (kind,) = self.take("I")
            fields[key] = (kind, self.value(kind))
        if fields.get("general.architecture", (0, ARCHITECTURE))[1] != ARCHITECTURE:
            raise SelectionError(
                f"{self.path} holds {fields['general.architecture'][1]!r:.60}, no control vector. Give a file of repeng or llama.cpp."
            )
        infos = [self.info() for _ in range(n_tensors)]
        vectors = self.vectors(infos, fields.get("general.alignment", (UINT32, _ALIGNMENT))[1])
        kind = fields.get(COUNT, (None, None))[0]
        producer: Producer = "repeng" if kind == UINT32 else "cvector-generator" if kind == INT32 else "unknown"
        return ControlVector(vectors, str(fields.get(HINT, (0, ""))[1]), producer)

    def info(self) -> tuple[str, int, int]:
        """Name, length and offset of a tensor."""
        name = self.text()
        (dimensions,) = self.take("I")
        shape = list(self.take(f"{dimensions}Q")) if dimensions <= 4 else []
        kind, offset = self.take("IQ")
        if dimensions != 1:
            raise self.damage_error(f"{name[:40]!r} has {dimensions} dimensions, and a direction has one")
        if kind != _F32:
            raise self.damage_error(f"{name[:40]!r} is not stored as F32, and llama.cpp refuses other types")
        return name, next(iter(shape)), offset

    def vectors(self, infos: list[tuple[str, int, int]], alignment: Any) -> dict[int, NDArray[np.float32]]:
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
            raise self.damage_error("its alignment is no number")
        start = -(-self.at // alignment) * alignment
        found: dict[int, NDArray[np.float32]] = {}
        for name, size, offset in infos:
            prefix, _, number = name.partition(".")
            layer = int(number) if number.isascii() and number.isdecimal() and len(number) < 7 else 0
            if prefix != "direction" or layer < 1 or layer in found:
                raise self.damage_error(
                    f"it has a tensor {name[:40]!r}; names are direction.1, direction.2, ..., each once, and there is none of block 0"
                )
            if start + offset + 4 * size > self.size:
                raise self.damage_error(f"it ends before {name!r} does")
            found[layer] = np.frombuffer(self.content, "<f4", size, start + offset)
        if not found or len({vector.size for vector in found.values()}) > 1:
            raise self.damage_error("it has no vector, or vectors of several lengths")
        return found

    def damage_error(self, why: str) -> SelectionError:
        return SelectionError(f"{self.path} is damaged, or no control vector: {why}. Get it again.")

    def cut_off(self) -> SelectionError:
        return self.damage_error(f"it ends after {self.size:,} bytes, in the middle of what it says of itself")
