"""Charts of a sensitivity study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from broca.page import charts
from broca.page.charts import INK

_RANDOM = "random masks"


def perplexity(intact: Any, lesions: pl.DataFrame, drawn: pl.DataFrame) -> alt.LayerChart:
    """Perplexity against the fraction, with random masks of the chosen size."""
    first = {"dose": 0.0, "perplexity": intact, "series": "mask"}
    rows = [first, *(lesions.select("dose", "perplexity").with_columns(series=pl.lit("mask"))).to_dicts()]
    rows += drawn.select("dose", "perplexity").with_columns(series=pl.lit(_RANDOM)).to_dicts()
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=["mask", _RANDOM], range=[INK["accent"], INK["band"]]),
        legend=alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3),
    )
    base = alt.Chart(charts.data(rows)).encode(
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
    return charts.style(chart, "Perplexity")


def layers(table: pl.DataFrame, series: Mapping[str, tuple[str, str]], title: str, heading: str) -> alt.LayerChart:
    """A line over layers for each series: by its label its column and its colour."""
    rows = [
        {"layer": row["layer"], "value": row[column], "series": label}
        for label, (column, _) in series.items()
        for row in table.to_dicts()
    ]
    base = alt.Chart(charts.data(rows)).encode(
        x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap="greedy")),
        y=alt.Y("value:Q", title=title, axis=alt.Axis(tickCount=5)),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(domain=list(series), range=[INK[ink] for _, ink in series.values()]),
            legend=alt.Legend(orient="top", title=None, columns=2, symbolType="stroke", symbolStrokeWidth=3),
        ),
    )
    chart = alt.LayerChart(layer=[base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=36, opacity=1)])
    return charts.style(chart, heading)


def kinds(modules: pl.DataFrame) -> alt.LayerChart:
    """Masked weights by layer, coloured by the kind of matrix."""
    table = modules.group_by("layer", "kind", maintain_order=True).agg(pl.col("n_selected").sum())
    kinds = table["kind"].unique(maintain_order=True).to_list()
    palette = [INK[name] for name in ("accent", "second", "third", "fourth", "fifth", "sixth", "soft", "band")]
    chart = alt.Chart(charts.data(table.to_dicts())).mark_bar()
    bars = chart.encode(
        x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap="greedy")),
        y=alt.Y("n_selected:Q", title="weights masked", axis=alt.Axis(tickCount=4, format=",d")),
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=kinds, range=[palette[i % len(palette)] for i in range(len(kinds))]),
            legend=alt.Legend(orient="top", title=None, columns=4),
        ),
    )
    return charts.style(alt.LayerChart(layer=[bars]), "Masked weights")
