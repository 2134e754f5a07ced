"""The edges of a decoder: which part that writes to the residual stream is read by which part that reads it.

Writers are what enters the first block (``input``), each attention head (``a3.h1``) and each MLP (``m3``). Readers are the queries,
keys and values of each head (``a3.h1<q>``), each MLP and the ``logits``; heads that share a key and a value read them as one
(``a3.g0<k>``). A reader hears every writer before it; in a parallel block the MLP does not hear the heads beside it. Names and order
are those of Hanna et al. (2024), EAP-IG.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broca.errors import SelectionError
from broca.items import fingerprint

Flags = NDArray[np.bool_]
KINDS = ("q", "k", "v")


@dataclass(frozen=True)
class EdgeGraph:
    """The shape of a decoder, and with it every edge that there is."""

    n_heads: int
    n_groups: int
    """Key-value heads: as many as heads where none is shared."""
    parallel: tuple[bool, ...]
    """For each layer, whether its MLP reads what its heads read."""

    @property
    def n_layers(self) -> int:
        return len(self.parallel)

    @cached_property
    def writers(self) -> tuple[str, ...]:
        """Their names, in the order of writing."""
        heads = [[f"a{layer}.h{head}" for head in range(self.n_heads)] for layer in range(self.n_layers)]
        return ("input", *(name for layer, own in enumerate(heads) for name in (*own, f"m{layer}")))

    @cached_property
    def readers(self) -> tuple[str, ...]:
        """Their names, in the order of reading."""
        found: list[str] = []
        for layer in range(self.n_layers):
            for kind in KINDS:
                shared = kind != "q" and self.n_groups != self.n_heads
                n, letter = (self.n_groups, "g") if shared else (self.n_heads, "h")
                found += [f"a{layer}.{letter}{i}<{kind}>" for i in range(n)]
            found.append(f"m{layer}")
        return (*found, "logits")

    @property
    def per_layer(self) -> int:
        """Readers of one layer: queries, keys, values, and the MLP."""
        return self.n_heads + 2 * self.n_groups + 1

    def heads_of(self, layer: int) -> slice:
        """The writers that are the heads of a layer."""
        start = 1 + layer * (self.n_heads + 1)
        return slice(start, start + self.n_heads)

    def mlp_of(self, layer: int) -> int:
        """The writer that is the MLP of a layer."""
        return (layer + 1) * (self.n_heads + 1)

    def before(self, layer: int) -> int:
        """How many writers the attention of a layer reads: the first so many."""
        return 1 + layer * (self.n_heads + 1)

    def before_mlp(self, layer: int) -> int:
        """How many writers the MLP of a layer reads."""
        return self.before(layer) + (0 if self.parallel[layer] else self.n_heads)

    def attention_of(self, layer: int) -> slice:
        """The readers that are queries, keys and values of a layer."""
        return slice(layer * self.per_layer, (layer + 1) * self.per_layer - 1)

    def reader_mlp(self, layer: int) -> int:
        """The reader that is the MLP of a layer."""
        return (layer + 1) * self.per_layer - 1

    @cached_property
    def exists(self) -> Flags:
        """Which writer is read by which reader, ``(writer, reader)``."""
        found = np.zeros((len(self.writers), len(self.readers)), dtype=bool)
        for layer in range(self.n_layers):
            found[: self.before(layer), self.attention_of(layer)] = True
            found[: self.before_mlp(layer), self.reader_mlp(layer)] = True
        found[:, -1] = True
        return found

    @property
    def n_edges(self) -> int:
        return int(self.exists.sum())

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """Writer and reader of every edge, ``(edge, 2)``, reader by reader in the order of reading."""
        reader, writer = np.nonzero(self.exists.T)
        return np.stack([writer, reader], 1)

    @cached_property
    def layers(self) -> NDArray[np.int64]:
        """The layers of writer and reader of every edge, ``(edge, 2)``; -1 of the input, that behind the last of the logits."""
        writer = np.array([-1, *(layer for layer in range(self.n_layers) for _ in range(self.n_heads + 1))])
        reader = np.array([*(layer for layer in range(self.n_layers) for _ in range(self.per_layer)), self.n_layers])
        return np.stack([writer[self.edges[:, 0]], reader[self.edges[:, 1]]], 1)

    def name(self, edge: int) -> str:
        """As it is written: ``a0.h1->a1.h0<k>``."""
        writer, reader = self.edges[edge]
        return f"{self.writers[writer]}->{self.readers[reader]}"

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of every edge, by its name."""
        return {self.name(edge): edge for edge in range(self.n_edges)}

    def writers_of(self, reader: int) -> tuple[int, ...]:
        """The writers that a reader belongs to: a head or an MLP; of a shared key or value all heads that share it; of the logits none."""
        layer, place = divmod(reader, self.per_layer)
        if layer == self.n_layers:
            return ()
        if place == self.per_layer - 1:
            return (self.mlp_of(layer),)
        start = self.heads_of(layer).start
        if place < self.n_heads:
            return (start + place,)
        share = self.n_heads // self.n_groups
        first = start + (place - self.n_heads) % self.n_groups * share
        return tuple(range(first, first + share))

    def node_of(self, reader: int) -> str:
        """The part that a reader belongs to: ``a3.h1`` of ``a3.h1<q>``; of shared keys and values ``a3.g0``."""
        return self.readers[reader].partition("<")[0]

    def mask(self, edges: Iterable[int]) -> EdgeMask:
        """The choice of some edges, by their places."""
        on = np.zeros(self.n_edges, dtype=bool)
        on[np.fromiter(edges, dtype=np.int64)] = True
        return EdgeMask(self, on)

    def matrix(self, values: NDArray[Any]) -> NDArray[Any]:
        """A value for each edge as ``(writer, reader)``, 0 where there is no edge."""
        found = np.zeros(self.exists.shape, dtype=values.dtype)
        found[self.edges[:, 0], self.edges[:, 1]] = values
        return found


@dataclass(frozen=True, eq=False)
class EdgeMask:
    """Some edges of a decoder."""

    graph: EdgeGraph
    on: Flags
    """``(edge,)`` in the order of `EdgeGraph.edges`."""

    def __post_init__(self) -> None:
        if self.on.shape != (self.graph.n_edges,) or self.on.dtype != bool:
            raise SelectionError(
                f"A choice of edges has shape {self.on.shape} of {self.on.dtype}, the graph {self.graph.n_edges} edges. Give a flag each."
            )

    @classmethod
    def of(cls, graph: EdgeGraph, names: Iterable[str]) -> EdgeMask:
        """The edges of these names.

        Raises:
            SelectionError: if there is no such edge; it says what the graph has.
        """
        wanted = list(names)
        for name in wanted:
            if name not in graph.places:
                raise SelectionError(_no_edge(graph, name))
        return graph.mask(graph.places[name] for name in wanted)

    @property
    def count(self) -> int:
        """How many are chosen."""
        return int(self.on.sum())

    @property
    def total(self) -> int:
        """How many there are."""
        return self.on.size

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are chosen, as they are written."""
        return tuple(self.graph.name(int(edge)) for edge in np.flatnonzero(self.on))

    @property
    def matrix(self) -> Flags:
        """``(writer, reader)``."""
        return self.graph.matrix(self.on)

    @property
    def rest(self) -> EdgeMask:
        """All the others."""
        return replace(self, on=~self.on)

    @cached_property
    def effective(self) -> EdgeMask:
        """Those on a way of chosen edges from the input to the logits.

        Kept alone, the others do nothing: what they lead from carries the counterfactual alone, or nobody hears what they lead to. A norm
        behind the heads of a layer is the exception, since its scale is made by all of them.
        """
        graph, chosen = self.graph, self.matrix
        reached, heard = np.zeros(len(graph.writers), dtype=bool), np.zeros(len(graph.readers), dtype=bool)
        readers: list[list[int]] = [[] for _ in graph.writers]
        for reader in range(len(graph.readers)):
            for writer in graph.writers_of(reader):
                readers[writer].append(reader)
        reached[0], heard[-1] = True, True
        for writer in range(1, len(reached)):
            reached[writer] = chosen[reached][:, readers[writer]].any()
        for writer in reversed(range(len(reached))):
            heard[readers[writer]] |= bool(chosen[writer, heard].any())
        both = chosen & reached[:, None] & heard
        return replace(self, on=both[graph.edges[:, 0], graph.edges[:, 1]])

    @property
    def nodes(self) -> tuple[str, ...]:
        """The parts that an edge of it leads from or to, as they are written."""
        found = dict.fromkeys(
            name
            for edge in np.flatnonzero(self.on)
            for name in (self.graph.writers[self.graph.edges[edge, 0]], self.graph.node_of(self.graph.edges[edge, 1]))
        )
        return tuple(found)

    @property
    def fingerprint(self) -> str:
        shape = [self.graph.n_heads, self.graph.n_groups, [int(each) for each in self.graph.parallel]]
        return fingerprint(["edges", shape, np.flatnonzero(self.on).tolist()])


_EDGE = re.compile(r"([\w.]{1,20})->([\w.<>]{1,20})")


def _no_edge(graph: EdgeGraph, name: str) -> str:
    """Why an edge does not exist, in a sentence."""
    found = _EDGE.fullmatch(name)
    if found is None:
        return f"{name[:60]!r} is no edge. Write it as writer->reader: a0.h1->a1.h0<k>, m0->logits."
    writer, reader = found.groups()
    if writer not in graph.writers:
        return f"There is no edge {name}: no {writer} writes. There are input, a0.h0 to a{graph.n_layers - 1}.h{graph.n_heads - 1}, m0 to m{graph.n_layers - 1}."
    if reader not in graph.readers:
        near = [each for each in graph.readers if each.startswith(reader.partition("<")[0])][:3] or graph.readers[:3]
        return f"There is no edge {name}: no {reader} reads. There are {', '.join(near)}, ..., logits."
    return f"There is no edge {name}: {reader} reads before {writer} writes. Give a writer of an earlier layer."
