"""The part of the page that a sensitivity study fills: the sweep, perplexity, where the mask lies, what it had to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from broca.page import charts as figures
from broca.page.charts import INK
from broca.page.words import number, percent
from broca.reports.drawing import Figure, draw
from broca.reports.record import Record

SHOWN = 30
"""Matrices that are printed, those with the most masked weights first; the rest stay in their table."""

_RANDOM = "random masks"


def section(record: Record) -> dict[str, Any] | None:
    """What the template needs; None for other studies."""
    sweep, modules = record.tables.get("sweep"), record.tables.get("modules")
    if record.kind != "sensitivity" or sweep is None or modules is None:
        return None
    hit = modules.filter(pl.col("n_selected") > 0).sort("n_selected", descending=True, maintain_order=True)
    nulls, cells = record.tables.get("nulls"), record.tables.get("cells")
    sinks, geometry = record.tables.get("sinks"), _by_layer(record.tables.get("geometry"))
    return {
        "chosen": record.part("selection").get("m"),
        "sweep": sweep.to_dicts(),
        "figures": [*_perplexity(record), _kinds(modules), *_attention(sinks), *_cosines(geometry)],
        "modules": hit.head(SHOWN).to_dicts(),
        "more": max(0, hit.height - SHOWN),
        "untouched": modules.height - hit.height,
        "matrices": modules.height,
        "sinks": [] if sinks is None else sinks.to_dicts(),
        "geometry": [] if geometry is None else geometry.to_dicts(),
        "frequencies": _frequencies(record.tables.get("frequencies")),
        "nulls": [] if nulls is None else nulls.to_dicts(),
        "cells": [] if cells is None else _cells(cells),
    }


def charts(part: Mapping[str, Any] | None) -> list[Figure]:
    """Every figure of the section, in order."""
    return [] if part is None else list(part["figures"])


def _frequencies(table: pl.DataFrame | None) -> list[dict[str, Any]]:
    """Masked weights and the norm of activations at each rotary frequency, over layers, queries and keys apart."""
    if table is None:
        return []
    both = table.group_by("kind", "frequency", maintain_order=True).agg(
        pl.col("angle").first(), pl.col("masked").sum(), pl.col("norm").mean()
    )
    q, k = (both.filter(pl.col("kind") == kind).drop("kind") for kind in ("q", "k"))
    return q.join(k, on="frequency", suffix="_k", how="left", maintain_order="left").to_dicts()


def _cells(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Intact and under the claim's mask, which is the first lesion of the table."""
    lesion = table.filter(pl.col("condition") == "lesion").head(1)
    keys = ["condition", "localizer", "side", "dose", "fill", "seed"]
    if lesion.is_empty():
        return []
    masked = table.join(lesion.select(keys), on=keys, how="semi").select(
        "task", "kind", pl.col("accuracy").alias("masked")
    )
    intact = table.filter(pl.col("condition") == "intact")
    return intact.join(masked, on=["task", "kind"], how="left", maintain_order="left").to_dicts()


def _perplexity(record: Record) -> list[Figure]:
    """Perplexity against the fraction, with random masks of the chosen size."""
    table = record.tables.get("perplexity")
    if table is None:
        return []
    intact = table.filter(pl.col("condition") == "intact")["perplexity"].mean()
    first = {"dose": 0.0, "perplexity": intact, "series": "mask"}
    lesions = table.filter(pl.col("condition") == "lesion").sort("dose")
    drawn = table.filter(pl.col("condition") == "random")
    rows = [first, *(lesions.select("dose", "perplexity").with_columns(series=pl.lit("mask"))).to_dicts()]
    rows += drawn.select("dose", "perplexity").with_columns(series=pl.lit(_RANDOM)).to_dicts()
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=["mask", _RANDOM], range=[INK["accent"], INK["band"]]),
        legend=alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3),
    )
    base = alt.Chart(figures.data(rows)).encode(
        x=alt.X("dose:Q", title="weights masked (%), square-root scale", scale=alt.Scale(type="sqrt", nice=False)),
        y=alt.Y("perplexity:Q", scale=alt.Scale(type="log", nice=True), axis=alt.Axis(tickCount=5)),
        color=colour,
    )
    line = base.transform_filter("datum.series == 'mask'")
    chart = alt.LayerChart(
        layer=[
            base.transform_filter("datum.series != 'mask'").mark_point(filled=True, size=26, opacity=0.5),
            line.mark_line(strokeWidth=2.2),
            line.mark_point(filled=True, size=42, opacity=1),
        ]
    )
    words = f"Perplexity of plain text: {number(intact)} intact"
    if lesions.height:
        last = lesions.row(-1, named=True)
        words += f", {number(last['perplexity'])} with {number(last['dose'])} % of the weights masked"
    if drawn.height:
        words += f"; random masks of the chosen size {number(drawn['perplexity'].min())} to {number(drawn['perplexity'].max())}"
    return [draw(figures.styled(chart, "Perplexity"), "perplexity", alt_text=f"{words}.", caption=f"{words}.")]


def _by_layer(table: pl.DataFrame | None) -> pl.DataFrame | None:
    """One row a layer: each number of the clean model, and with ``_masked`` after its name that of the masked one."""
    if table is None:
        return None
    clean, masked = (table.filter(pl.col("state") == state).drop("state") for state in ("clean", "masked"))
    return clean.join(masked, on="layer", suffix="_masked", maintain_order="left")


def _attention(sinks: pl.DataFrame | None) -> list[Figure]:
    """Attention to the first token by layer, before and after."""
    if sinks is None:
        return []
    most = sinks.sort((pl.col("masked") - pl.col("clean")).abs(), descending=True).row(0, named=True)
    words = (
        f"Mean attention to the first token by layer, intact and masked; it moves most in layer {most['layer']}, "
        f"from {percent(most['clean'])} to {percent(most['masked'])}."
    )
    series = {"intact": ("clean", "soft"), "masked": ("masked", "accent")}
    return [_layers(sinks, series, "attention to the first token", "Attention sinks", "sinks", words=words)]


def _cosines(table: pl.DataFrame | None) -> list[Figure]:
    """How queries stand to the first token's key and to the mean of the others, by layer, before and after."""
    if table is None:
        return []
    moved = (pl.col("cosine_first_masked") - pl.col("cosine_first")).abs()
    most = table.sort(moved, descending=True).row(0, named=True)
    words = (
        "Cosine of queries with the first token's key, and with the mean key of the tokens after it, by layer, intact and masked; "
        f"that with the first moves most in layer {most['layer']}, from {number(most['cosine_first'])} to "
        f"{number(most['cosine_first_masked'])}."
    )
    series = {
        "first key, intact": ("cosine_first", "soft"),
        "first key, masked": ("cosine_first_masked", "accent"),
        "other keys, intact": ("cosine_others", "band"),
        "other keys, masked": ("cosine_others_masked", "second"),
    }
    return [_layers(table, series, "cosine", "Queries and keys", "geometry", words=words)]


def _layers(
    table: pl.DataFrame, series: Mapping[str, tuple[str, str]], title: str, heading: str, name: str, *, words: str
) -> Figure:
    """A line over layers for each series: by its label its column and its colour."""
    rows = [
        {"layer": row["layer"], "value": row[column], "series": label}
        for label, (column, _) in series.items()
        for row in table.to_dicts()
    ]
    base = alt.Chart(figures.data(rows)).encode(
        x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap="greedy")),
        y=alt.Y("value:Q", title=title, axis=alt.Axis(tickCount=5)),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(domain=list(series), range=[INK[ink] for _, ink in series.values()]),
            legend=alt.Legend(orient="top", title=None, columns=2, symbolType="stroke", symbolStrokeWidth=3),
        ),
    )
    chart = alt.LayerChart(layer=[base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=36, opacity=1)])
    return draw(figures.styled(chart, heading), name, alt_text=words, caption=words)


def _kinds(modules: pl.DataFrame) -> Figure:
    """Masked weights by layer, coloured by the kind of matrix."""
    table = modules.group_by("layer", "kind", maintain_order=True).agg(pl.col("n_selected").sum())
    kinds = table["kind"].unique(maintain_order=True).to_list()
    palette = [INK[name] for name in ("accent", "second", "third", "fourth", "fifth", "sixth", "soft", "band")]
    chart = alt.Chart(figures.data(table.to_dicts())).mark_bar()
    bars = chart.encode(
        x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap="greedy")),
        y=alt.Y("n_selected:Q", title="weights masked", axis=alt.Axis(tickCount=4, format=",d")),
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=kinds, range=[palette[i % len(palette)] for i in range(len(kinds))]),
            legend=alt.Legend(orient="top", title=None, columns=4),
        ),
    )
    by_kind = (
        table.group_by("kind", maintain_order=True).agg(pl.col("n_selected").sum()).sort("n_selected", descending=True)
    )
    told = ", ".join(f"{kind} {number(n)}" for kind, n in by_kind.iter_rows())
    words = f"Masked weights by layer and kind of matrix: {told}."
    return draw(
        figures.styled(alt.LayerChart(layer=[bars]), "Masked weights"), "modules", alt_text=words, caption=words
    )
