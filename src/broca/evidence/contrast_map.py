"""What a contrast map says beside its rungs: by layer, in words, with its guards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.evidence.maps import Floats, Found, Maps
from broca.evidence.verdict import Guard
from broca.items import Contrast
from broca.sites import Site
from broca.stats.corrections import bh
from broca.stats.massive import massive
from broca.stimuli.lengths import LengthMatch, plain
from broca.units import Grain, Selection

_CITATIONS = {
    "unit": (
        "Welch (1947), Biometrika 34:28-35.",
        "AlKhamissi et al. (2025), The LLM Language Network, NAACL: 10887-10911.",
    ),
    "head": (
        "Kriegeskorte et al. (2007), PNAS 104:20600-20605.",
        "Nili et al. (2014), PLoS Comput Biol 10:e1003553.",
    ),
    "any": (
        "Benjamini & Hochberg (1995), J R Stat Soc B 57:289-300.",
        "Rosenblatt et al. (2018), NeuroImage 181:786-796.",
        "Kriegeskorte et al. (2009), Nat Neurosci 12:535-540.",
    ),
    "tl": ("Jamaa et al. (2025), arXiv:2508.08276.",),
}


def layers(maps: Maps, q: Mapping[Site, Floats], selection: Selection, alpha: float) -> pl.DataFrame:
    """One row a site: how many units, significant and selected, against an even spread of the selection."""
    rows = []
    for site, t in maps.t.items():
        alive = np.isfinite(t)
        size = np.abs(t[alive])
        rows.append(
            {
                "layer": site.layer,
                "kind": site.kind,
                "n_units": len(t),
                "n_alive": int(alive.sum()),
                "n_significant": int((q[site] <= alpha).sum()),
                "n_selected": int(selection.mask.at[site].sum()),
                "expected": selection.k * float(alive.sum()) / selection.n_alive,
                "mean_abs_t": float(size.mean()) if size.size else None,
                "max_abs_t": float(size.max()) if size.size else None,
            }
        )
    return pl.DataFrame(rows, schema_overrides={"mean_abs_t": pl.Float64, "max_abs_t": pl.Float64})


def stimulus_summary(contrast: Contrast, match: LengthMatch) -> dict[str, Any]:
    """What a report says about the stimuli."""
    return {
        "name": contrast.name,
        "n_positive": len(contrast.positive),
        "n_negative": len(contrast.negative),
        "paired": contrast.paired,
        "source": contrast.source,
        "fingerprint": contrast.fingerprint,
        "length_match": match.sentence,
        "positive_examples": [plain(s.text) for s in contrast.positive[:3]],
        "negative_examples": [plain(s.text) for s in contrast.negative[:3]],
        "pictures": sum(len(s.images) for s in (*contrast.positive, *contrast.negative)),
    }


def varies(t: Mapping[Site, Floats]) -> Guard:
    """The *degenerate statistic* guard: a map that is the same in every layer measures no layer."""
    tables = list(t.values())
    same = len(tables) > 1 and all(
        a.shape == tables[0].shape and np.array_equal(a, tables[0], equal_nan=True) for a in tables[1:]
    )
    if same:
        return Guard("degenerate statistic", "marked", "The map is identical in every layer: it measures no layer.")
    return Guard("degenerate statistic", "passed", "The map differs between layers.")


def without_massive(found: Found) -> Found:
    """The maps without a statistic for units that carry massive activations, so that nothing selects them."""
    whole, splits = found
    return _without_massive_units(whole), {
        how: (_without_massive_units(a), _without_massive_units(b)) for how, (a, b) in splits.items()
    }


def _without_massive_units(maps: Maps) -> Maps:
    kept = {site: ~massive(size).units for site, size in maps.size.items()}
    t, p, d = (
        {site: np.where(kept[site], values, np.nan) for site, values in table.items()}
        for table in (maps.t, maps.p, maps.d)
    )
    return Maps(t, p, d, maps.size)


def massive_alive(maps: Maps) -> int:
    """How many units with massive activations have a statistic, which protecting them takes from them."""
    return sum(int((massive(size).units & np.isfinite(maps.t[site])).sum()) for site, size in maps.size.items())


def massive_units(size: Mapping[Site, Floats], selection: Selection) -> Guard:
    """Marks a selection that holds massive activations: lesioning one breaks the model whatever the task."""
    hit = {site: massive(values).units for site, values in size.items() if np.isfinite(values).any()}
    n, chosen = (
        sum(int(on.sum()) for on in hit.values()),
        [f"{site}:{unit}" for site, on in hit.items() for unit in np.flatnonzero(on & selection.mask.at[site])],
    )
    if chosen:
        return Guard(
            "massive activations",
            "marked",
            f"{len(chosen)} of the {n} units with massive activations are selected ({', '.join(chosen[:5])}): a lesion of them "
            "may break the model whatever the task. Leave them out with protect_massive.",
        )
    return Guard("massive activations", "passed", f"{n} units carry massive activations, none of them is selected.")


def warnings(contrast: Contrast, selection: Selection, protected: int) -> tuple[str, ...]:
    """What a reader should know before believing the map.

    Args:
        contrast: the stimuli.
        selection: what was selected.
        protected: units that were kept from being selected, since they carry massive activations.
    """
    found = []
    n = min(len(contrast.positive), len(contrast.negative))
    if n < 20:
        found.append(
            f"Only {n} stimuli on the smaller side, for {selection.n_alive} units: expect unstable maps. 20 are few, 100 good."
        )
    if dead := selection.n_dead - protected:
        found.append(f"{dead} of {selection.n_units} {selection.mask.noun}s never vary and were left out.")
    if protected:
        found.append(
            f"{protected} of {selection.n_units} {selection.mask.noun}s carry massive activations and were left out (protect_massive)."
        )
    return tuple(found)


def citations(grain: Grain, preset: str | None) -> tuple[str, ...]:
    """The methods that were used."""
    return _CITATIONS[grain] + _CITATIONS["any"] + (_CITATIONS["tl"] if (preset or "").startswith("tl") else ())


def q_values(p: Mapping[Site, Floats]) -> dict[Site, Floats]:
    """Benjamini-Hochberg adjusted p over all units of all sites."""
    cuts = np.cumsum([len(values) for values in p.values()])[:-1]
    return dict(zip(p, np.split(bh(flat(p)), cuts), strict=True))


def flat(table: Mapping[Site, NDArray[Any]]) -> NDArray[Any]:
    """The values of all sites, one after the other."""
    return np.concatenate(list(table.values()))
