"""The score chunks of Wu et al. (npj AI, 2025): one ``layer_{i}.pt`` a layer, read without running what a pickle may hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.errors import SelectionError
from broca.models.lm import LM
from broca.models.torch_files import load_torch
from broca.models.weight_matrices import matrices
from broca.units.weights import Address


class Chunks:
    """A folder of score chunks: called with a matrix's name it gives its scores, one layer in memory at a time.

    That is what `broca.capture.ranking.rank_weights` asks for, together with `addresses`.

    Args:
        folder: with ``layer_0.pt`` and so on; ``manifest.json`` is not needed, and not read.
        lm: the model that was scored.

    Raises:
        SelectionError: if a layer's file is missing, or the model's matrices are not those of the published layouts (one
            projection a parameter).
    """

    addresses: Mapping[str, Address]
    """The matrices of the model by name."""

    def __init__(self, folder: str | Path, lm: LM) -> None:
        self._folder = Path(folder).expanduser()
        self._layer: tuple[int, Mapping[str, Tensor]] = (-1, {})
        self._keys: dict[str, str] = {}
        self.addresses = {}
        for matrix in matrices(lm.model, lm.anatomy):
            if not matrix.whole:
                raise SelectionError(
                    f"{matrix.name} is one part of a parameter that holds several matrices. Published chunks have one matrix a "
                    "parameter, as in Llama, Mistral, Qwen and OPT: score this model itself."
                )
            self.addresses[matrix.name] = matrix.address
            self._keys[matrix.name] = matrix.name.rpartition(".")[2]
        missing = [path for layer in range(lm.anatomy.n_layers) if not (path := self._path(layer)).is_file()]
        if missing:
            raise SelectionError(
                f"{missing[0]} is missing. Give the folder with one layer_0.pt to layer_{lm.anatomy.n_layers - 1}.pt for each "
                "layer of the model that was scored."
            )

    def __call__(self, name: str) -> NDArray[np.float32]:
        """The scores of a matrix, ``(row, column)``; infinite ones and NaN as they are.

        Raises:
            SelectionError: if the file of its layer is damaged, holds something else than tensors, or was made from a model
                of another shape.
        """
        address = self.addresses[name]
        path, key = self._path(address.layer), self._keys[name]
        if self._layer[0] != address.layer:
            self._layer = (address.layer, _load(path))
        scores = self._layer[1].get(key)
        if scores is None:
            raise SelectionError(
                f"{path} has no scores of {key}. It has {', '.join(map(repr, self._layer[1])) or 'none'}."
            )
        if tuple(scores.shape) != (address.rows, address.columns):
            raise SelectionError(
                f"{path}: {key} is {tuple(scores.shape)}, and this model's is {(address.rows, address.columns)}. Give the model that "
                "was scored."
            )
        return scores.float().numpy()

    def _path(self, layer: int) -> Path:
        return self._folder / f"layer_{layer}.pt"


def _load(path: Path) -> Mapping[str, Tensor]:
    found = load_torch(path, holds="tensors", again="Make it again.", error=SelectionError)
    if not isinstance(found, dict) or not all(
        isinstance(key, str)
        and isinstance(value, Tensor)
        and value.is_floating_point()
        and value.layout == torch.strided
        for key, value in found.items()
    ):
        raise SelectionError(f"{path} holds something else than scores by the name of a projection, such as q_proj.")
    return found
