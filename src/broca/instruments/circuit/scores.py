"""Scores of edges, some pairs a cell: so a killed run goes on, and memory does not grow with the pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from broca.cache.cache import Cache, Json, Part, Progress
from broca.cache.mapping import map_cached
from broca.capture.edges import EdgeScoring, Floats, score_edges, score_exactly
from broca.interventions.circuit import circuit_margins
from broca.interventions.paths import path_margins
from broca.items import fingerprint
from broca.models.circuit.pairs import CounterfactualPair
from broca.models.circuit.paths import Through
from broca.models.lm import LM
from broca.units.graph import EdgeGraph, EdgeMask

CHUNK = 16
"""Pairs a cell: what a killed run loses at most."""


@dataclass(frozen=True, slots=True)
class MeanScores:
    """The task of scoring every edge for some pairs, by where they start: sums over pairs."""

    pairs: tuple[CounterfactualPair, ...]
    how: EdgeScoring

    def key(self, lm: LM, start: int, /) -> dict[str, Json]:
        return _key(lm, "edge sums", self.pairs[start : start + CHUNK], how=repr(self.how))

    def __call__(self, lm: LM, start: int, /) -> Part:
        found = score_edges(lm, self.pairs[start : start + CHUNK], self.how)
        return {"sum": found.sum(0)}


@dataclass(frozen=True, slots=True)
class EachScore:
    """The task of scoring some edges for some pairs, by where they start: ``(pair, edge)``."""

    pairs: tuple[CounterfactualPair, ...]
    edges: tuple[int, ...]
    how: EdgeScoring | None
    """None: one run an edge."""

    def key(self, lm: LM, start: int, /) -> dict[str, Json]:
        some = self.pairs[start : start + CHUNK]
        return _key(lm, "edge scores", some, how=repr(self.how), edges=fingerprint(list(self.edges)))

    def __call__(self, lm: LM, start: int, /) -> Part:
        some = self.pairs[start : start + CHUNK]
        if self.how is None or self.how.method == "exact":
            return {"scores": score_exactly(lm, some, self.edges)}
        return {"scores": score_edges(lm, some, self.how)[:, list(self.edges)]}


@dataclass(frozen=True, slots=True)
class Margins:
    """The task of the margins of some pairs with edges patched, by where they start: ``(choice, pair)``."""

    pairs: tuple[CounterfactualPair, ...]
    graph: EdgeGraph
    patched: tuple[tuple[int, ...], ...]
    """For each choice the edges that are patched."""

    def key(self, lm: LM, start: int, /) -> dict[str, Json]:
        some = self.pairs[start : start + CHUNK]
        return _key(lm, "circuit margins", some, patched=fingerprint(self.patched))

    def __call__(self, lm: LM, start: int, /) -> Part:
        some = self.pairs[start : start + CHUNK]
        return {"margins": circuit_margins(lm, some, [self.graph.mask(edges) for edges in self.patched])}


@dataclass(frozen=True, slots=True)
class PathMargins:
    """The task of the margins of some pairs with one path patched, by where they start: ``(path, pair)``."""

    pairs: tuple[CounterfactualPair, ...]
    paths: tuple[str, ...]
    through: Through

    def key(self, lm: LM, start: int, /) -> dict[str, Json]:
        some = self.pairs[start : start + CHUNK]
        return _key(lm, "path margins", some, paths=list(self.paths), through=self.through)

    def __call__(self, lm: LM, start: int, /) -> Part:
        return {"margins": path_margins(lm, self.pairs[start : start + CHUNK], self.paths, through=self.through)}


@dataclass(frozen=True, slots=True, eq=False)
class EdgeBench:
    """A model whose edges are scored, and what remembers."""

    lm: LM
    cache: Cache
    progress: Progress
    name: str = ""
    """Of the model, where it is a twin."""

    def mean(self, pairs: Sequence[CounterfactualPair], how: EdgeScoring, what: str = "scoring edges") -> Floats:
        """The mean score of every edge."""
        parts = self._map(MeanScores(tuple(pairs), how), len(pairs), what)
        return sum((part["sum"] for part in parts), np.zeros(1)) / len(pairs)

    def each(
        self, pairs: Sequence[CounterfactualPair], edges: Iterable[int], how: EdgeScoring | None, what: str
    ) -> Floats:
        """The scores of some edges, ``(pair, edge)``."""
        parts = self._map(EachScore(tuple(pairs), tuple(map(int, edges)), how), len(pairs), what)
        return np.concatenate([part["scores"] for part in parts])

    def margins(self, pairs: Sequence[CounterfactualPair], patched: Sequence[EdgeMask], what: str) -> Floats:
        """The margins with edges patched, ``(choice, pair)``."""
        chosen = tuple(tuple(np.flatnonzero(each.on).tolist()) for each in patched)
        parts = self._map(Margins(tuple(pairs), patched[0].graph, chosen), len(pairs), what)
        return np.concatenate([part["margins"] for part in parts], 1)

    def paths(self, pairs: Sequence[CounterfactualPair], paths: Sequence[str], through: Through) -> Floats:
        """The margins with one path patched, ``(path, pair)``."""
        parts = self._map(PathMargins(tuple(pairs), tuple(paths), through), len(pairs), "patching paths")
        return np.concatenate([part["margins"] for part in parts], 1)

    def _map(self, task: Any, n: int, what: str) -> Iterable[Any]:
        named = TwinTask(task, self.name) if self.name else task
        return map_cached(named, range(0, n, CHUNK), self.lm, self.cache, partial(self.progress, what))


@dataclass(frozen=True, slots=True)
class TwinTask:
    """A task on a model that is not the study's own."""

    task: Any
    name: str

    def key(self, lm: LM, start: int, /) -> dict[str, Json]:
        return {**self.task.key(lm, start), "model": self.name}

    def __call__(self, lm: LM, start: int, /) -> Part:
        return self.task(lm, start)


def _key(lm: LM, cell: str, pairs: Sequence[CounterfactualPair], **more: Json) -> dict[str, Json]:
    shown = [[p.clean.ids, p.counterfactual.ids, p.right, p.against] for p in pairs]
    return {"cell": cell, "pairs": fingerprint(shown), "condition": list(lm.condition), **more}
