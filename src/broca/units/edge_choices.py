"""Choices of edges: the strongest by their scores, and random ones like them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from broca.errors import SelectionError
from broca.units.graph import EdgeGraph, EdgeMask


@dataclass(frozen=True, slots=True, eq=False)
class EdgeRanking:
    """Scores of edges, and some of them chosen."""

    scores: NDArray[np.float64]
    """``(edge,)`` in the order of `EdgeGraph.edges`; NaN where one was not scored."""
    circuit: EdgeMask

    def share(self, graph: EdgeGraph) -> EdgeRanking:
        """The same where heads share keys and values: the edges into one are summed up, and chosen where one of them was.

        Args:
            graph: of as many layers and heads.

        Raises:
            SelectionError: if it has another shape.
        """
        own = self.circuit.graph
        if (own.n_heads, own.parallel) != (graph.n_heads, graph.parallel) or own.n_groups not in (
            own.n_heads,
            graph.n_groups,
        ):
            raise SelectionError(
                f"These edges are of {own.n_layers} layers of {own.n_heads} heads, and the model has {graph.n_layers} of {graph.n_heads}, "
                "or its blocks are wired otherwise. They belong to another model."
            )
        heard = {name: reader for reader in range(len(graph.readers)) for name in _parts(graph, reader)}
        into = [heard[own.readers[reader]] for reader in range(len(own.readers))]
        scores, on = np.zeros(graph.exists.shape), np.zeros(graph.exists.shape, dtype=bool)
        writer, reader = own.edges[:, 0], np.array(into)[own.edges[:, 1]]
        np.add.at(scores, (writer, reader), self.scores)
        np.logical_or.at(on, (writer, reader), self.circuit.on)
        at = tuple(graph.edges.T)
        return EdgeRanking(scores[at], EdgeMask(graph, on[at]))


def _parts(graph: EdgeGraph, reader: int) -> tuple[str, ...]:
    """What a reader is called where every head has a key and a value of its own, and here."""
    name = graph.readers[reader]
    kind = name.partition("<")[2]
    return (name, *(f"{graph.writers[i]}<{kind}" for i in graph.writers_of(reader) if kind))


def random_edges(like: EdgeMask, n: int, seed: int, *, match: bool = True) -> tuple[EdgeMask, ...]:
    """Distinct random choices of as many edges; fewer than n where they repeat themselves.

    Args:
        like: what they are like; it is none of them itself.
        n: how many.
        seed: of the first.
        match: draw as many edges from each layer of writers to each layer of readers.
    """
    graph = like.graph
    kinds = graph.layers @ np.array([graph.n_layers + 2, 1]) if match else np.zeros(graph.n_edges, dtype=np.int64)
    pools = [(np.flatnonzero(kinds == kind), int(like.on[kinds == kind].sum())) for kind in np.unique(kinds)]
    seen, found = {like.on.tobytes()}, []
    for turn in range(10 * n):
        draw, on = np.random.default_rng([seed, turn]), np.zeros(graph.n_edges, dtype=bool)
        for pool, count in pools:
            if count:
                on[draw.choice(pool, count, replace=False)] = True
        if on.tobytes() not in seen:
            seen.add(on.tobytes())
            found.append(EdgeMask(graph, on))
        if len(found) == n:
            break
    return tuple(found)


def strongest(graph: EdgeGraph, scores: NDArray[np.float64], n: int, *, absolute: bool) -> EdgeMask:
    """The n edges that rank highest, by their size or as signed; of equal ones the first."""
    values = np.abs(scores) if absolute else scores
    return graph.mask(np.argsort(-values, kind="stable")[:n].tolist())
