"""InterpBench's models with a planted circuit (Gupta et al., 2024): their true edges (``edges.pkl``) and weights (``ll_model.pth``).

Edges are pairs of the names that TransformerLens gives to places. The truth is by head and by whole MLP: edges inside a part, from what
it reads to what it writes, say nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from broca.errors import SelectionError
from broca.models.torch_files import load_torch
from broca.storage import read
from broca.storage.pickles import plain_pickle
from broca.units.graph import EdgeGraph, EdgeMask

_AGAIN = "Get it again."
_PLACE = re.compile(r"blocks\.(\d{1,4})\.(?:attn\.)?hook_([a-z_]{1,20})(?:\[(\d{1,4})\])?")
_INPUT = ("hook_embed", "hook_pos_embed", "blocks.0.hook_resid_pre")


def read_edges(path: Path, graph: EdgeGraph) -> EdgeMask:
    """The true edges of a model.

    Args:
        path: of ``edges.pkl``.
        graph: every edge that the model has.

    Raises:
        SelectionError: if the file cannot be read, holds anything but pairs of texts, or names an edge that the model has not.
    """
    try:
        held = plain_pickle(read(path))
    except ValueError as error:
        raise SelectionError(f"{path} is no list of edges: {error}. {_AGAIN}") from error
    pairs = [_pair(path, each) for each in held] if isinstance(held, list | tuple) else []
    if not pairs:
        raise SelectionError(f"{path} holds no list of edges. {_AGAIN}")
    ends = [(_ends(path, start, graph)[0], _ends(path, end, graph)[1]) for start, end in pairs]
    return EdgeMask.of(graph, dict.fromkeys(f"{writer}->{reader}" for writer, reader in ends if writer and reader))


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors of ``ll_model.pth`` by their names in TransformerLens.

    Raises:
        SelectionError: if the file cannot be read, is damaged, or holds anything but tensors by name.
    """
    held = load_torch(path, holds="tensors", again=_AGAIN, error=SelectionError)
    if (
        not isinstance(held, Mapping)
        or not held
        or not all(isinstance(v, Tensor) and isinstance(k, str) for k, v in held.items())
    ):
        raise SelectionError(f"{path} holds no tensors by name. {_AGAIN}")
    return dict(held)


def _pair(path: Path, value: Any) -> tuple[str, str]:
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(each, str) for each in value):
        return value[0], value[1]
    raise SelectionError(f"{path} holds {value!r:.60} where a pair of places should be. {_AGAIN}")


def _ends(path: Path, place: str, graph: EdgeGraph) -> tuple[str, str]:
    """What writes at a place, and what reads there; nothing where none does, as inside a head."""
    if place in _INPUT:
        return "input", ""
    if found := _PLACE.fullmatch(place):
        layer, kind, head = found.groups()
        part = f"m{layer}" if head is None else f"a{layer}.h{head}"
        if kind in ("result", "mlp_out"):
            return part, ""
        if kind in ("q_input", "k_input", "v_input"):
            return "", f"{part}<{kind[0]}>"
        if kind == "mlp_in":
            return "", part
        if kind == "resid_post" and int(layer) == graph.n_layers - 1:
            return "", "logits"
        if kind in ("q", "k", "v"):
            return "", ""
    raise SelectionError(f"{path} names a place {place[:60]!r}, which no model of this shape has. {_AGAIN}")
