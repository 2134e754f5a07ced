"""Files of this package's own: safetensors whose one entry of metadata says, as JSON, what they hold and its fingerprint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broca.errors import SelectionError
from broca.storage import Source, read_tensors, write


def write_own(path: Path, kind: str, version: int, tensors: Mapping[str, Any], said: Mapping[str, Any]) -> Path:
    """Write under a temporary name, then rename.

    Args:
        path: of the file.
        kind: of file, such as ``broca-unitmask``.
        version: of that kind.
        tensors: NumPy arrays by name.
        said: of them; plain JSON.
    """
    from safetensors.numpy import save as to_bytes

    about = {"format": kind, "version": version, **said}
    # One metadata entry: safetensors writes several in an order that changes from one process to the next.
    write(path, to_bytes(dict(tensors), metadata={kind: json.dumps(about, sort_keys=True)}))
    return path


def read_own(
    path: Path, kind: str, version: int, about: Any, *, noun: str, writer: str, elsewhere: str = ""
) -> tuple[Any, dict[str, Any]]:
    """What a file says of itself, as `about`, and its tensors.

    Args:
        path: of the file.
        kind: of file.
        version: of that kind.
        about: a pydantic model.
        noun: what the file is to hold: "mask".
        writer: what writes such files: "UnitMask.save".
        elsewhere: what reads files of other programs, as a sentence.

    Raises:
        SelectionError: if the file is missing, damaged, or something else.
    """
    source = Source(str(path), SelectionError, f"Write it again with {writer}.")
    try:
        header, tensors = read_tensors(path, source, framework="numpy")
    except FileNotFoundError as error:
        raise SelectionError(f"There is no {noun} at {path}. Check the path, or write one with {writer}.") from error
    told = source.words(header.metadata.get(kind, "{}"), dict[str, Any])
    if told.get("format") != kind or told.get("version") != version:
        raise SelectionError(
            f"{path} is a safetensors file, but not a {noun} that this version of broca wrote. Use {writer}.{elsewhere}"
        )
    return source.validate(told, about), tensors


def check_fingerprint(path: Path, found: str, said: str) -> None:
    """Refuse content that is not what the file says of it: SelectionError."""
    if found != said:
        raise SelectionError(f"{path} is damaged: its content does not have the fingerprint {said}.")
