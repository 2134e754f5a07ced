"""Chosen weights outside of memory: one safetensors file, which says of which model they are.

One int64 tensor a matrix that has chosen entries, and one metadata entry, ``broca-weightset``: JSON with `format`,
`version`, `addresses` (name to layer, kind, rows, columns), `about` and `fingerprint`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from broca.errors import SelectionError
from broca.storage import write
from broca.units.weights import Address, WeightSet

FORMAT = "broca-weightset"
VERSION = 1


def to_bytes(chosen: WeightSet) -> bytes:
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


def save(chosen: WeightSet, path: Path) -> Path:
    """Write under a temporary name, then rename."""
    write(path, to_bytes(chosen))
    return path


def load(path: Path, *, model: str | None = None) -> WeightSet:
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
    found = from_bytes(content, str(path))
    made_on = found.about.get("model")
    if model is not None and made_on not in (None, model):
        raise SelectionError(
            f"{path} chooses weights of another model (its fingerprint is {made_on}, this one's {model}). Score this model "
            "itself; the same places in another model mean nothing."
        )
    return found


def from_bytes(content: bytes, where: str) -> WeightSet:
    """Chosen weights from the content of a file; `where` is for errors.

    Raises:
        SelectionError: if it is damaged or something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpack

    try:
        about = _header(content)
        tensors = unpack(content)
    except (SafetensorError, ValueError) as error:
        raise SelectionError(f"{where} is no whole safetensors file ({error}). Make it again.") from error
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise SelectionError(
            f"{where} is a safetensors file, but holds no chosen weights that this version of broca wrote."
        )
    addresses = {name: Address(*values) for name, values in about["addresses"].items()}
    try:
        found = WeightSet(tensors, addresses, about["about"])
    except SelectionError as error:
        raise SelectionError(f"{where} is damaged: {error}") from error
    if found.fingerprint != about["fingerprint"]:
        raise SelectionError(f"{where} is damaged: its content does not have the fingerprint {about['fingerprint']}.")
    return found


def _header(content: bytes) -> dict[str, Any]:
    length = int(np.frombuffer(content[:8], "<u8")[0]) if len(content) >= 8 else 0
    header = json.loads(content[8 : 8 + length])
    return json.loads((header.get("__metadata__") or {}).get(FORMAT, "{}"))
