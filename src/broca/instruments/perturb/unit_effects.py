"""What each head, neuron or feature restores, case by case: patched, or estimated by attribution patching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from broca.instruments.perturb.grid import Floats, Patches
from broca.instruments.perturb.spec import What
from broca.interventions.patching import Cell
from broca.sites import Kind, Site
from broca.units import UnitMask

SITE: Mapping[What, Kind] = {"heads": "z", "neurons": "mlp_act", "features": "feature"}


@dataclass(frozen=True, slots=True, eq=False)
class UnitEffects:
    """One number a case and candidate, candidates counted through the sites."""

    sites: tuple[Site, ...]
    per_site: tuple[int, ...]
    values: Floats
    """(case, candidate), logits."""
    estimates: Floats

    def mask(self, chosen: NDArray[np.int64], grain: Literal["head", "unit"]) -> UnitMask:
        flags = np.zeros(self.values.shape[1], dtype=bool)
        flags[chosen] = True
        parts = np.split(flags, np.cumsum(self.per_site)[:-1])
        return UnitMask(dict(zip(self.sites, parts, strict=True)), grain)

    @property
    def places(self) -> list[tuple[int, int]]:
        return [(site.layer, i) for site, n in zip(self.sites, self.per_site, strict=True) for i in range(n)]


def unit_effects(cases: Patches, what: What, *, patched: bool) -> UnitEffects:
    """What every candidate restores in each case.

    Args:
        cases: the cases.
        what: the candidates.
        patched: whether heads are patched one by one; what others restore is estimated.
    """
    lm = cases.lm
    sites = lm.anatomy.sites(SITE[what])
    n = {site: lm.anatomy.n_heads if what == "heads" else lm.anatomy.width(site) for site in sites}
    by_site = cases.estimate_effects(n)
    estimates = np.concatenate([by_site[f"all/{site}"] for site in sites], 1)
    values = estimates
    if patched:
        cells = [
            _cell(lm.anatomy.width(site), {site: [head]}, heads=n[site]) for site in sites for head in range(n[site])
        ]
        arrays = cases.run("patching heads", [one.case for one in cases.cases], cells)
        values = arrays["after"][:, :, 0] - arrays["before"][:, None, 0]
    return UnitEffects(sites, tuple(n.values()), values, estimates)


def _cell(width: int, chosen: Mapping[Site, Sequence[int]], *, heads: int) -> Cell:
    """Some heads at sites, at every aligned token."""
    parts = {}
    for site, some in chosen.items():
        flags = np.zeros(heads, dtype=bool)
        flags[list(some)] = True
        parts[site] = np.repeat(flags, width // heads)
    return Cell("all", parts)


def jointly(cases: Patches, mask: UnitMask) -> Cell:
    """The patch of a whole choice, at every aligned token."""
    return Cell("all", {s: np.repeat(f, cases.lm.anatomy.width(s) // len(f)) for s, f in mask.at.items() if f.any()})
