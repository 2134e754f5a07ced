"""The charts of a study of a circuit."""

from __future__ import annotations

import altair as alt
import polars as pl

from broca.page.charts import INK, SERIES, data, style


def faithfulness(curves: pl.DataFrame) -> alt.LayerChart:
    """Faithfulness by the share of edges that are kept, on a logarithmic axis: both rankings, and random circuits."""
    order = [name for name in ("absolute", "signed", "random") if name in curves["ranking"].to_list()]
    rows = curves.select("ranking", "share", "faithfulness", "draw", "edges").to_dicts()
    colour = alt.Color(
        "ranking:N",
        scale=alt.Scale(domain=order, range=list(SERIES[: len(order)])),
        legend=alt.Legend(orient="top", title=None, symbolType="circle"),
    )
    x = alt.X(
        "share:Q", title="share of edges kept", scale=alt.Scale(type="log"), axis=alt.Axis(format="~%", grid=False)
    )
    y = alt.Y("faithfulness:Q", title="faithfulness")
    means = (
        alt.Chart(data(rows))
        .mark_line(point=True)
        .encode(x=x, y=alt.Y("mean(faithfulness):Q", title="faithfulness"), color=colour)
    )
    points = (
        alt.Chart(data([row for row in rows if row["draw"] >= 0]))
        .mark_point(size=14, opacity=0.5)
        .encode(x=x, y=y, color=colour)
    )
    whole = (
        alt.Chart(data([{"faithfulness": 1.0}]))
        .mark_rule(color=INK["soft"], strokeDash=[2, 3])
        .encode(y="faithfulness:Q")
    )
    return style(alt.LayerChart(layer=[whole, points, means]), "Faithfulness of circuits kept alone").properties(
        height=240
    )
