"""Where it is: blocks of a map over layers and units, of its layers, and of a selection that was given."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from broca.evidence import charts
from broca.evidence.blocks import table
from broca.evidence.tables import LAYERS
from broca.page.blocks import (
    Block,
    Cell,
    Chart,
    Column,
    Details,
    Heading,
    Image,
    Matrix,
    Section,
    Table,
    Text,
    section,
)
from broca.page.record import Record
from broca.page.words import as_text, finite, leaves, number, tenths
from broca.sites import Site

TOP = 8
"""Units listed for each layer."""
SIDE_BY_SIDE = 64
"""Places of a layer that are cells of a table; more are pixels of an image."""

By = Mapping[Site, np.ndarray]


def twins(record: Record) -> list[Block]:
    """The effect in this model beside that in its untrained twins."""
    rows, own = record.tables.get("twins"), record.part("reliability").get("d_held_out")
    if rows is None or own is None or not finite(own):
        return []
    fresh = rows.filter(pl.col("kind") == "untrained")["d_held_out"].drop_nulls()
    words = f"Effect size of the selection on held-out stimuli: {number(own)} in this model"
    if not fresh.is_empty():
        words += f", at most {number(fresh.max())} in {number(len(fresh))} untrained twins"
    text = (
        "The same localizer in twins of this model that have learned nothing: untrained, the same shape with fresh weights, and "
        "shuffled, with the trained weights in random order. What they show too, the architecture and the stimuli explain."
    )
    chart = Chart("twins", f"{words}.", partial(charts.twins, rows, float(own)))
    return section("twins", "What training made of it", Text(text), chart)


def places(record: Record) -> list[Block]:
    """The map and the layers of each kind of site; of a selection without a map, where it lies."""
    kinds: dict[str, By] = {}
    for site, values in record.arrays.get("t", {}).items():
        kinds.setdefault(site.kind, {})[site] = np.asarray(values, np.float64)  # type: ignore[index]
    layers = record.tables.get("layers")
    for kind in [] if layers is None else layers["kind"].unique(maintain_order=True).to_list():
        kinds.setdefault(str(kind), {})
    out: list[Block] = []
    for kind, t in kinds.items():
        out += [*([Heading(kind)] if len(kinds) > 1 else []), *_place(record, kind, t)]
    out += [] if kinds else _selection_blocks(record)
    if reliability := record.part("reliability"):
        rows = tuple((name, as_text(value)) for name, value in leaves(reliability))
        values = Table("Reliability", (Column("figure"), Column("value")), rows, texts=True)
        out.append(Details("Reliability of the map", (values,)))
    return [Section("places", "Where it is", tuple(out))] if out else []


def _grain(record: Record) -> str:
    return "head" if record.part("selection").get("grain", "unit") == "head" else "unit"


def _place(record: Record, kind: str, t: By) -> list[Block]:
    selected = {site: on for site, on in record.arrays.get("selected", {}).items() if site in t}
    unit = _grain(record)
    layers = record.tables.get("layers")
    layers = None if layers is None else layers.filter(pl.col("kind") == kind).sort("layer")
    out: list[Block] = []
    if any(len(values) for values in t.values()):
        out.append(head_grid(kind, t, selected) if unit == "head" else Image(kind, t, selected))
    return [*out, *_charts(kind, t, selected, layers, unit), *_numbers(record, kind, t, layers, unit)]


def head_grid(kind: str, t: By, selected: By) -> Matrix:
    """Each layer with its heads; the colour goes with |t| up to the largest."""
    end = max((float(np.nanmax(np.abs(a))) for a in t.values() if np.isfinite(a).any()), default=1.0) or 1.0
    rows = []
    for site, values in t.items():
        chosen = np.asarray(selected.get(site, np.zeros(len(values)))) != 0
        rows.append((str(site.layer), tuple(_head(float(v), end, on) for v, on in zip(values, chosen, strict=True))))
    columns = tuple(str(i) for i in range(max(len(cells) for _, cells in rows)))
    caption = f"t of each head at {kind}; selected heads are framed."
    return Matrix("t of each head", "layer", columns, tuple(rows), caption, small=True)


def _head(t: float, end: float, selected: np.bool_) -> Cell:
    if np.isnan(t):
        return Cell("dead", framed=bool(selected), tag="selected", absent=True)
    return Cell(tenths(t), strength=max(-1.0, min(1.0, t / end)), framed=bool(selected), tag="selected")


def _charts(kind: str, t: By, selected: By, layers: pl.DataFrame | None, unit: str) -> list[Block]:
    out: list[Block] = []
    if layers is not None and layers.height:
        strongest = layers.sort("max_abs_t", descending=True, nulls_last=True).row(0, named=True)
        text = f"|t| by layer at {kind}; the strongest {unit} is in layer {strongest['layer']} (|t| {number(strongest['max_abs_t'])})."
        out.append(Chart(f"profile-{kind}", text, partial(charts.profile, layers, unit)))
        most = layers.sort("n_selected", descending=True, nulls_last=True).row(0, named=True)
        text = f"Selected {unit}s by layer, most in layer {most['layer']} ({number(most['n_selected'])}); the dark marks show an even spread."
        out.append(Chart(f"share-{kind}", text, partial(charts.share, layers, f"{unit}s")))
    if t:
        values = np.concatenate(list(t.values()))
        chosen = np.concatenate([np.asarray(selected.get(s, np.zeros(len(a)))) != 0 for s, a in t.items()])
        alive = int(np.isfinite(values).sum())
        text = f"t of {number(alive)} alive {unit}s, {number(int(chosen.sum()))} of them selected."
        out.append(Chart(f"histogram-{kind}", text, partial(charts.histogram, values, chosen, unit=f"{unit}s")))
    return out


def _numbers(record: Record, kind: str, t: By, layers: pl.DataFrame | None, unit: str) -> list[Block]:
    settings = (("layer", "layer"), ("n_units", f"{unit}s"), ("n_alive", "alive"), ("n_significant", "significant"),
                ("n_selected", "selected"), ("expected", "if even", "column"), ("mean_abs_t", "mean |t|", "column"),
                ("max_abs_t", "max |t|", "column"))  # fmt: skip
    shown = table(LAYERS, [] if layers is None else layers.to_dicts(), f"Layers at {kind}", *settings)
    inner: list[Block] = [] if shown is None else [shown]
    columns = (Column(unit), Column("t", "column"), Column("d", "column"), Column("p", "column2"), Column("q", "column2"),
               Column("selected"))  # fmt: skip
    for site in t:
        if rows := top_units(record, site):
            title = f"Strongest {unit}s of layer {site.layer}"
            inner.append(Details(f"Layer {site.layer}: strongest {unit}s", (Table(title, columns, rows),)))
    return [Details(f"Numbers of each layer at {kind}", tuple(inner))] if inner else []


def top_units(record: Record, site: Site) -> tuple[tuple[Any, ...], ...]:
    """The `TOP` units of a site with the largest |t|: index, t, d, p, q and whether they are selected."""
    t = np.asarray(record.arrays["t"][site], np.float64)
    order = np.argsort(-np.abs(np.nan_to_num(t, nan=-0.0)), kind="stable")
    order = order[np.isfinite(t[order])][:TOP]

    def at(field: str, unit: int) -> float | None:
        values = record.arrays.get(field, {}).get(site)
        return float(values[unit]) if values is not None and unit < len(values) else None

    return tuple(
        (int(u), *(at(name, int(u)) for name in ("t", "d", "p", "q")), bool(at("selected", int(u)))) for u in order
    )


def _selection_blocks(record: Record) -> list[Block]:
    """Where a selection lies that no map was made for: layer by head, or layer by unit."""
    kinds: dict[str, dict[Site, np.ndarray]] = {}
    for site, on in record.arrays.get("selected", {}).items():
        kinds.setdefault(site.kind, {})[site] = np.asarray(on)
    out: list[Block] = []
    for kind, at in kinds.items():
        selected = _every_layer(record, kind, at)
        wide = max(len(on) for on in selected.values()) > SIDE_BY_SIDE
        empty = {site: np.zeros(len(on)) for site, on in selected.items()}
        grid = Image(kind, empty, selected, what="") if wide else _marks(kind, selected, _grain(record))
        out += [*([Heading(kind)] if len(kinds) > 1 else []), grid]
    return out


def _every_layer(record: Record, kind: str, at: Mapping[Site, np.ndarray]) -> dict[Site, np.ndarray]:
    """The selection with the layers in which nothing is selected, where the model's number of layers is known."""
    layers = record.part("model").get("layers") or record.part("model").get("n_layers")
    if not isinstance(layers, int) or not 0 < layers <= 1000:
        return dict(at)
    some = next(iter(at.values()))
    every = {Site(i, kind): np.zeros(len(some), np.uint8) for i in range(layers)}  # type: ignore[arg-type]
    return dict(sorted({**every, **at}.items()))


def _marks(kind: str, selected: By, unit: str) -> Matrix:
    columns = tuple(str(i) for i in range(max(len(on) for on in selected.values())))
    rows = tuple(
        (str(site.layer), tuple(Cell("●", strength=1.0, framed=True, tag="selected") if x else Cell("") for x in on))
        for site, on in selected.items()
    )
    n = sum(int((on != 0).sum()) for on in selected.values())
    caption = f"The {number(n)} selected {unit}s at {kind}, layer by {unit}."
    return Matrix(f"Selected {unit}s", "layer", columns, rows, caption, small=True)
