"""The chart of a self-test."""

from __future__ import annotations

import altair as alt
import polars as pl

from broca.page.charts import INK, SERIES, data, label, named_axis, style


def areas(methods: pl.DataFrame) -> alt.LayerChart:
    """Area under the ROC curve of each method, a mark for each thing that counts as true, and chance."""
    rows = [
        {"method": label(method), "truth": label(truth), "auroc": auroc}
        for method, truth, auroc in methods.select("method", "truth", "auroc").rows()
        if auroc is not None
    ]
    order = list(dict.fromkeys(row["method"] for row in rows))
    truths = list(dict.fromkeys(row["truth"] for row in rows))
    colour = alt.Color(
        "truth:N",
        scale=alt.Scale(domain=truths, range=list(SERIES[: len(truths)])),
        legend=alt.Legend(orient="top", title=None, symbolType="circle"),
    )
    marks = (
        alt.Chart(data(rows))
        .mark_point(filled=True, size=70, opacity=0.9)
        .encode(
            x=alt.X("auroc:Q", title="AUROC", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(grid=False, tickCount=5)),
            y=alt.Y("method:N", sort=order, title=None, axis=named_axis(order, grid=True)),
            color=colour,
        )
    )
    chance = alt.Chart(data([{"auroc": 0.5}])).mark_rule(color=INK["soft"], strokeDash=[2, 3]).encode(x="auroc:Q")
    return style(alt.LayerChart(layer=[chance, marks]), "What each method finds").properties(
        height=24 * len(order) + 10
    )
