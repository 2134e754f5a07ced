"""Charts of a probe: curves over layers, maps of heads and places, pruning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from broca.page import charts
from broca.page.charts import INK
from broca.page.words import finite

ORDERS = {"place": "by place", "size": "by size", "probe": "by probe", "gradient": "by gradient"}
_RANDOM = "random (95 %)"


def layers(table: pl.DataFrame, target: str) -> alt.LayerChart:
    """Macro-F1 of each layer alone and of all up to it, with the band of random networks."""
    names = {"single": "this layer alone", "cumulative": "all up to it"}
    series = table.with_columns(series=pl.col("way").replace_strict(names, default=pl.col("way")))
    band = table.group_by("layer", maintain_order=True).agg(
        low=pl.col("random_low").min(), high=pl.col("random_high").max()
    )
    random = "random networks"
    colour = _colour([*names.values(), random], [INK["accent"], INK["second"], INK["band"]])
    x = charts.layer_axis(table)
    y = alt.Y("f1:Q", title="macro-F1", scale=alt.Scale(zero=False))
    lines = alt.Chart(charts.data(series.select("layer", "f1", "series").to_dicts())).encode(x=x, y=y, color=colour)
    marks: list[Any] = []
    if band["low"].null_count() < len(band):
        shape = alt.Chart(charts.data([row | {"series": random} for row in band.to_dicts()])).encode(x=x)
        marks = [
            shape.mark_area(opacity=0.32, color=INK["band"]).encode(y=alt.Y("low:Q"), y2="high:Q"),
            shape.mark_line(strokeWidth=1, opacity=0.6).encode(y=alt.Y("high:Q"), color=colour),
        ]
    marks += [lines.mark_line(strokeWidth=2.2), lines.mark_point(filled=True, size=30, opacity=1)]
    return charts.style(
        alt.LayerChart(layer=marks), "Useful or not, by layer" if target == "useful" else "Which step, by layer"
    )


def _colour(names: Sequence[str], colours: Sequence[str]) -> alt.Color:
    legend = alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3, labelLimit=170, columns=3)
    return alt.Color("series:N", scale=alt.Scale(domain=list(names), range=list(colours)), legend=legend)


def pruning(table: pl.DataFrame, mode: str) -> alt.LayerChart:
    """Accuracy against the share of heads taken away or kept, each order beside the band of random ones."""
    lesions = table.filter(pl.col("condition") == "lesion")
    orders = lesions["order"].unique(maintain_order=True).to_list()
    names = [str(ORDERS.get(order, order)) for order in orders]
    drawn = table.filter(pl.col("condition") == "random")
    colours = [INK[name] for name in ("accent", "second", "third", "fourth", "fifth")][: len(names)]
    colour = _colour([*names, *([_RANDOM] if len(drawn) else [])], [*colours, *([INK["band"]] if len(drawn) else [])])
    x = alt.X(
        "level:Q", title=f"heads {'taken away' if mode == 'remove' else 'kept'} (%)", scale=alt.Scale(domain=[0, 100])
    )
    y = alt.Y(
        "accuracy:Q",
        title="accuracy",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
    )
    rows = [
        {"level": row["level"], "accuracy": row["accuracy"], "series": ORDERS.get(row["order"], row["order"])}
        for row in lesions.sort("level").iter_rows(named=True)
    ]
    marks: list[Any] = []
    if len(drawn):
        value = pl.col("accuracy")
        band = drawn.group_by("level").agg(
            low=value.quantile(0.025, "linear"), accuracy=value.median(), high=value.quantile(0.975, "linear")
        )
        shape = alt.Chart(charts.data([row | {"series": _RANDOM} for row in band.sort("level").to_dicts()])).encode(x=x)
        marks += [
            shape.mark_area(opacity=0.32, color=INK["band"]).encode(y=alt.Y("low:Q"), y2="high:Q"),
            shape.mark_line(strokeWidth=1.4).encode(y=y, color=colour),
        ]
    intact = table.filter(pl.col("condition") == "intact")["accuracy"].mean()
    if finite(intact):
        level = alt.Chart(charts.data([{"accuracy": intact}]))
        marks.append(level.mark_rule(strokeDash=[5, 4], color=INK["soft"]).encode(y=alt.Y("accuracy:Q")))
    lines = alt.Chart(charts.data(rows)).encode(x=x, y=y, color=colour)
    marks += [lines.mark_line(strokeWidth=2.2), lines.mark_point(filled=True, size=30, opacity=1)]
    return charts.style(alt.LayerChart(layer=marks), "Heads taken away" if mode == "remove" else "Heads kept alone")
