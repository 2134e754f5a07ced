"""Entries of MIB's circuit track (Mueller et al., 2025), as EAP-IG writes them: ``.json`` by name, ``.pt`` as tensors.

Each query head has a key and a value of its own there, also where heads share one. A score that is NaN, or not there, is of an edge that
nobody scored; there it is always kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from torch import Tensor

from broca.errors import SelectionError
from broca.models.torch_files import load_torch
from broca.storage import read_json, validate
from broca.units.edge_choices import EdgeRanking
from broca.units.graph import EdgeGraph, EdgeMask

_LARGEST, _CELLS = 1 << 28, 20_000_000
"""Bytes of a file, and pairs of a writer and a reader, at most."""
_AGAIN = "Get it again."
_Count = Annotated[int, Field(ge=1, le=10_000)]


class _Shape(BaseModel):
    n_layers: _Count
    n_heads: _Count
    parallel_attn_mlp: bool = False

    def graph(self, path: Path) -> EdgeGraph:
        """Every edge that there is.

        Raises:
            SelectionError: if there are more than any model has.
        """
        cells = (1 + self.n_layers * (self.n_heads + 1)) * (1 + self.n_layers * (3 * self.n_heads + 1))
        if cells > _CELLS:
            raise SelectionError(f"{path} says that it is of {self.n_layers} layers of {self.n_heads} heads. {_AGAIN}")
        return EdgeGraph(self.n_heads, self.n_heads, (self.parallel_attn_mlp,) * self.n_layers)


class _Edge(BaseModel):
    score: float | None = None
    in_graph: bool = False


class _Entry(BaseModel):
    cfg: _Shape
    nodes: Mapping[str, Any]
    edges: Mapping[str, _Edge]


def read_entry(path: Path) -> EdgeRanking:
    """The scores of an entry, and the edges that are in its graph.

    Raises:
        SelectionError: if the file cannot be read, is damaged, or names an edge that there is not.
    """
    return _of_tensors(path) if path.suffix == ".pt" else _of_names(path)


def _of_names(path: Path) -> EdgeRanking:
    said = read_json(path, _Entry, largest=_LARGEST, error=SelectionError, advice=_AGAIN)
    graph = said.cfg.graph(path)
    writers, readers = ({name: i for i, name in enumerate(names)} for names in (graph.writers, graph.readers))
    scores, on = np.full(graph.exists.shape, np.nan), np.zeros(graph.exists.shape, dtype=bool)
    for name, edge in said.edges.items():
        writer, _, reader = name.partition("->")
        at = writers.get(writer), readers.get(reader)
        if None in at or not graph.exists[at]:
            raise SelectionError(f"{path} has an edge {name[:60]!r}, which a model of its shape has not. {_AGAIN}")
        scores[at], on[at] = np.nan if edge.score is None else edge.score, edge.in_graph
    return _ranking(path, graph, scores, on)


def _of_tensors(path: Path) -> EdgeRanking:
    held = load_torch(path, holds="an entry", again=_AGAIN, error=SelectionError)
    if not isinstance(held, dict) or not {"cfg", "edges_scores", "edges_in_graph"} <= held.keys():
        raise SelectionError(
            f"{path} is no entry of MIB's circuit track: it has no cfg, edges_scores and edges_in_graph."
        )
    graph = validate(held["cfg"], _Shape, name=f"{path}: cfg", error=SelectionError, advice=_AGAIN).graph(path)
    for key, names in (("src_nodes", graph.writers), ("dst_nodes", graph.readers)):
        if isinstance(given := held.get(key), list) and tuple(given) != names:
            raise SelectionError(
                f"{path} has its {key} in an order of its own, and edges are told by their order. {_AGAIN}"
            )
    scores, on = (_matrix(path, held[key], key, graph) for key in ("edges_scores", "edges_in_graph"))
    return _ranking(path, graph, scores, on != 0)


def _matrix(path: Path, value: Any, key: str, graph: EdgeGraph) -> NDArray[np.float64]:
    if not isinstance(value, Tensor) or tuple(value.shape) != graph.exists.shape or value.is_complex():
        what = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise SelectionError(f"{path}: {key} is {what}, and a model of its shape has {graph.exists.shape}. {_AGAIN}")
    return value.detach().double().numpy()


def _ranking(path: Path, graph: EdgeGraph, scores: NDArray[Any], on: NDArray[np.bool_]) -> EdgeRanking:
    writer, reader = graph.edges.T
    found = scores[writer, reader]
    if np.isinf(found).any():
        raise SelectionError(f"{path} has scores that are infinite. {_AGAIN}")
    return EdgeRanking(found, EdgeMask(graph, on[writer, reader]))
