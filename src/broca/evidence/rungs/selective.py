"""What a contrast map says: the selective and the reliable rung, by layer, in words, with its guards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import hypergeom

from broca.errors import SelectionError, StatisticsError
from broca.evidence.maps import Floats, Found, Maps
from broca.evidence.resampling import NOTHING, Resampled
from broca.evidence.stimuli import Split
from broca.evidence.verdict import Guard, Rung
from broca.items import Contrast
from broca.page.numbers import limits, number, p_value
from broca.sites import Site
from broca.stats.corrections import bh, true_share
from broca.stats.massive import massive
from broca.stats.power import welch_detectable
from broca.stats.reliability import chance_overlap, overlap, split_half
from broca.stats.stability import Stability
from broca.stimuli.lengths import LengthMatch, plain
from broca.units import Grain, Select, Selection, select

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

RELIABLE = 0.8
"""Split-half reliability (Spearman-Brown) that a map must reach."""

SELECTIVE_SHARE = 0.95
"""Share of the selection that must be significant."""


def adjusted(p: Mapping[Site, Floats]) -> dict[Site, Floats]:
    """Benjamini-Hochberg adjusted p over all units of all sites."""
    cuts = np.cumsum([len(values) for values in p.values()])[:-1]
    return dict(zip(p, np.split(bh(_flat(p)), cuts), strict=True))


def selective(
    p: Mapping[Site, Floats],
    q: Mapping[Site, Floats],
    selection: Selection,
    *,
    sides: tuple[int, int],
    alpha: float,
    more: Resampled = NOTHING,
) -> Rung:
    """Do the selected units tell the two sides apart, after correction over all units?

    Args:
        p: of every unit.
        q: adjusted over all of them.
        selection: the selected ones.
        sides: stimuli on each side.
        alpha: level of the corrections.
        more: what shuffling and regressing out lengths gave, if it was asked for.
    """
    flat, chosen = _flat(q), _flat(selection.mask.at)
    hits = int((flat[chosen] <= alpha).sum())
    anywhere = int((flat <= alpha).sum())
    bound = true_share(_flat(p), chosen, alpha=alpha)
    seen = welch_detectable(*sides, alpha=alpha, tests=selection.n_alive)
    extra: dict[str, float | int] = {"detectable_d": seen}
    text = f" {sides[0]} + {sides[1]} stimuli show d = {number(seen)} in a given {selection.mask.grain} with 80 % power (Bonferroni)."
    if more.p_max:
        extra["family_wise_selected"] = int((_flat(more.p_max)[chosen] <= alpha).sum())
        extra["arrangements"] = more.n
        text += (
            f" By max-T over {more.n} arrangements of {more.scheme}, {extra['family_wise_selected']} of them are significant "
            f"family-wise ({alpha:g})."
        )
    if more.p_length:
        extra["significant_without_length"] = int((_flat(adjusted(more.p_length))[chosen] <= alpha).sum())
        text += f" With the length of the stimuli regressed out, {extra['significant_without_length']} remain (BH)."
    return Rung(
        "selective",
        "passed" if hits >= SELECTIVE_SHARE * selection.k else "failed",
        f"{hits} of {selection.k} selected {selection.mask.grain}s are significant (BH, q = {alpha:g}; {anywhere} of {selection.n_alive} "
        f"in the whole model). With {1 - alpha:.0%} confidence at least {bound:.0%} of the selection is truly selective.{text}",
        {
            "k": selection.k,
            "significant_selected": hits,
            "significant": anywhere,
            "share_significant": anywhere / selection.n_alive,
            "true_share": bound,
            "alpha": alpha,
            **extra,
        },
    )


def reliable(
    splits: Mapping[Split, tuple[Maps, Maps]], how: Select, grain: Grain, stability: Stability | None = None
) -> Rung:
    """Would other stimuli of the kind have given the same map and the same selection?

    Each half selects as the whole did; effect sizes are then read from the other half. Beside them stands what the same
    half would have claimed (double dipping; Kriegeskorte et al., 2009). The rung is read from random halves; odd and even
    ones stand beside them, for stimuli that come in an order.
    """
    parts = splits["random"]
    try:
        stable = split_half(_flat(parts[0].t), _flat(parts[1].t))
        ordered = split_half(*(_flat(part.t) for part in splits["odd-even"]))
        chosen = [select(part.t, how, grain=grain) for part in parts]
    except (StatisticsError, SelectionError) as error:
        return Rung("reliable", "not tested", f"Too few stimuli or units for two halves: {error}", {})
    masks = [_flat(selection.mask.at) for selection in chosen]
    n = min(selection.n_alive for selection in chosen)
    shared = overlap(*masks)
    chance = chance_overlap(chosen[0].k, chosen[1].k, n)
    # P(as many or more shared | random selections of these sizes)
    p_overlap = float(hypergeom.sf(shared.shared - 1, n, chosen[0].k, chosen[1].k))
    d = [_flat(part.d) for part in parts]
    # The sign is the one that the selecting half saw: an effect that turns round in the other half counts against it.
    held_out, same = (
        float(np.mean([np.nanmean(np.sign(d[by][masks[by]]) * d[on][masks[by]]) for by, on in pairs]))
        for pairs in (((0, 1), (1, 0)), ((0, 0), (1, 1)))
    )
    passed = stable.full >= RELIABLE and p_overlap <= 0.05
    extra, text = {}, ""
    if stability is not None:
        extra = {
            "bootstrap_jaccard": stability.jaccard.value,
            "bootstrap_noise": stability.noise,
            "resamples": stability.n,
        }
        text = (
            f" {stability.n} bootstrap samples of the stimuli select units that share {number(stability.jaccard.value, '.0%')} with "
            f"each other (95 % of pairs {limits(stability.jaccard.low, stability.jaccard.high, '.0%')}; shuffled labels "
            f"{number(stability.noise, '.0%')}; 80 % is good)."
        )
        passed = passed and stability.jaccard.value > stability.noise
    return Rung(
        "reliable",
        "passed" if passed else "failed",
        f"Split-half r = {number(stable.r)} ({number(stable.full)} for the whole by Spearman-Brown, {RELIABLE} is asked; odd "
        f"against even {number(ordered.full)}). The halves' selections share {number(shared.jaccard, '.0%')} (Jaccard; chance "
        f"{number(chance.jaccard, '.1%')}, {p_value(p_overlap)}). Effect size of the selection on stimuli that did not select it: "
        f"d = {number(held_out)}, against {number(same)} on its own.{text}",
        {
            "r": stable.r,
            "r_full": stable.full,
            "r_odd_even": ordered.r,
            "r_odd_even_full": ordered.full,
            "jaccard": shared.jaccard,
            "dice": shared.dice,
            "chance_jaccard": chance.jaccard,
            "chance_dice": chance.dice,
            "p_overlap": p_overlap,
            "d_held_out": held_out,
            "d_same_half": same,
            **extra,
        },
    )


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


def described(contrast: Contrast, match: LengthMatch) -> dict[str, Any]:
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
    return _protected(whole), {how: (_protected(a), _protected(b)) for how, (a, b) in splits.items()}


def _protected(maps: Maps) -> Maps:
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


def lengths_match(match: LengthMatch) -> Guard:
    """Marks a contrast whose sides differ in length, which any pooled activation can pick up."""
    worst = max(match.measures, key=lambda m: abs(m.t))
    if worst.p < 0.05:
        return Guard(
            "length match",
            "marked",
            f"The sides differ in {worst.measure} ({number(worst.percent, '+.1f')} %, {p_value(worst.p)}), so units that follow the "
            "length of a text can pass for selective ones.",
        )
    return Guard("length match", "passed", match.sentence)


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
        found.append(f"{dead} of {selection.n_units} {selection.mask.grain}s never vary and were left out.")
    if protected:
        found.append(
            f"{protected} of {selection.n_units} {selection.mask.grain}s carry massive activations and were left out (protect_massive)."
        )
    return tuple(found)


def citations(grain: Grain, preset: str | None) -> tuple[str, ...]:
    """The methods that were used."""
    return _CITATIONS[grain] + _CITATIONS["any"] + (_CITATIONS["tl"] if (preset or "").startswith("tl") else ())


def _flat(table: Mapping[Site, NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(list(table.values()))
