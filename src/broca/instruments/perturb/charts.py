"""Charts of a study of perturbations: what each kind costs, what patches restore, how far runs are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from broca.page import charts
from broca.page.charts import INK, named_axis, ordinal
from broca.page.words import finite

DONORS = {
    ("restore", "own"): "own clean run",
    ("restore", "other"): "another text's",
    ("restore", "elsewhere"): "other tokens",
}
"""Whose values are put in place, by direction and donor."""


def kinds(kinds: pl.DataFrame) -> alt.LayerChart:
    """Change of accuracy under each kind, with its interval."""
    rows = kinds.with_columns(
        significant=pl.when(pl.col("p_holm") <= 0.05).then(pl.lit("p ≤ .05 (Holm)")).otherwise(pl.lit("not significant")),
        low=pl.coalesce("drop_low", "drop"), high=pl.coalesce("drop_high", "drop"),
    )  # fmt: skip
    base = alt.Chart(charts.data(rows.select("kind", "drop", "low", "high", "significant").to_dicts()))
    y = alt.Y("kind:N", sort=rows["kind"].to_list(), title=None, axis=named_axis(rows["kind"].to_list()))
    axis = alt.Axis(format="+.0%", tickCount=5)
    colour = alt.Color(
        "significant:N",
        scale=alt.Scale(domain=["p ≤ .05 (Holm)", "not significant"], range=[INK["accent"], INK["soft"]]),
        legend=alt.Legend(orient="top", title=None),
    )
    marks = [
        alt.Chart(charts.data([{"drop": 0.0}])).mark_rule(color=INK["soft"]).encode(x=alt.X("drop:Q")),
        base.mark_rule(strokeWidth=1.6).encode(
            y=y, x=alt.X("low:Q", title="change of accuracy", axis=axis), x2="high:Q", color=colour
        ),
        base.mark_point(filled=True, size=55, opacity=1).encode(
            y=y, x=alt.X("drop:Q", title="change of accuracy", axis=axis), color=colour
        ),
    ]
    return charts.style(alt.LayerChart(layer=marks), "What each kind costs").properties(height=max(60, 17 * len(rows)))


def curves(table: pl.DataFrame) -> alt.LayerChart:
    """Recovery at the edited word by layer, beside another text's run and other tokens."""
    of = table.filter((pl.col("kind") == "resid_post") & pl.col("at").is_in(["edited", "random"]))
    rows = [
        {
            "layer": row["layer"],
            "share": row["share"],
            "low": row["low"],
            "high": row["high"],
            "series": DONORS[row["direction"], row["donor"]],
        }
        for row in of.iter_rows(named=True)
        if (row["direction"], row["donor"]) in DONORS and finite(row["share"])
    ]
    names = [name for name in DONORS.values() if any(row["series"] == name for row in rows)]
    x = alt.X("layer:Q", title="layer", axis=alt.Axis(format="d", tickMinStep=1, grid=False))
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=names, range=[INK["accent"], INK["second"], INK["band"]][: len(names)]),
        legend=alt.Legend(orient="top", title=None, labelLimit=170, columns=3),
    )
    y = alt.Y("share:Q", title="share restored", axis=alt.Axis(format=".0%"))
    base = alt.Chart(charts.data(rows)).encode(x=x, color=colour)
    banded = alt.Chart(charts.data([row for row in rows if finite(row["low"])])).encode(x=x, color=colour)
    marks: list[Any] = [
        banded.mark_rule(strokeWidth=1.2, opacity=0.6).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(strokeWidth=2.2).encode(y=y),
        base.mark_point(filled=True, size=36, opacity=1).encode(y=y),
    ]
    return charts.style(alt.LayerChart(layer=marks), "At the edited word")


def units_by_layer(count: pl.DataFrame, what: str) -> alt.LayerChart:
    """How many neurons, or features, are ranked highest in each layer."""
    bars = alt.Chart(charts.data(count.to_dicts())).mark_bar(color=INK["accent"]).encode(
        x=alt.X("layer:O", axis=ordinal(len(count))), y=alt.Y("len:Q", title=what)
    )  # fmt: skip
    return charts.style(alt.LayerChart(layer=[bars]), what.capitalize())


def apart(table: pl.DataFrame, chosen: Sequence[str], title: str) -> alt.LayerChart:
    """Relative distance of the runs by layer, a line for each kind."""
    colours = [INK[name] for name in ("accent", "second", "third", "fourth", "fifth", "sixth")][: len(chosen)]
    colour = alt.Color(
        "kind:N", scale=alt.Scale(domain=list(chosen), range=colours),
        legend=alt.Legend(orient="top", title=None, labelLimit=120, columns=3, symbolType="stroke", symbolStrokeWidth=3),
    )  # fmt: skip
    base = alt.Chart(charts.data(table.select("layer", "relative_distance", "kind").to_dicts())).encode(
        x=alt.X("layer:Q", axis=alt.Axis(format="d", tickMinStep=1, grid=False)),
        y=alt.Y("relative_distance:Q", title="relative distance"),
        color=colour,
    )
    return charts.style(
        alt.LayerChart(layer=[base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=28, opacity=1)]), title
    )
