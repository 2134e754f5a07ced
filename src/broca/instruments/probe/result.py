"""What a probe found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from broca.evidence.result import Result
from broca.instruments.probe.spec import Probe
from broca.units import UnitMask


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ProbeResult(Result):
    """What a probe found. Tables that were not asked for are None."""

    spec: Probe
    scores: pl.DataFrame
    """One row a target ("useful", "step"): macro-F1, the probing score, their intervals, p, margin over the control task."""
    controls: pl.DataFrame
    probe_baselines: pl.DataFrame
    """What position, length and surface tell the same classifier, and what attention gains over them."""
    predictions: pl.DataFrame
    """Out-of-fold: one row a statement and target."""
    attention: pl.DataFrame
    """Mean attention by layer and place, size rank or step."""
    heads: pl.DataFrame
    """One row a head: entropy of its mean attention by place and, for numbers, by size rank (1 is even); how much more attention useful
    statements get, in standard deviations; its weight in a logistic probe of all heads."""
    drawn: pl.DataFrame
    """The statements of a few trees, with their attention, for pictures."""
    answers: pl.DataFrame
    links: pl.DataFrame
    estimate: Mapping[str, Any] | None
    task: Mapping[str, Any]
    selected: UnitMask | None = None
    """The heads that the probe points to; None where no score is defined."""
    layer_scores: pl.DataFrame | None = None
    head_scores: pl.DataFrame | None = None
    pruning: pl.DataFrame | None = None
    areas: pl.DataFrame | None = None
    edges: pl.DataFrame | None = None
    corruptions: pl.DataFrame | None = None
    corrupted: pl.DataFrame | None = None
