"""Vectors in ``.pt`` files: those of contrastive activation addition, and refusal directions.

CAA (Rimsky et al., 2024) has one 1-D tensor a file, ``vec_layer_{l}_{model}.pt``: what was read at the output of block l, counted from 0.
Arditi et al. (2024) have ``direction.pt`` with ``direction_metadata.json`` beside it: what was read at the *input* of block ``layer``.
Neither says of which model it is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field
from torch import Tensor

from broca.errors import SelectionError
from broca.models.torch_files import load_torch
from broca.sites import Site
from broca.storage import parse_json
from broca.units.direction import Direction

METADATA = "direction_metadata.json"
_CAA = re.compile(r"vec_layer_(\d{1,6})(?:_.{0,200})?\.pt")


class _Metadata(BaseModel):
    layer: Annotated[int, Field(ge=0, lt=1_000_000)]
    pos: int = -1


def read_torch_vector(path: Path, site: Site | None = None) -> Direction:
    """The vector of a file.

    Args:
        path: of the file.
        site: where it was read; by default what the name says, or the file beside it.

    Raises:
        SelectionError: if the file cannot be read, is damaged, holds more than a vector, or nothing says where it was read.
    """
    held = load_torch(path, holds="a vector", again="Get it again.", error=SelectionError)
    if not isinstance(held, Tensor) or held.squeeze().ndim != 1 or not held.is_floating_point():
        what = f"a tensor of shape {tuple(held.shape)}" if isinstance(held, Tensor) else type(held).__name__
        raise SelectionError(f"{path} holds {what}, no vector. Give the file of one direction.")
    where, about = _place(path) if site is None else (site, {})
    vector = held.squeeze().detach().double().numpy().astype(np.float32)
    return Direction({where: vector}, about={"name": path.stem, "format": "pt", **about})


def _place(path: Path) -> tuple[Site, dict[str, object]]:
    if named := _CAA.fullmatch(path.name):
        return Site(int(named[1]), "resid_post"), {"producer": "CAA"}
    beside = path.with_name(METADATA)
    if path.name == "direction.pt" and beside.is_file():
        try:
            content = beside.read_bytes()
        except OSError as error:
            raise SelectionError(
                f"{beside} could not be read: {error.strerror or error}. Check that you may."
            ) from error
        said = parse_json(content, _Metadata, name=str(beside), error=SelectionError, advice="Get it again.")
        return Site(said.layer, "resid_pre"), {"producer": "refusal_direction", "position": said.pos}
    raise SelectionError(
        f"{path.name} does not say at which layer its vector was read. Say it: site='12.resid_post' (vec_layer_12_MODEL.pt would say so)."
    )
