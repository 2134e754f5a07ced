"""Charts of a direction's test: the curve over doses, and the layers."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from broca.page import charts
from broca.page.charts import INK

DIRECTION, RANDOM = "direction", "random directions"


def dose_curve(table: pl.DataFrame, toward: str, fluent: float | None, unit: str) -> alt.LayerChart:
    """Log-odds against dose with its interval, the span of random directions, and the doses at which text stays fluent.

    Args:
        table: the `curve`.
        toward: what is moved towards, in words.
        fluent: the largest dose of either sign at which text stays fluent.
        unit: what dose 1 is, in words.
    """
    own = table.filter(pl.col("series") == "direction").sort("dose")
    random = table.filter(pl.col("series") == "random")
    x = alt.X("dose:Q", title=f"dose, times {unit}", axis=alt.Axis(grid=False))
    names = [DIRECTION, *([RANDOM] if len(random) else [])]
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=names, range=[INK["accent"], INK["band"]][: len(names)]),
        legend=alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3),
    )
    y = alt.Y("log_odds:Q", title=f"log-odds of {charts.label(toward)}, nats")
    layers: list[Any] = []
    if fluent is not None:
        span = alt.Chart(charts.data([{"dose": -fluent, "end": fluent}]))
        layers.append(span.mark_rect(opacity=0.12, color=INK["second"]).encode(x="dose:Q", x2="end:Q"))
    if len(random):
        band = random.group_by("dose").agg(
            low=pl.col("log_odds").min(), high=pl.col("log_odds").max(), log_odds=pl.col("log_odds").median()
        )
        rows = [row | {"series": RANDOM} for row in band.sort("dose").to_dicts()]
        drawn = alt.Chart(charts.data(rows)).encode(x=x)
        layers += [
            drawn.mark_area(opacity=0.32, color=INK["band"]).encode(y=alt.Y("low:Q"), y2="high:Q"),
            drawn.mark_line(strokeWidth=1.4).encode(y=y, color=colour),
        ]
    rows = [row | {"series": DIRECTION} for row in own.select("dose", "log_odds", "low", "high").to_dicts()]
    base = alt.Chart(charts.data(rows)).encode(x=x)
    layers += [
        base.mark_rule(strokeWidth=1.2, opacity=0.6, color=INK["accent"]).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(strokeWidth=2.2).encode(y=y, color=colour),
        base.mark_point(filled=True, size=40, opacity=1).encode(y=y, color=colour),
    ]
    return charts.style(alt.LayerChart(layer=layers), "What each dose does")


def separation(layers: pl.DataFrame, chosen: str) -> alt.LayerChart:
    """AUROC on groups that were left out, by layer, with the chosen site."""
    rows = layers.select("layer", "auroc", "site").to_dicts()
    x = alt.X("layer:Q", title="layer", axis=alt.Axis(format="d", tickMinStep=1, grid=False))
    y = alt.Y("auroc:Q", title="AUROC", scale=alt.Scale(zero=False))
    base = alt.Chart(charts.data(rows)).encode(x=x, y=y)
    mark = alt.Chart(charts.data([row for row in rows if row["site"] == chosen])).encode(x=x, y=y)
    marks = [
        base.mark_line(strokeWidth=2.2, color=INK["second"]),
        base.mark_point(filled=True, size=28, opacity=1, color=INK["second"]),
        mark.mark_point(filled=True, shape="diamond", size=130, opacity=1, color=INK["accent"]),
    ]
    return charts.style(alt.LayerChart(layer=marks), "How well the sides are told apart")
