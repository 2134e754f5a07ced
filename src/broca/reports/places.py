"""Where it is: the maps, the charts, and the numbers of each layer, made from a run's arrays and tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from broca.evidence import charts as figures
from broca.page.words import finite, number, percent
from broca.reports import maps
from broca.reports.drawing import Figure, draw
from broca.reports.record import Record
from broca.sites import Site

TOP = 8
"""Units listed for each layer."""


def dose_figures(record: Record) -> list[Figure]:
    """One chart for each ability, the localizer's own first."""
    doses = record.tables.get("doses")
    if doses is None:
        return []
    out = []
    # Other localizers are in the matrix; a curve is about the one that the claim is about.
    main = next(iter(doses.filter(pl.col("condition") == "lesion")["localizer"].drop_nulls().to_list()), "")
    doses = doses.filter((pl.col("condition") == "intact") | (pl.col("localizer") == main))
    for i, ability in enumerate(_abilities(record, doses)):
        table = doses.filter(pl.col("ability") == ability)
        if table.filter(pl.col("condition") == "lesion").is_empty():
            continue
        weights = record.kind == "sensitivity"
        chart = figures.dose_response(
            table, ability, chance=_chance(record, ability), what="weights masked" if weights else "units lesioned"
        )
        dose = 100 * record.part("selection")["m"] if weights else record.study.get("dose")
        text = _dose_words(table, ability, dose, "weights masked" if weights else "units lesioned")
        out.append(draw(chart, f"dose-response-{i + 1}", alt_text=text, caption=text))
    return out


def twin_figure(record: Record) -> Figure | None:
    """The effect in this model beside that in its untrained twins."""
    table, own = record.tables.get("twins"), record.part("reliability").get("d_held_out")
    if table is None or own is None or not finite(own):
        return None
    fresh = table.filter(pl.col("kind") == "untrained")["d_held_out"].drop_nulls()
    words = f"Effect size of the selection on held-out stimuli: {number(own)} in this model"
    if not fresh.is_empty():
        words += f", at most {number(fresh.max())} in {number(len(fresh))} untrained twins"
    return draw(figures.twins(table, float(own)), "twins", alt_text=f"{words}.", caption=f"{words}.")


def _abilities(record: Record, doses: pl.DataFrame) -> list[str]:
    every = doses["ability"].drop_nulls().unique(maintain_order=True).to_list()
    matrix = record.tables.get("matrix")
    own = set() if matrix is None else set(matrix.filter(pl.col("own"))["ability"].to_list())
    return sorted(every, key=lambda ability: ability not in own)


def _chance(record: Record, ability: str) -> float | None:
    table = record.tables.get("baselines")
    if table is None:
        return None
    rows = table.filter((pl.col("ability") == ability) & (pl.col("baseline") == "chance"))["accuracy"].to_list()
    return float(rows[0]) if rows and finite(rows[0]) else None


def _dose_words(table: pl.DataFrame, ability: str, dose: Any, what: str) -> str:
    """The chart in a sentence: the claim's dose, or the largest, against the intact model and the random draws."""
    table = table.filter(pl.col("accuracy").is_finite())
    lesion = table.filter(pl.col("condition") == "lesion").sort("dose", descending=True, maintain_order=True)
    if lesion.is_empty():
        return f"{ability}: no accuracy is defined."
    claimed = lesion.filter(pl.col("dose") == dose) if finite(dose) else lesion.clear()
    last = (lesion if claimed.is_empty() else claimed).row(0, named=True)
    intact = table.filter(pl.col("condition") == "intact")["accuracy"].mean()
    words = (
        f"{ability}: {percent(intact)} intact; {percent(last['accuracy'])} with {number(last['dose'])} % of the {what} "
    )
    words += f"({last['side']}, {last['fill']})"
    same = (pl.col("dose") == last["dose"]) & pl.col("fill").eq_missing(last["fill"])
    drawn = table.filter((pl.col("condition") == "random") & same)["accuracy"]
    if not drawn.is_empty():
        low, high = drawn.quantile(0.025, "linear"), drawn.quantile(0.975, "linear")
        # Fewer than 40 draws have no 2.5 % tail to speak of; their number says how far to trust the band.
        of = (
            f"95 % of {number(drawn.len())} random draws"
            if drawn.len() >= 40
            else f"{number(drawn.len())} random draws"
        )
        words += f"; {of} of as many: {percent(low)} to {percent(high)}"
    return words + "."


def places(record: Record) -> list[dict[str, Any]]:
    """One entry for each kind of site: its map or grid of heads, its charts, its table of layers."""
    kinds: dict[str, maps.By] = {}
    for site, values in record.arrays.get("t", {}).items():
        kinds.setdefault(site.kind, {})[site] = np.asarray(values, np.float64)  # type: ignore[index]
    table = record.tables.get("layers")
    for kind in [] if table is None else table["kind"].unique(maintain_order=True).to_list():
        kinds.setdefault(str(kind), {})
    return [_place(record, kind, t) for kind, t in kinds.items()]


def _place(record: Record, kind: str, t: maps.By) -> dict[str, Any]:
    selected = {site: on for site, on in record.arrays.get("selected", {}).items() if site in t}
    heads = str(record.part("selection").get("grain", "unit")) == "head"
    layers = record.tables.get("layers")
    layers = None if layers is None else layers.filter(pl.col("kind") == kind).sort("layer")
    drawn = any(len(values) for values in t.values())
    return {
        "kind": kind,
        "unit": "head" if heads else "unit",
        "map": maps.unit_map(kind, t, selected) if drawn and not heads else None,
        "grid": maps.head_grid(t, selected) if drawn and heads else None,
        "figures": _figures(kind, t, selected, layers, heads=heads),
        "layers": [] if layers is None else layers.to_dicts(),
        "top": {site.layer: top_units(record, site) for site in t},
    }


def _figures(kind: str, t: maps.By, selected: maps.By, layers: pl.DataFrame | None, *, heads: bool) -> list[Figure]:
    unit, out = "head" if heads else "unit", []
    if layers is not None and layers.height:
        strongest = layers.sort("max_abs_t", descending=True, nulls_last=True).row(0, named=True)
        text = f"|t| by layer at {kind}; the strongest {unit} is in layer {strongest['layer']} (|t| {number(strongest['max_abs_t'])})."
        out.append(draw(figures.profile(layers, unit), f"profile-{kind}", alt_text=text, caption=text))
        most = layers.sort("n_selected", descending=True, nulls_last=True).row(0, named=True)
        text = f"Selected {unit}s by layer, most in layer {most['layer']} ({number(most['n_selected'])}); the dark marks show an even spread."
        out.append(draw(figures.share(layers, f"{unit}s"), f"share-{kind}", alt_text=text, caption=text))
    if t:
        values = np.concatenate(list(t.values()))
        chosen = np.concatenate([np.asarray(selected.get(s, np.zeros(len(a)))) != 0 for s, a in t.items()])
        alive = int(np.isfinite(values).sum())
        text = f"t of {number(alive)} alive {unit}s, {number(int(chosen.sum()))} of them selected."
        out.append(
            draw(figures.histogram(values, chosen, unit=f"{unit}s"), f"histogram-{kind}", alt_text=text, caption=text)
        )
    return out


def top_units(record: Record, site: Site) -> list[dict[str, Any]]:
    """The `TOP` units of a site with the largest |t|: index, t, d, p, q and whether they are selected."""
    t = np.asarray(record.arrays["t"][site], np.float64)
    order = np.argsort(-np.abs(np.nan_to_num(t, nan=-0.0)), kind="stable")
    order = order[np.isfinite(t[order])][:TOP]

    def at(field: str, unit: int) -> float | None:
        values = record.arrays.get(field, {}).get(site)
        return float(values[unit]) if values is not None and unit < len(values) else None

    return [
        {
            "unit": int(u),
            **{name: at(name, int(u)) for name in ("t", "d", "p", "q")},
            "selected": bool(at("selected", int(u))),
        }
        for u in order
    ]
