"""How faithful circuits of the published sizes are, kept alone, under both rankings and beside random ones; and what each edge adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from broca.capture.edges import Floats
from broca.instruments.circuit.scores import EdgeBench
from broca.models.circuit.pairs import CounterfactualPair
from broca.stats.faithfulness import SHARES, curve_areas, faithfulness, sizes
from broca.units.edge_choices import random_edges, strongest
from broca.units.graph import EdgeGraph, EdgeMask

Ranking = Literal["signed", "absolute"]
RANKINGS: tuple[Ranking, ...] = ("signed", "absolute")


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Faithfulness by size and ranking."""

    table: pl.DataFrame
    """One row a ranking, size and draw."""
    areas: pl.DataFrame
    """One row a ranking: CPR and CMD."""
    intact: float
    """Mean margin of the model, in logits."""
    nothing: float
    """With every edge patched."""


def smallest_faithful(
    bench: EdgeBench,
    pairs: Sequence[CounterfactualPair],
    graph: EdgeGraph,
    scores: Floats,
    *,
    ranking: Ranking,
    enough: float,
) -> int:
    """How many edges the smallest of the published sizes has that alone keeps a share of the margin; half of them where none does.

    Raises:
        StatisticsError: if patching every edge changes no margin.
    """
    counts = [n for n in sizes(graph.n_edges) if 0 < n < graph.n_edges]
    kept = [strongest(graph, scores, n, absolute=ranking == "absolute").rest for n in counts]
    masks = [graph.mask([]), graph.mask(range(graph.n_edges)), *kept]
    intact, nothing, *found = bench.margins(pairs, masks, "finding a size").mean(1)
    curve = faithfulness(found, intact, nothing)
    return next((n for n, f in zip(counts, curve, strict=True) if f >= enough), counts[-1])


def curves(
    bench: EdgeBench, pairs: Sequence[CounterfactualPair], graph: EdgeGraph, scores: Floats, *, draws: int, seed: int
) -> Curves:
    """The curves of both rankings, and of random circuits matched with the absolute one.

    Args:
        bench: the model.
        pairs: on which it is measured: none of them chose.
        graph: every edge.
        scores: of every edge.
        draws: random circuits a size.
        seed: of the first.
    """
    rows: list[dict[str, Any]] = []
    masks = [graph.mask([]), graph.mask(range(graph.n_edges))]
    for share, n in zip(SHARES, sizes(graph.n_edges), strict=True):
        for ranking in RANKINGS:
            kept = strongest(graph, scores, n, absolute=ranking == "absolute")
            rows.append(_row(ranking, share, kept))
            masks.append(kept.rest)
            if ranking == "absolute" and 0 < n < graph.n_edges:
                for draw, like in enumerate(random_edges(kept, draws, seed)):
                    rows.append(_row("random", share, like, draw))
                    masks.append(like.rest)
    margins = bench.margins(pairs, masks, "keeping circuits")
    intact, nothing = (float(each) for each in margins[:2].mean(1))
    found = faithfulness(margins[2:].mean(1), intact, nothing)
    for row, margin, f in zip(rows, margins[2:].mean(1), found, strict=True):
        row |= {"margin": float(margin), "faithfulness": float(f)}
    return Curves(pl.DataFrame(rows), areas(pl.DataFrame(rows)), intact, nothing)


def _row(ranking: str, share: float, kept: EdgeMask, draw: int = -1) -> dict[str, Any]:
    return {"ranking": ranking, "share": share, "edges": kept.count, "effective": kept.effective.count, "draw": draw}


def areas(table: pl.DataFrame) -> pl.DataFrame:
    """CPR and CMD of each ranking, and of the mean random curve; the ends of that one are those of the others."""
    rows = []
    whole = table.filter((pl.col("ranking") == "absolute") & ((pl.col("share") == SHARES[-1]) | (pl.col("edges") == 0)))
    for ranking in (*RANKINGS, "random"):
        own = table.filter(pl.col("ranking") == ranking)
        if ranking == "random":
            own = pl.concat([own, whole])
        curve = own.group_by("share").agg(pl.col("faithfulness").mean()).sort("share")
        if curve.height == len(SHARES):
            found = curve_areas(curve["share"].to_list(), curve["faithfulness"].to_numpy())
            rows.append({"ranking": ranking, "cpr": found.cpr, "cmd": found.cmd})
    return pl.DataFrame(rows, schema={"ranking": pl.String, "cpr": pl.Float64, "cmd": pl.Float64})


def left_out(
    bench: EdgeBench, pairs: Sequence[CounterfactualPair], circuit: EdgeMask, scores: Floats, most: int
) -> dict[int, float]:
    """What the circuit kept alone loses of the margin, in logits, when one of its edges is taken out too: for its weakest edges."""
    inside = np.flatnonzero(circuit.on)
    some = inside[np.argsort(np.abs(scores[inside]), kind="stable")][:most]
    if not len(some):
        return {}
    without = [circuit.graph.mask([int(i) for i in inside if i != edge]).rest for edge in some]
    kept, *found = bench.margins(pairs, [circuit.rest, *without], "taking edges out").mean(1)
    return {int(edge): float(kept - margin) for edge, margin in zip(some, found, strict=True)}
