"""What a GGUF file says of itself, read within bounds before any library reads the rest.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A length in it is a stranger's word: each is held against the
size of the file, so that a file that was cut off, or made to mislead, ends in one sentence.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from broca.errors import ModelError
from broca.storage.gguf_content import GgufContent

FLOATS = ("F64", "F32", "F16", "BF16")
"""Types of tensors whose numbers are as they were; all others are codes."""
_VERSIONS = (2, 3)
_DIMENSIONS = 8
"""Of a tensor at most."""
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Header:
    """What the head of a GGUF file says."""

    architecture: str
    """By llama.cpp's name."""
    types: Mapping[str, int]
    """How many tensors are stored in each of ggml's types, the most frequent first."""
    parameters: int
    tokenizer: bool
    """Whether it has one."""

    @property
    def dtype(self) -> str:
        """What its values fit into: a half type where it has floats alone and some are of that type, or else float32."""
        half = {"F16": "float16", "BF16": "bfloat16"}
        found = [half[name] for name in self.types if name in half]
        return found[0] if found and set(self.types) <= set(FLOATS) else "float32"


def read_header(path: Path) -> Header:
    """The head of a GGUF file; every tensor that it names lies within the file.

    Raises:
        ModelError: if the package that knows its types is not installed; if the file is none, is cut off or damaged, or is one
            part of several.
    """
    if find_spec("gguf") is None:
        raise ModelError(f"{path} is in GGUF, and the package that reads it is not installed: pip install gguf.")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
            if start == _POINTER:
                raise ModelError(f"{path} is a pointer of Git LFS, and not the file itself. Fetch it: git lfs pull.")
            if start[:4] != b"GGUF":
                raise ModelError(f"{path} is no GGUF file: it does not begin with the letters GGUF. Get it again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _Reader(path, content, size).header()
    except OSError as error:
        raise ModelError(f"{path} could not be read: {error.strerror or error}.") from error


class _Reader(GgufContent):
    """The head of a model's file."""

    def header(self) -> Header:
        (version,) = self.take("I")
        if version not in _VERSIONS:
            what = (
                "was written for machines of another byte order"
                if version & 0xFFFF == 0
                else f"is version {version} of GGUF"
            )
            raise ModelError(f"{self.path} {what}, which is not read: convert it anew with llama.cpp.")
        n_tensors, n_fields = self.take("QQ")
        fields: dict[str, Any] = {}
        for _ in range(n_fields):
            key = self.text()
            fields[key] = self.value(*self.take("I"))
        if isinstance(parts := fields.get("split.count"), int) and parts > 1:
            raise ModelError(
                f"{self.path} is one of {parts} parts of a model. Join them with llama.cpp (llama-gguf-split --merge), and give the whole."
            )
        architecture = fields.get("general.architecture")
        if not isinstance(architecture, str):
            raise self.damage_error("it does not say what kind of model it holds")
        types, parameters = self.tensors(n_tensors, fields.get("general.alignment", 32))
        return Header(architecture, types, parameters, bool(fields.get("tokenizer.ggml.tokens")))

    def tensors(self, n: int, alignment: Any) -> tuple[dict[str, int], int]:
        """How many of each type, and how many numbers in all; the end of each is held against the size of the file."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        if not isinstance(alignment, int) or alignment < 1:
            raise self.damage_error("its alignment is no positive number")
        types: Counter[str] = Counter()
        numbers, end = 0, 0
        for _ in range(n):
            self.text()
            (dimensions,) = self.take("I")
            self.bound("dimensions", dimensions, _DIMENSIONS)
            count = prod(self.take(f"{dimensions}Q"))
            code, offset = self.take("IQ")
            if code not in {kind.value for kind in GGML_QUANT_SIZES}:
                raise self.damage_error(f"it holds numbers of the unknown type {code}")
            kind = GGMLQuantizationType(code)
            block, width = GGML_QUANT_SIZES[kind]
            types[kind.name] += 1
            numbers += count
            end = max(end, offset + -(-count // block) * width)
        if not types:
            raise self.damage_error("it holds no weights")
        whole = -(-self.at // alignment) * alignment + end
        if whole > self.size:
            raise self.cut_off(whole)
        return dict(types.most_common()), numbers

    def damage_error(self, why: str) -> ModelError:
        return ModelError(f"{self.path} is damaged: {why}. Get it again.")

    def cut_off(self, whole: int | None = None) -> ModelError:
        of = f"of {whole:,}" if whole else "in the middle of what it says of itself"
        return ModelError(f"{self.path} is cut off: it ends after {self.size:,} bytes {of}. Get it again.")


def choose_file(folder: Path, name: str, wanted: str | None) -> Path | None:
    """The GGUF file of a directory: the one that is wanted, or the only one where there are no safetensors; None for safetensors.

    Raises:
        ModelError: naming those that are there, if the one that is wanted is not, or none is wanted and there are several.
    """
    there = sorted(each.name for each in folder.glob("*.gguf"))
    if wanted is None and (not there or any(folder.glob("*.safetensors*"))):
        return None
    if wanted is None and len(there) > 1:
        raise ModelError(f"{name} holds {len(there)} GGUF files. Choose one by gguf (--gguf): {', '.join(there)}.")
    if wanted is not None and wanted not in there:
        raise ModelError(f"{name} holds no GGUF file {wanted!r}. It holds {', '.join(there) or 'none'}.")
    return folder / (wanted or there[0])


def sha256(path: Path) -> str:
    """Of a whole file, in hex; computed anew when its size or time of change is another.

    Raises:
        ModelError: if it cannot be read.
    """
    try:
        state = path.stat()
        return _sha256(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise ModelError(f"{path} could not be read: {error.strerror or error}.") from error


@lru_cache(maxsize=16)
def _sha256(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
