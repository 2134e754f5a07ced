"""What a causal test found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from broca.evidence.maps import Floats
from broca.evidence.result import Result
from broca.instruments.lesion.spec import CausalTest
from broca.units import Choice


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CausalResult(Result):
    """What a causal test found: see `broca.reports` for the tables, `Localization` for the maps."""

    spec: CausalTest
    items: pl.DataFrame
    prompts: pl.DataFrame
    doses: pl.DataFrame
    matrix: pl.DataFrame
    baselines: pl.DataFrame
    flipped: pl.DataFrame
    selected: Choice
    estimate: Mapping[str, Any]
    selection: Mapping[str, Any]
    dissociations: tuple[str, ...] = ()
    """Double dissociations between the localizers, in words."""
    layers: pl.DataFrame | None = None
    t: Mapping[Any, Floats] | None = None
    p: Mapping[Any, Floats] | None = None
    q: Mapping[Any, Floats] | None = None
    d: Mapping[Any, Floats] | None = None
    attribution: Mapping[Any, Floats] | None = None
    """What zeroing each unit alone does to the margin of the right answer, to first order."""
    contrast: Mapping[str, Any] | None = None
    reliability: Mapping[str, Any] | None = None
    twins: pl.DataFrame | None = None
    token_effects: pl.DataFrame | None = None
    """What the claim's lesion does to each token of the items that it moved most."""
    dictionaries: pl.DataFrame | None = None
    """What the dictionaries explain whose features were looked at; None where none were."""
    activations: pl.DataFrame | None = None
    """The texts that fire the selected features most."""
