"""The circuit: every edge scored in either half of the pairs, and some of them chosen by the one half."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broca.capture.edges import EdgeScoring, Floats
from broca.instruments.circuit import curve
from broca.instruments.circuit.pairs import PairedItems
from broca.instruments.circuit.scores import EdgeBench
from broca.instruments.circuit.spec import Circuit
from broca.models.circuit.parts import CircuitParts
from broca.units.edge_choices import strongest
from broca.units.graph import EdgeMask


@dataclass(frozen=True, slots=True, eq=False)
class CircuitChoice:
    """The scores of every edge in either half, and the circuit."""

    parts: CircuitParts
    first: Floats
    second: Floats
    exact: Floats
    """By one run each, NaN where there was none."""
    order: Floats
    """By which edges are ranked: the scores of the first half, those by one run each before all others."""
    circuit: EdgeMask
    n_first: int
    n_second: int

    @property
    def both(self) -> Floats:
        """The scores of all pairs."""
        return (self.first * self.n_first + self.second * self.n_second) / (self.n_first + self.n_second)


def choose(
    spec: Circuit, bench: EdgeBench, parts: CircuitParts, choosing: PairedItems, testing: PairedItems
) -> CircuitChoice:
    """Score every edge in either half, and choose by the first.

    Args:
        spec: the study.
        bench: the model.
        parts: its readers and writers.
        choosing: the half that chooses.
        testing: the other half.

    Raises:
        StatisticsError: if a size is looked for, and patching every edge changes no margin.
    """
    graph, how = parts.graph, EdgeScoring(spec.method, spec.steps, spec.rule)
    first = bench.mean(choosing.pairs, how, "scoring edges in the half that chooses")
    second = bench.mean(testing.pairs, how, "scoring edges in the other half")
    exact = first.copy() if spec.method == "exact" else np.full(graph.n_edges, np.nan)
    order = first
    if spec.rescore:
        top = np.flatnonzero(strongest(graph, first, spec.rescore, absolute=spec.ranking == "absolute").on)
        exact[top] = bench.each(choosing.pairs, top, None, "scoring the highest edges exactly").mean(0)
        order = np.where(np.isnan(exact), _below(first, exact), exact)
    n = spec.edges
    if n is None and spec.percent is not None:
        n = max(1, round(spec.percent / 100 * graph.n_edges))
    if n is None:
        n = curve.smallest_faithful(
            bench, choosing.pairs, graph, order, ranking=spec.ranking, enough=spec.faithful
        )  # fmt: skip
    circuit = strongest(graph, order, min(n, graph.n_edges), absolute=spec.ranking == "absolute")
    return CircuitChoice(parts, first, second, exact, order, circuit, len(choosing.pairs), len(testing.pairs))


def _below(estimates: Floats, exact: Floats) -> Floats:
    """Estimates of edges without a run of their own, all below the lowest that moved anything in one: the others rank behind."""
    moved = np.abs(exact[np.nan_to_num(exact) != 0])
    least = moved.min() if moved.size else np.inf
    largest = np.abs(estimates[np.isnan(exact)]).max(initial=0.0)
    return estimates * min(1.0, 0.999 * least / largest) if largest else estimates
