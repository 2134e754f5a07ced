"""What a causal test found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from broca.evidence.maps import Floats
from broca.evidence.verdict import Guard, Verdict, fragment
from broca.instruments.lesion.spec import CausalTest
from broca.units import UnitMask


@dataclass(frozen=True, eq=False, repr=False)
class CausalResult:
    """What a causal test found: see `broca.reports` for the tables, `Localization` for the maps."""

    spec: CausalTest
    items: pl.DataFrame
    prompts: pl.DataFrame
    doses: pl.DataFrame
    matrix: pl.DataFrame
    baselines: pl.DataFrame
    flipped: pl.DataFrame
    selected: UnitMask
    verdict: Verdict
    guards: tuple[Guard, ...]
    warnings: tuple[str, ...]
    claim: str
    estimate: Mapping[str, Any]
    selection: Mapping[str, Any]
    model: Mapping[str, Any]
    citations: tuple[str, ...]
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

    def __repr__(self) -> str:
        return f"CausalResult({self.claim})"

    def _repr_html_(self) -> str:
        return fragment(self.claim, [asdict(rung) for rung in self.verdict.rungs], self.verdict.sentence)
