"""What a self-test found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from broca.evidence.verdict import Guard, Verdict, fragment
from broca.instruments.selftest.spec import Selftest


@dataclass(frozen=True, eq=False, repr=False)
class SelftestResult:
    """What each method found of what was planted.

    `methods` has a row a truth and method (see `broca.instruments.selftest.rankings.table`); `units` a row a unit whose truth was
    measured: what it was planted as, its true d and effect, and its score by every method; `power` a row a d and n.
    """

    spec: Selftest
    methods: pl.DataFrame
    units: pl.DataFrame
    power: pl.DataFrame | None
    verdict: Verdict
    guards: tuple[Guard, ...]
    warnings: tuple[str, ...]
    claim: str
    method: str
    contrast: Mapping[str, Any]
    model: Mapping[str, Any]
    citations: tuple[str, ...]

    def __repr__(self) -> str:
        return f"SelftestResult({self.claim})"

    def _repr_html_(self) -> str:
        return fragment(self.claim, [asdict(rung) for rung in self.verdict.rungs], self.verdict.sentence)
