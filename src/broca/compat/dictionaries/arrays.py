"""Arrays of a dictionary's file: those that are wanted, in float32, whatever their order and type."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from broca.errors import SelectionError, first_line
from broca.storage import Source, read_tensors

ADVICE = "Get it again, from whoever trained it."
_MEMBERS, _HEADER = 32, 10_000
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, EOFError, ValueError, RuntimeError, TypeError,
           LookupError, ArithmeticError, MemoryError, SyntaxError)  # fmt: skip
"""What readers of archives and arrays raise of damaged ones."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file, in float32.

    Raises:
        SelectionError: if the file is missing, damaged or holds something else than numbers.
    """
    source = Source(str(path), SelectionError, ADVICE)
    try:
        _, tensors = read_tensors(path, source, framework="pt")
    except FileNotFoundError as error:
        raise SelectionError(f"There is no {path.name} in {path.parent}. {ADVICE}") from error
    odd = [name for name, tensor in tensors.items() if not tensor.is_floating_point()]
    if odd:
        raise SelectionError(f"{path}: {odd[0][:60]!r} is of {tensors[odd[0]].dtype}, and holds no weights. {ADVICE}")
    return {name: tensor.float().numpy() for name, tensor in tensors.items()}


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Arrays of an ``.npz`` of numbers, in float32: what each claims to hold is held against the file first, and nothing is unpickled.

    Raises:
        SelectionError: if the file is missing, damaged, or holds something else than numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()[: _MEMBERS + 1]
            found = {each.filename.removesuffix(".npy"): _member(archive, each, path) for each in members}
    except FileNotFoundError as error:
        raise SelectionError(f"There is no {path}. Check the path.") from error
    except _DAMAGE as error:
        why = first_line(error)[:200]
        raise SelectionError(f"{path} is no whole .npz file ({why}). {ADVICE}") from error
    if len(found) > _MEMBERS:
        raise SelectionError(f"{path} holds more than {_MEMBERS} arrays, which no dictionary has. {ADVICE}")
    return found


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    from numpy.lib import format as npy

    with archive.open(info) as file:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise SelectionError(
                f"{path}: {info.filename[:60]!r} is an array of the unknown version {version}. {ADVICE}"
            )
        shape, fortran, dtype = read(file, max_header_size=_HEADER)
        bytes_claimed = prod(shape) * dtype.itemsize
        # Deflate shrinks a thousandfold at most: weights hardly at all.
        if (
            dtype.kind not in "fiu"
            or bytes_claimed > info.file_size
            or info.file_size > 1100 * max(info.compress_size, 1)
        ):
            raise SelectionError(
                f"{path}: {info.filename[:60]!r} claims {shape} of {str(dtype)[:40]}, which it has no room for or which are no numbers. {ADVICE}"
            )
        content = file.read(bytes_claimed)
    if len(content) != bytes_claimed:
        raise SelectionError(f"{path}: {info.filename[:60]!r} ends early. {ADVICE}")
    flat = np.frombuffer(content, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        return flat.reshape(shape, order="F" if fortran else "C").astype(np.float32)


def take(arrays: Mapping[str, np.ndarray], path: Path, **wanted: str) -> dict[str, Any]:
    """Arrays by other names.

    Args:
        arrays: of a file.
        path: of the file.
        wanted: the name in the file, by the new one.

    Raises:
        SelectionError: if one is not there.
    """
    for name in wanted.values():
        if name not in arrays:
            held = ", ".join(sorted(arrays))[:120]
            raise SelectionError(
                f"{path} has no {name!r}; it holds {held or 'nothing'}. It is of another kind than its config says."
            )
    return {new: arrays[name] for new, name in wanted.items()}
