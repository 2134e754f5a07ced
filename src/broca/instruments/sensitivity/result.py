"""What a sensitivity study found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from broca.evidence.result import Result
from broca.instruments.sensitivity.spec import Sensitivity
from broca.units.weights import WeightSet


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SensitivityResult(Result):
    """What a sensitivity study found; the mask is also a file of its own, ``mask.safetensors``."""

    spec: Sensitivity
    mask: WeightSet
    items: pl.DataFrame
    prompts: pl.DataFrame
    doses: pl.DataFrame
    matrix: pl.DataFrame
    baselines: pl.DataFrame
    flipped: pl.DataFrame
    windows: pl.DataFrame
    """One row a window of text and condition."""
    perplexity: pl.DataFrame
    """One row a condition."""
    sweep: pl.DataFrame
    """One row a fraction: sizes, overlaps, and what it did to the items that chose the fraction."""
    modules: pl.DataFrame
    """One row a matrix: how much of it is masked."""
    nulls: pl.DataFrame
    """One row a family of random masks."""
    estimate: Mapping[str, Any]
    selection: Mapping[str, Any]
    published: pl.DataFrame | None = None
    """Cells of sampled answers, by repetition and fraction, as Wu et al. (2025) write them."""
    frequencies: pl.DataFrame | None = None
    """One row a layer, q or k, and rotary frequency: masked weights beside activation norms."""
    sinks: pl.DataFrame | None = None
    """One row a layer: attention to the first token, and the share of sinks that the mask displaces."""
    geometry: pl.DataFrame | None = None
    """One row a layer and state (clean, masked): how queries stand to the first token's key and to the others."""
    cells: pl.DataFrame | None = None
    """Cells of theory-of-mind tasks by condition and kind, beside shortcuts."""
