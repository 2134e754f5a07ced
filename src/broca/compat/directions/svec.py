"""``.svec`` files (JSON) of IBM's activation-steering and of AISteer360: a vector a layer.

A vector of layer l was fitted on what block l, counted from 0, hands on; activation-steering then adds it at that block's *input*, one
block early. It is taken here at the place where it was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

from broca.errors import SelectionError
from broca.sites import Site
from broca.storage import read_json
from broca.units.direction import Direction

_Number = Annotated[float, Field(allow_inf_nan=False)]
_LARGEST = 1 << 28


class _Svec(BaseModel):
    model_type: str = ""
    directions: Annotated[Mapping[str, list[_Number] | list[list[_Number]]], Field(min_length=1)]


def read_svec(path: Path) -> Direction:
    """The vectors of a file.

    Raises:
        SelectionError: if it cannot be read, is damaged, or has several vectors a layer.
    """
    said = read_json(path, _Svec, largest=_LARGEST, error=SelectionError, advice="Get it again.")
    vectors = {_site(path, layer): _vector(path, layer, given) for layer, given in said.directions.items()}
    return Direction(vectors, about={"name": path.stem, "format": "svec", "model_type": said.model_type})


def _site(path: Path, layer: str) -> Site:
    if not (layer.isascii() and layer.isdecimal() and len(layer) < 7 and layer == str(int(layer))):
        raise SelectionError(
            f"{path} has a vector of layer {layer[:40]!r}. Layers are numbers, from 0, without leading zeros."
        )
    return Site(int(layer), "resid_post")


def _vector(path: Path, layer: str, given: Any) -> np.ndarray:
    rows = given if given and isinstance(given[0], list) else [given]
    if len(rows) != 1:
        raise SelectionError(
            f"{path} has {len(rows)} vectors of layer {layer}, and a direction has one. Write one each."
        )
    with np.errstate(over="ignore"):
        return np.asarray(rows[0], np.float64).astype(np.float32)
