"""Paths that were asked for, each patched by itself in the pairs that did not choose the circuit."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from broca.errors import StatisticsError
from broca.instruments.circuit.curve import Curves
from broca.instruments.circuit.pairs import PairedItems
from broca.instruments.circuit.scores import EdgeBench
from broca.instruments.circuit.spec import Circuit
from broca.instruments.circuit.tables import PATHS
from broca.stats.pairs import mean_interval
from broca.units.edge_paths import EdgePath


def path_frame(
    spec: Circuit, bench: EdgeBench, testing: PairedItems, paths: Sequence[EdgePath], curves: Curves
) -> pl.DataFrame:
    """`PATHS`, those that cost most first.

    Args:
        spec: the study.
        bench: the model.
        testing: items and pairs.
        paths: those of the model.
        curves: the margins of the model, and with every edge patched, in the same pairs.
    """
    if not paths:
        return pl.DataFrame(schema={name: field.dtype for name, field in PATHS.columns.items()})
    names = [path.name for path in paths]
    intact = bench.margins(testing.pairs, [paths[0].graph.mask([])], "patching paths")
    groups = [item.cluster for item in testing.items]
    rows = []
    for name, lost in zip(names, intact - bench.paths(testing.pairs, names, spec.through), strict=True):
        try:
            found = mean_interval(lost, groups=groups, n=spec.n_bootstrap, seed=spec.seed)
            low, high = found.low, found.high
        except StatisticsError:  # of a single group there is no interval
            low = high = None
        loss = float(lost.mean())
        rows.append(
            {"path": name, "loss": loss, "low": low, "high": high, "share": loss / (curves.intact - curves.nothing)}
        )
    return pl.DataFrame(rows, infer_schema_length=None).sort(pl.col("loss").abs(), descending=True, maintain_order=True)
