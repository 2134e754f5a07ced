"""What the scores of a circuit's edges are worth: *selective*, *reliable* and *learned*, in pairs that did not choose it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from broca.capture.edges import EdgeScoring, Floats
from broca.errors import StatisticsError
from broca.evidence.rungs import learned, reliable, selective
from broca.evidence.verdict import Rung
from broca.instruments.circuit.scores import EdgeBench
from broca.models.circuit.pairs import CounterfactualPair
from broca.models.twins import untrained_twin
from broca.stats.permutation import permutation_test
from broca.units.edge_choices import strongest
from broca.units.graph import EdgeMask

Pairs = Sequence[CounterfactualPair]
TESTED = 500
"""Edges of a circuit, the highest, that are tested one by one."""


def highest(circuit: EdgeMask, scores: Floats) -> NDArray[np.int64]:
    """The edges of a circuit that are tested, the highest first."""
    inside = np.flatnonzero(circuit.on)
    return inside[np.argsort(-np.abs(scores[inside]), kind="stable")][:TESTED]


def tells(values: Floats, groups: Sequence[str], *, alpha: float, seed: int) -> tuple[Floats, Floats, Rung]:
    """Of each edge t and p over arbitrary signs of groups (max-T), and the rung; NaN where there are too few groups.

    Args:
        values: ``(pair, edge)``: scores in pairs that did not choose.
        groups: of the pairs.
        alpha: family-wise level.
        seed: of the signs.
    """
    names = np.asarray(groups)
    try:
        test = permutation_test(
            values, np.zeros_like(values), groups=(names, names), paired=True, seed=seed, alpha=alpha
        )
    except StatisticsError as error:
        nothing = np.full(values.shape[1], np.nan)
        return nothing, nothing, Rung("selective", "undecided", f"In the half that did not choose: {error}", {})
    what = "highest edges carry, in pairs that did not choose them, more than arbitrary signs of the pairs' scores would have it"
    rung = selective.family_wise(test.p_max, what, "pairs would decide (--n-items), or fewer edges", alpha)
    return test.t, test.p_max, rung


def agree(first: Floats, second: Floats, count: int) -> Rung:
    """Do two halves of the pairs score edges alike?"""
    return reliable.ranking(np.abs(first), np.abs(second), count, "edges", "pairs")


def beyond_twins(
    bench: EdgeBench, halves: tuple[Pairs, Pairs], circuit: EdgeMask, *, twins: int, alpha: float, seed: int
) -> Rung:
    """Do the edges of a circuit carry more than those that untrained twins choose for themselves?

    Each network chooses as many edges in one half of the pairs, and their effect is read in the other: the mean t with the sign of the
    half that chose. By the gradient at the texts alone, in the model as in its twins.
    """
    if not twins:
        return learned.circuit_edges(float("nan"), [], most=0, pairs=len(halves[1]), alpha=alpha)
    own = _own_effect(bench, halves, circuit)
    random: list[float] = []
    for i in range(twins):
        bench.progress("scoring untrained twins", i, twins)
        lm = untrained_twin(bench.lm, seed + i)
        twin = EdgeBench(lm, bench.cache, lambda *_: None, f"untrained {seed + i}")
        random.append(_own_effect(twin, halves, circuit))
        if learned.decide(own, random, most=twins, alpha=alpha)[0] == "failed":
            break
    bench.progress("scoring untrained twins", twins, twins)
    return learned.circuit_edges(own, random, most=twins, pairs=len(halves[1]), alpha=alpha)


def _own_effect(bench: EdgeBench, halves: tuple[Pairs, Pairs], like: EdgeMask) -> float:
    """The mean t of as many edges as a circuit has, chosen in one half and read in the other."""
    how = EdgeScoring("eap")
    scores = bench.mean(halves[0], how, "scoring edges by the gradient alone")
    chosen = highest(strongest(like.graph, scores, like.count, absolute=True), scores)
    values = bench.each(halves[1], chosen, how, "scoring edges by the gradient alone") * np.sign(scores[chosen])
    error = values.std(0, ddof=1) / np.sqrt(len(values))
    t = np.divide(values.mean(0), error, out=np.zeros(len(chosen)), where=error > 0)
    return float(t.mean())
