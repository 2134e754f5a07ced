"""What identifies weights: all of them, wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch

from broca.models.quantisation import stored_weights


def weight_hash(model: Any) -> str:
    """The first 16 hex digits of the SHA-256 of every weight, by name, wherever it lies."""
    digest = hashlib.sha256()
    for key, value in sorted(stored_weights(model).items()):
        digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        for part in _plain(_fetch_weight(model, key) if value.is_meta else value):
            if part.is_meta:
                digest.update(str(model.config).encode())
            else:
                digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _fetch_weight(model: Any, key: str) -> torch.Tensor:
    """A weight that accelerate keeps elsewhere, in main memory."""
    from accelerate.utils import align_module_device

    path, _, name = key.rpartition(".")
    module = model.get_submodule(path)
    with align_module_device(module, torch.device("cpu")):
        return getattr(module, name).detach().clone()


def _plain(value: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors that a weight is made of: itself, or, of a packed one, its parts."""
    parts = getattr(value, "__tensor_flatten__", None)
    if parts is None or type(value) in (torch.Tensor, torch.nn.Parameter):
        yield value
        return
    for name in sorted(parts()[0]):
        yield from _plain(getattr(value, name))
