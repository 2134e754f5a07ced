"""What a probe reads from attention by layer and by head: maps of scores, with those of untrained networks beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from broca.instruments.probe.scores import Target
from broca.instruments.probe.statements import Floats
from broca.stats.corrections import bh
from broca.stats.f1 import probing_score
from broca.stats.nulls import empirical_p
from broca.stats.probing import shuffle_within

_MAP = {"target": pl.String} | dict.fromkeys(
    ("f1", "f1_random", "random_low", "random_high", "score", "p", "q"), pl.Float64
)


_LAYERS = {"way": pl.String, "layer": pl.Int64, **_MAP}


_HEADS = {"layer": pl.Int64, "head": pl.Int64, **_MAP}


def by_layer(target: Target, layers: Sequence[int]) -> pl.DataFrame:
    """One row a layer and way (single, or all up to it): F1, that of untrained networks, score, p and q.

    Args:
        target: with features ``(row, layer, head)``.
        layers: the layers' numbers.
    """
    mixed = shuffle_within(target.y, target.text, n=target.how.permutations, seed=target.how.seed)
    rows = []
    for way in ("single", "cumulative"):
        for at, layer in enumerate(layers):
            part = slice(at if way == "single" else 0, at + 1)
            votes = target.votes(target.own[:, part])
            f1 = float(target.f1(votes, target.y[None])[0])
            random = [float(target.f1(target.votes(values[:, part]), target.y[None])[0]) for values in target.twins]
            null = target.f1(votes, mixed) if len(mixed) else None
            rows.append({"way": way, "layer": layer} | _map_row(target, f1, random, null))
    return _with_q_values(pl.DataFrame(rows, schema=_LAYERS), "way")


def by_head(target: Target, layers: Sequence[int]) -> pl.DataFrame:
    """One row a head: what its attention alone tells, beside all heads of untrained networks in that layer."""
    mixed = shuffle_within(target.y, target.text, n=target.how.permutations, seed=target.how.seed)
    rows = []
    for at, layer in enumerate(layers):
        heads = range(target.own.shape[2])
        random = [
            float(target.f1(target.votes(values[:, at, head]), target.y[None])[0])
            for values in target.twins
            for head in heads
        ]
        for head in heads:
            votes = target.votes(target.own[:, at, head])
            f1 = float(target.f1(votes, target.y[None])[0])
            null = target.f1(votes, mixed) if len(mixed) else None
            rows.append({"layer": layer, "head": head} | _map_row(target, f1, random, null))
    return _with_q_values(pl.DataFrame(rows, schema=_HEADS))


def _map_row(target: Target, f1: float, random: Sequence[float], null: Floats | None) -> dict[str, Any]:
    mean = float(np.mean(random)) if random else None
    return {
        "target": target.name,
        "f1": f1,
        "f1_random": mean,
        "random_low": min(random, default=None),
        "random_high": max(random, default=None),
        "score": None if mean is None else float(probing_score(f1, mean)),
        "p": None if null is None else float(empirical_p(f1, null, "greater")),
        "q": None,
    }


def _with_q_values(table: pl.DataFrame, *within: str) -> pl.DataFrame:
    """Benjamini-Hochberg over the rows of each way."""
    if table["p"].null_count() == len(table):
        return table
    if not within:
        return table.with_columns(q=pl.Series(bh(table["p"].to_numpy())))
    parts = table.partition_by(*within, maintain_order=True)
    return pl.concat([part.with_columns(q=pl.Series(bh(part["p"].to_numpy()))) for part in parts])
