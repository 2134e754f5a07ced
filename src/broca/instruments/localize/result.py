"""What a localizer found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.evidence.maps import Floats
from broca.evidence.result import Result
from broca.instruments.localize.spec import Localize
from broca.sites import Site
from broca.units import UnitMask, select


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Localization(Result):
    """What a localizer found; each mapping has one array a site, one entry a unit or head.

    `t` is the statistic (Welch's t, or LD-t for heads), `p` its two-sided p, `q` the Benjamini-Hochberg adjusted p over
    all live units, `d` the effect size in standard deviations. NaN marks a dead unit: one that never varies.
    """

    spec: Localize
    t: Mapping[Site, Floats]
    p: Mapping[Site, Floats]
    q: Mapping[Site, Floats]
    d: Mapping[Site, Floats]
    size: Mapping[Site, Floats]
    selected: UnitMask
    layers: pl.DataFrame
    selection: Mapping[str, Any]
    reliability: Mapping[str, Any]
    contrast: Mapping[str, Any]
    twins: pl.DataFrame | None = None
    across: pl.DataFrame | None = None
    """How alike the maps and selections of the further contrasts are."""
    p_max: Mapping[Site, Floats] | None = None
    """Family-wise p by max-T, where permutations were asked for."""
    dictionaries: pl.DataFrame | None = None
    """What the dictionaries explain whose features were looked at; None where none were."""
    activations: pl.DataFrame | None = None
    """The texts that fire the selected features most."""

    def __repr__(self) -> str:
        s = self.selection
        return f"Localization({self.contrast['name']}: {s['k']} of {s['n_alive']} {self.spec.grain}s at {s['site']})"

    def select(self, **how: Any) -> UnitMask:
        """Other units of the same ranking: the fields of `Select`, e.g. ``percent=1`` or ``count=64, side="bottom"``.

        Raises:
            SelectionError: if nothing would be selected.
        """
        return select(
            self.t, replace(self.spec.select, **({"percent": None, "count": None} | how)), grain=self.spec.grain
        ).mask

    def frame(self, name: str | None = None) -> pl.DataFrame:
        """One row a unit or head: layer, kind, unit, t, p, q, d, selected; or another table by its name."""
        if name is not None:
            return super().frame(name)
        parts = [
            pl.DataFrame(
                {
                    "layer": [site.layer] * len(t),
                    "kind": [site.kind] * len(t),
                    self.spec.grain: range(len(t)),
                    **{each: getattr(self, each)[site] for each in ("t", "p", "q", "d")},
                    "selected": self.selected.at[site] if site in self.selected.at else np.zeros(len(t), bool),
                }
            )
            for site, t in self.t.items()
        ]
        return pl.concat(parts)

    @property
    def label(self) -> str:
        """The contrast: what the ranking is called in tables."""
        return self.contrast["name"]

    @property
    def alive(self) -> dict[Site, NDArray[np.bool_]]:
        """Which units have a statistic."""
        return {site: np.isfinite(values) for site, values in self.t.items()}
