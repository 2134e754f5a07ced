"""Paths through a decoder: which part is read by which, one after the other, as far as a reader or the logits.

``a0.h1->a2.h0<q>->logits`` is what ``a0.h1`` adds to the logits by the queries of ``a2.h0`` alone (Wang et al., 2023; Goldowsky-Dill et
al., 2023). A path that ends before the logits is open: whatever comes behind its last reader hears it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from broca.errors import SelectionError
from broca.units.graph import EdgeGraph, EdgeMask

BETWEEN, AND = "->", ","


@dataclass(frozen=True)
class EdgePath:
    """Parts that write, and the readers that hear them one after the other; several at once at any step."""

    graph: EdgeGraph
    senders: tuple[int, ...]
    """Writers, by their places."""
    steps: tuple[tuple[int, ...], ...]
    """Readers, by their places: the first hear the senders, the next the parts that those belong to, and so on."""

    @classmethod
    def of(cls, graph: EdgeGraph, name: str) -> EdgePath:
        """The path of a name: ``writer->reader->reader``; with commas between those of one step.

        Raises:
            SelectionError: if it has no step, or an edge that there is not; it says which.
        """
        first, *rest = ([part.strip() for part in step.split(AND)] for step in name.split(BETWEEN))
        if not rest:
            raise SelectionError(f"{name[:60]!r} is no path. Write it as writer->reader->...: a0.h1->a1.h0<k>->logits.")
        before, steps = first, []
        for step in rest:
            if not before:
                raise SelectionError(
                    f"{name[:60]!r} goes on behind the logits, and nothing reads them. Let it end there."
                )
            edges = EdgeMask.of(graph, [f"{writer}{BETWEEN}{reader}" for writer in before for reader in step])
            steps.append(tuple(int(i) for i in np.flatnonzero(edges.matrix.any(0))))
            before = [graph.writers[i] for reader in steps[-1] for i in graph.writers_of(reader)]
            before = [] if "logits" in step else before
        return cls(graph, tuple(graph.writers.index(name) for name in dict.fromkeys(first)), tuple(steps))

    @property
    def name(self) -> str:
        """As it is written."""
        steps = [
            [self.graph.writers[i] for i in self.senders],
            *([self.graph.readers[i] for i in s] for s in self.steps),
        ]
        return BETWEEN.join(AND.join(step) for step in steps)

    @property
    def runs(self) -> int:
        """How many runs of the model patch it, where nothing between its steps carries on what it hears."""
        return 1 + sum(len(self.blocks_of(step)) for step in range(len(self.steps) - 1))

    def blocks_of(self, step: int) -> tuple[tuple[int, ...], ...]:
        """The readers of a step, those of one layer's attention or MLP together, in the order of reading."""
        found: dict[tuple[int, bool], list[int]] = {}
        for reader in sorted(self.steps[step]):
            layer, place = divmod(reader, self.graph.per_layer)
            found.setdefault((layer, place == self.graph.per_layer - 1), []).append(reader)
        return tuple(map(tuple, found.values()))


def edge_paths(graph: EdgeGraph, names: Iterable[str]) -> tuple[EdgePath, ...]:
    """The paths of some names; ``*`` and ``?`` in the first part stand for any letters: ``a*.h*->logits`` is a path for each head.

    Raises:
        SelectionError: if there is no such path.
    """
    return tuple(EdgePath.of(graph, each) for name in names for each in _expand(graph, name))


def _expand(graph: EdgeGraph, name: str) -> list[str]:
    """The names that one with letters left open stands for: writers that the next step hears."""
    first, arrow, rest = name.partition(BETWEEN)
    if not arrow or not set("*?") & set(first):
        return [name]
    matching = [writer for writer in graph.writers if fnmatchcase(writer, first.strip())]
    nexts = [reader.strip() for reader in rest.partition(BETWEEN)[0].split(AND)]
    found = [writer for writer in matching if all(f"{writer}{BETWEEN}{reader}" in graph.places for reader in nexts)]
    if not found:
        raise SelectionError(
            f"There is no path {name[:60]}: nothing that {first.strip()[:20]} stands for is read by {', '.join(nexts)[:60]}. "
            f"What writes is called {', '.join(graph.writers[:2])}, ..., {graph.writers[-1]}."
        )
    return [f"{writer}{arrow}{rest}" for writer in found]
