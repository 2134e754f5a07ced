"""What a study of a circuit found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from broca.evidence.result import Result
from broca.instruments.circuit.spec import Circuit
from broca.units import UnitMask


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CircuitResult(Result):
    """What a study of a circuit found."""

    spec: Circuit
    edges: pl.DataFrame
    """One row an edge."""
    nodes: pl.DataFrame
    """One row a part that writes."""
    curves: pl.DataFrame
    """One row a ranking, size and draw."""
    areas: pl.DataFrame
    """One row a ranking: CPR and CMD."""
    paths: pl.DataFrame
    """One row a path."""
    shown: pl.DataFrame
    """Some items beside their counterfactuals."""
    items: pl.DataFrame
    prompts: pl.DataFrame
    doses: pl.DataFrame
    matrix: pl.DataFrame
    baselines: pl.DataFrame
    flipped: pl.DataFrame
    graph: Mapping[str, Any]
    """Heads, key-value heads, for each layer whether its MLP reads what its heads read, and whether a norm stands behind heads."""
    pairs: Mapping[str, Any]
    """How many chose and how many tested, how many items of each ability were left out and why, of how many edges, and their mean margin in
    logits: the model's, and with every edge patched."""
    estimate: Mapping[str, Any]
    selected: UnitMask | None = None
    """The heads that write on an edge of the circuit."""
