"""What the test of a direction found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from broca.evidence.maps import Floats
from broca.evidence.result import Result
from broca.instruments.direction.spec import DirectionTest
from broca.sites import Site
from broca.units.direction import Direction


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DirectionResult(Result):
    """What the test of a direction found; arrays have one vector a site, the chosen one first of all in `steered`."""

    spec: DirectionTest
    steered: Mapping[str, Any]
    """Site, dose, what positive doses move towards, and whose direction it is."""
    vectors: Mapping[Site, Floats]
    """(unit,) Of each site, fitted without the groups of the items that test."""
    readers: Mapping[Site, Floats]
    """(unit,) By which places along them are read."""
    centres: Mapping[Site, Floats]
    """(unit,) Place 0."""
    layers: pl.DataFrame
    tried: pl.DataFrame
    curve: pl.DataFrame
    families: pl.DataFrame
    texts: pl.DataFrame
    contrasts: pl.DataFrame
    items: pl.DataFrame
    prompts: pl.DataFrame
    doses: pl.DataFrame
    matrix: pl.DataFrame
    baselines: pl.DataFrame
    flipped: pl.DataFrame
    twins: pl.DataFrame | None
    contrast: Mapping[str, Any]
    estimate: Mapping[str, Any]
    """What steering against the right answer does to the own ability."""
    shift: Mapping[str, Any]
    """How far the dose moves log-odds, beside random directions."""

    @property
    def direction(self) -> Direction:
        """The direction at every site."""
        return direction_at(self.vectors, self.readers, self.centres, self.steered)


def direction_at(
    vectors: Mapping[Site, Floats],
    readers: Mapping[Site, Floats],
    centres: Mapping[Site, Floats],
    steered: Mapping[str, Any],
) -> Direction:
    """A direction of a result's arrays, or of those of its run."""
    about = {name: steered[name] for name in ("name", "method", "pool", "contrast", "fitted_on")}
    rho = {Site.parse(site): value for site, value in steered["rho"].items()}
    oblique = readers if steered["method"] == "leace" else {}
    return Direction(vectors, oblique, centres, rho, steered["model"], about)
