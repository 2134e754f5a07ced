"""What a self-test found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from broca.evidence.result import Result
from broca.instruments.selftest.spec import Selftest


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SelftestResult(Result):
    """What each method found of what was planted.

    `methods` has a row a truth and method (see `broca.instruments.selftest.rankings.table`); `units` a row a unit whose truth was
    measured: what it was planted as, its true d and effect, and its score by every method; `power` a row a d and n.
    """

    spec: Selftest
    methods: pl.DataFrame
    units: pl.DataFrame
    power: pl.DataFrame | None
    method: str
    contrast: Mapping[str, Any]
