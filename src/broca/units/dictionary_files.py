"""Dictionaries as safetensors: their arrays, and what is known of them as JSON in the header."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from broca.errors import BrocaError, SelectionError
from broca.sites import Site
from broca.units.own_files import check_fingerprint, read_own, write_own

FORMAT, VERSION = "broca-dictionary", 1
ARRAYS = ("encoder", "decoder", "bias", "decoder_bias", "threshold", "gain", "magnitude", "skip")


class _About(BaseModel):
    """What a file says of its dictionary."""

    fingerprint: str
    architecture: str
    source: str
    target: str
    k: int
    centred: bool
    norm: str
    without_mean: bool
    model: str
    about: Mapping[str, Any]


def save(dictionary: Any, path: Path) -> Path:
    """Write it under a temporary name, then rename."""
    said = {name: getattr(dictionary, name) for name in _About.model_fields}
    said |= {"source": str(dictionary.source), "target": str(dictionary.target), "about": dict(dictionary.about)}
    arrays = {name: _small(array) for name in ARRAYS if (array := getattr(dictionary, name)) is not None}
    return write_own(path, FORMAT, VERSION, arrays, said)


def _small(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), array) else array


def load(make: Callable[..., Any], path: Path) -> Any:
    """Read a dictionary, and check it against its own fingerprint.

    Raises:
        SelectionError: if the file is missing, damaged, or something else.
    """
    said, tensors = read_own(
        path, FORMAT, VERSION, _About, noun="dictionary", writer="Dictionary.save",
        elsewhere=" Files of other programs are read by broca.read_dictionary.",
    )  # fmt: skip
    try:
        for name, values in tensors.items():
            if name not in ARRAYS or values.dtype not in ("float16", "float32"):
                raise SelectionError(f"it holds {name[:60]!r} of {values.dtype}")
        if missing := [name for name in ARRAYS[:4] if name not in tensors]:
            raise SelectionError(f"it has no {missing[0]}")
        places = {"source": Site.parse(said.source), "target": Site.parse(said.target)}
        rest = said.model_dump(exclude={"fingerprint", "source", "target", "about"})
        found = make(**tensors, **places, **rest, about={**said.about, "path": str(path)})
    except BrocaError as error:
        raise SelectionError(f"{path} is damaged: {error}") from error
    check_fingerprint(path, found.fingerprint, said.fingerprint)
    return found
