"""What is found of a circuit, as tables: its edges, its parts, the heads that write on it, and texts as they were shown."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from broca.capture.edges import node_scores, token_scores
from broca.instruments.circuit.choice import CircuitChoice
from broca.instruments.circuit.ladder import highest
from broca.instruments.circuit.pairs import PairedItems
from broca.models.lm import LM
from broca.sites import Site
from broca.units import UnitMask

EXAMPLES = 4
MARKED = 60
"""Edges of the circuit whose token is looked for, the highest."""


def edge_frame(
    lm: LM,
    testing: PairedItems,
    chosen: CircuitChoice,
    tested: Mapping[int, tuple[float, float]],
    taken: Mapping[int, float],
) -> pl.DataFrame:
    """`EDGES`, the highest first.

    Args:
        lm: the model.
        testing: items and pairs that did not choose.
        chosen: the scores and the circuit.
        tested: t and p of some edges.
        taken: what the circuit loses without some edges.
    """
    tokens = _tokens(lm, testing, chosen)
    graph, score = chosen.parts.graph, chosen.both
    nothing = (None, None)
    rows = [
        {
            "edge": graph.name(i),
            "writer": graph.writers[graph.edges[i, 0]],
            "reader": graph.readers[graph.edges[i, 1]],
            "writer_layer": int(graph.layers[i, 0]),
            "reader_layer": int(graph.layers[i, 1]),
            "score": float(score[i]),
            "first": float(chosen.first[i]),
            "second": float(chosen.second[i]),
            "exact": None if np.isnan(chosen.exact[i]) else float(chosen.exact[i]),
            "t": tested.get(i, nothing)[0],
            "p_max": tested.get(i, nothing)[1],
            "circuit": bool(chosen.circuit.on[i]),
            "effective": bool(chosen.circuit.effective.on[i]),
            "token": tokens.get(i),
            "left_out": taken.get(i),
        }
        for i in np.argsort(-np.abs(chosen.order), kind="stable").tolist()
    ]
    table = pl.DataFrame(rows, infer_schema_length=None)
    return table.with_columns(
        pl.col("exact", "t", "p_max", "left_out").cast(pl.Float64), pl.col("token").cast(pl.String)
    )


def _tokens(lm: LM, testing: PairedItems, chosen: CircuitChoice) -> dict[int, str]:
    """Of the highest edges of the circuit the token of the first pair at which most of the score stands, by the gradient at the text."""
    pair = testing.pairs[0]
    edges = highest(chosen.circuit, chosen.order)[:MARKED].tolist()
    at = np.abs(token_scores(lm, pair, edges)).argmax(1)
    return {edge: lm.tokenizer.decode([pair.clean.ids[token]]) for edge, token in zip(edges, at, strict=True)}


def node_frame(chosen: CircuitChoice) -> pl.DataFrame:
    """`NODES`, the highest first."""
    graph = chosen.parts.graph
    layers = [-1, *(layer for layer in range(graph.n_layers) for _ in range(graph.n_heads + 1))]
    leaving = chosen.circuit.matrix.sum(1)
    scores = node_scores(chosen.both, chosen.parts)
    rows = [
        {"node": name, "layer": layers[i], "score": float(scores[name]), "circuit": int(leaving[i])}
        for i, name in enumerate(graph.writers)
    ]
    return pl.DataFrame(rows).sort(pl.col("score").abs(), descending=True, maintain_order=True)


def writing_heads(lm: LM, chosen: CircuitChoice) -> UnitMask | None:
    """The heads that write on an edge of the circuit; None where none does."""
    graph, writes = chosen.parts.graph, np.asarray(chosen.circuit.matrix.any(1))
    found = {Site(layer, "z"): writes[graph.heads_of(layer)].copy() for layer in range(lm.anatomy.n_layers)}
    return UnitMask(found, "head") if any(on.any() for on in found.values()) else None


def shown_frame(lm: LM, testing: PairedItems) -> pl.DataFrame:
    """`SHOWN`: some of the pairs that test."""
    rows = [
        {
            "id": item.id,
            "text": lm.tokenizer.decode(pair.clean.ids),
            "counterfactual": lm.tokenizer.decode(pair.counterfactual.ids),
            "right": lm.tokenizer.decode([pair.right]),
            "wrong": " or ".join(lm.tokenizer.decode([token]) for token in pair.against),
        }
        for item, pair in zip(testing.items[:EXAMPLES], testing.pairs[:EXAMPLES], strict=True)
    ]
    return pl.DataFrame(rows)
