"""Charts of maps and lesions: dose-response, matched draws beside a lesion, profile over layers, spread of t, twins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from broca.page.charts import INK, SERIES, WIDTH, count_axis, data, label, layer_axis, named_axis, percent_axis, style

RANDOM = "random (95 %)"


def dose_response(
    table: pl.DataFrame, ability: str, *, chance: float | None = None, what: str = "units lesioned"
) -> alt.LayerChart:
    """Accuracy against dose: each lesion, the 95 % band of random draws of the same size, the intact model.

    Args:
        table: the `doses` of one ability.
        ability: its name.
        chance: accuracy of guessing, drawn as a dotted line.
        what: whose percentage a dose is.
    """
    table = table.filter(pl.col("accuracy").is_finite())
    intact = table.filter(pl.col("condition") == "intact")["accuracy"].mean()
    lesions = _lesions(table, intact)
    colour = _dose_colour(lesions["series"].unique(maintain_order=True).to_list(), drawn=_has_random_draws(table))
    x = _dose_axis(table, what)
    y = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]), axis=percent_axis())
    layers: list[Any] = []
    if chance is not None:
        rule = alt.Chart(data([{"accuracy": chance}])).mark_rule(strokeDash=[1, 3], color=INK["soft"])
        layers.append(rule.encode(y="accuracy:Q"))
    if _has_random_draws(table):
        layers += _band(table, intact, x, colour)
    if intact is not None:
        level = alt.Chart(data([{"accuracy": intact, "series": "intact"}]))
        layers.append(level.mark_rule(strokeDash=[5, 4]).encode(y=y, color=colour))
    drawn = alt.Chart(data(lesions.to_dicts())).encode(x=x, y=y, color=colour)
    layers += [drawn.mark_line(strokeWidth=2.2), drawn.mark_point(filled=True, size=42, opacity=1)]
    return style(alt.LayerChart(layer=layers), label(ability))


def _dose_colour(lines: list[str], *, drawn: bool) -> alt.Color:
    # A random draw is one more series, so that the legend names the band by the colour it has.
    names = [*lines, *([RANDOM] if drawn else []), "intact"]
    colours = [SERIES[i % len(SERIES)] for i in range(len(lines))]
    colours += ([INK["band"]] if drawn else []) + [INK["soft"]]
    # A legend wider than the plot would make the picture wider, and everything in it smaller.
    columns = next((n for n in (4, 3) if n * (30 + 5.5 * max(map(len, names))) <= WIDTH + 60), 2)
    legend = alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3, labelLimit=150)
    legend.columns, legend.columnPadding = columns, 10 if columns > 2 else 26
    return alt.Color("series:N", scale=alt.Scale(domain=names, range=colours), legend=legend)


def _dose_axis(table: pl.DataFrame, what: str) -> alt.X:
    doses = sorted({0.0, *table["dose"].drop_nulls().to_list()})
    # Doses are chosen by factors, and a linear axis would crowd the small ones.
    spread = len(doses) > 2 and doses[-1] / doses[1] > 8
    values = doses if len(doses) < 8 else alt.Undefined
    return alt.X(
        "dose:Q",
        title=f"{what} (%)" + (", square-root scale" if spread else ""),
        scale=alt.Scale(type="sqrt" if spread else "linear", domain=[0, doses[-1] or 1], nice=False),
        axis=alt.Axis(values=values, format=".3~g", labelOverlap="greedy", grid=False),
    )


def _has_random_draws(table: pl.DataFrame) -> bool:
    return not table.filter(pl.col("condition") == "random").is_empty()


def _lesions(table: pl.DataFrame, intact: Any) -> pl.DataFrame:
    """One row per side, fill and dose; each line begins at the intact model, which is dose 0 of every lesion."""
    lesions = table.filter(pl.col("condition") == "lesion")
    several = lesions["fill"].n_unique() > 1
    named = pl.col("side") + (pl.lit(", ") + pl.col("fill") if several else pl.lit(""))
    series = (
        lesions.with_columns(series=(pl.lit("lesion: ") + named).map_elements(label, return_dtype=pl.String))
        .group_by("series", "dose", maintain_order=True)
        .agg(pl.col("accuracy").mean())
        .select("series", pl.col("dose").cast(pl.Float64), pl.col("accuracy").cast(pl.Float64))
    )
    if intact is None:
        return series
    starts = series.select("series").unique(maintain_order=True).with_columns(dose=pl.lit(0.0), accuracy=pl.lit(intact))
    order = series["series"].unique(maintain_order=True).to_list()
    return pl.concat([starts, series]).sort(
        pl.col("series").map_elements(order.index, return_dtype=pl.Int64), "dose", maintain_order=True
    )


def _band(table: pl.DataFrame, intact: Any, x: alt.X, colour: alt.Color) -> list[alt.Chart]:
    """The 2.5 % to 97.5 % quantiles of the random draws, and their median."""
    value = pl.col("accuracy").cast(pl.Float64)
    drawn = table.filter(pl.col("condition") == "random")
    # Draws under several fills are several experiments: one band holds one of them.
    band = (
        drawn.filter(pl.col("fill").eq_missing(drawn["fill"][0]))
        .group_by(pl.col("dose").cast(pl.Float64))
        .agg(low=value.quantile(0.025, "linear"), accuracy=value.median(), high=value.quantile(0.975, "linear"))
        .sort("dose")
    )
    rows = band.to_dicts()
    if intact is not None:
        rows = [{"dose": 0.0, "low": intact, "accuracy": intact, "high": intact}, *rows]
    chart = alt.Chart(data([row | {"series": RANDOM} for row in rows])).encode(x=x)
    return [
        chart.mark_area(opacity=0.32, color=INK["band"]).encode(y=alt.Y("low:Q"), y2="high:Q"),
        chart.mark_line(strokeWidth=1.4).encode(y=alt.Y("accuracy:Q"), color=colour),
    ]


def draws(table: pl.DataFrame, abilities: Sequence[str]) -> alt.LayerChart:
    """Accuracy of every matched draw as a dot, with the lesion and the intact model, a row for each ability and fill.

    Args:
        table: the `doses` of a selection that was given.
        abilities: in order.
    """
    fills = table.filter(pl.col("condition") == "lesion")["fill"].unique(maintain_order=True).to_list()
    shown = table.filter(pl.col("accuracy").is_finite() & pl.col("ability").is_in(list(abilities)))
    names = {(a, f): label(f"{a}, {f}" if len(fills) > 1 else a) for a in abilities for f in fills}
    rows = []
    for row in shown.iter_rows(named=True):
        intact = row["condition"] == "intact"
        for fill in fills if intact else [row["fill"]]:
            if (row["ability"], fill) in names:
                where = {"row": names[row["ability"], fill], "accuracy": row["accuracy"]}
                rows.append(where | {"what": _WHAT.get(row["condition"], "lesion"), "offset": 0.0})
    order, dots = list(names.values()), [row for row in rows if row["what"] == _WHAT["random"]]
    for row, offset in zip(dots, _offsets([(row["row"], row["accuracy"]) for row in dots]), strict=True):
        row["offset"] = offset
    colours = {"lesion": INK["accent"], _WHAT["random"]: INK["band"], "intact": INK["second"]}
    there = [name for name in colours if any(row["what"] == name for row in rows)]
    colour = alt.Color(
        "what:N",
        scale=alt.Scale(domain=there, range=[colours[name] for name in there]),
        legend=alt.Legend(orient="top", title=None, symbolType="circle"),
    )
    base = alt.Chart(data(rows)).encode(
        x=alt.X("accuracy:Q", title="accuracy", scale=alt.Scale(zero=False), axis=alt.Axis(format=".0%", tickCount=6)),
        y=alt.Y("row:N", sort=order, title=None, axis=named_axis(order, grid=True)),
        yOffset=alt.YOffset("offset:Q", scale=alt.Scale(domain=[-1, 1])),
        color=colour,
    )
    drawn = {what: base.transform_filter(f"datum.what == '{what}'") for what in there}
    marks = [drawn["intact"].mark_tick(thickness=3, size=26, opacity=1)] if "intact" in there else []
    marks += [drawn[_WHAT["random"]].mark_point(filled=True, size=16, opacity=0.7)] if _WHAT["random"] in there else []
    marks += [drawn["lesion"].mark_point(filled=True, shape="diamond", size=110, opacity=1)]
    chart = style(alt.LayerChart(layer=marks), "The lesion among matched draws")
    return chart.properties(height=46 * len(order) + 10)


_WHAT = {"intact": "intact", "lesion": "lesion", "random": "matched draw"}


def _offsets(places: Sequence[tuple[str, float]]) -> list[float]:
    """Where dots of one place stand above and below one another, from -1 to 1."""
    among = Counter(places)
    seen: Counter[tuple[str, float]] = Counter()
    out = []
    for place in places:
        step = min(0.16, 1.7 / among[place])
        out.append(round((seen[place] - (among[place] - 1) / 2) * step, 4))
        seen[place] += 1
    return out


def profile(layers: pl.DataFrame, unit: str = "unit") -> alt.LayerChart:
    """Strongest and mean |t| of each layer."""
    rows = [
        {"layer": row["layer"], "t": row[column], "series": name}
        for column, name in (("max_abs_t", f"strongest {unit}"), ("mean_abs_t", f"mean over {unit}s"))
        for row in layers.iter_rows(named=True)
        if row[column] is not None and np.isfinite(row[column])
    ]
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=[f"strongest {unit}", f"mean over {unit}s"], range=SERIES[:2]),
        legend=alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3),
    )
    chart = alt.Chart(data(rows)).encode(
        x=layer_axis(layers), y=alt.Y("t:Q", title="|t|", axis=alt.Axis(tickCount=5)), color=colour
    )
    marks = [chart.mark_line(strokeWidth=2.2)] + (
        [chart.mark_point(filled=True, size=30, opacity=1)] if len(layers) < 50 else []
    )
    return style(alt.LayerChart(layer=marks), "Strength over layers")


def share(layers: pl.DataFrame, unit: str = "units") -> alt.LayerChart:
    """Units selected in each layer, against as many as there would be if they were spread evenly."""
    rows = layers.select("layer", "n_selected", "expected").fill_nan(None).to_dicts()
    band = WIDTH / max(1, len(rows))
    x = layer_axis(layers)
    chart = alt.Chart(data(rows))
    bars = chart.mark_bar(color=INK["accent"], size=max(1.0, min(24.0, 0.7 * band))).encode(
        x=x,
        y=alt.Y(
            "n_selected:Q", title=f"{unit} selected", axis=count_axis(max((row["n_selected"] or 0) for row in rows))
        ),
    )
    even = chart.mark_tick(
        orient="horizontal", opacity=1, color=INK["ink"], thickness=2, size=max(2.0, min(34.0, 0.95 * band))
    )
    return style(alt.LayerChart(layer=[bars, even.encode(x=x, y="expected:Q")]), f"Selected {unit} over layers")


def histogram(t: np.ndarray, selected: np.ndarray, *, n_bins: int = 60, unit: str = "units") -> alt.LayerChart:
    """How t is spread over alive units, and where the selected ones lie.

    Args:
        t: (unit,) of all sites; NaN for dead units.
        selected: (unit,) bool.
        n_bins: bars between the smallest and the largest t.
        unit: what is counted, "units" or "heads".
    """
    alive = np.isfinite(t)
    low, high = (float(t[alive].min()), float(t[alive].max())) if alive.any() else (-1.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, n_bins + 1)
    rows = []
    for name, among in ((f"all alive {unit}", alive), ("selected", alive & selected)):
        counts = np.histogram(t[among], edges)[0]
        rows += [
            {"from": round(float(a), 6), "to": round(float(b), 6), "n": int(n), "series": name}
            for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
            if n
        ]
    names = [f"all alive {unit}", "selected"]
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=names, range=[INK["band"], INK["accent"]]),
        legend=alt.Legend(orient="top", title=None, symbolType="square"),
    )
    bars = (
        alt.Chart(data(rows))
        .mark_bar(opacity=1, binSpacing=0)
        .encode(
            x=alt.X("from:Q", title="t", bin="binned", axis=alt.Axis(grid=False, tickCount=7)),
            x2="to:Q",
            # The tails are what matters, and a linear count would not show them.
            y=alt.Y("n:Q", title=f"{unit} (square-root scale)", stack=None, scale=alt.Scale(type="sqrt"),
                    axis=count_axis(max((row["n"] for row in rows), default=0))),
            color=colour,
        )
    )  # fmt: skip
    zero = alt.Chart(data([{"from": 0}])).mark_rule(color=INK["soft"], strokeDash=[2, 3]).encode(x="from:Q")
    return style(alt.LayerChart(layer=[bars, zero] if low < 0 < high else [bars]), "Distribution of t")


def twins(table: pl.DataFrame, own: float) -> alt.LayerChart:
    """Effect size of the selection in the model beside that in twins that have learned nothing, one mark each.

    Args:
        table: the `twins`: kind and d_held_out of each.
        own: the model's.
    """
    rows = [
        {"d": d, "which": label(kind)} for kind, d in table.select("kind", "d_held_out").iter_rows() if d is not None
    ]
    rows.append({"d": own, "which": "this model"})
    order = ["this model", *dict.fromkeys(row["which"] for row in rows[:-1])]
    colour = alt.Color(
        "which:N", scale=alt.Scale(domain=order, range=[INK["accent"], INK["band"], INK["soft"]]), legend=None
    )
    base = alt.Chart(data(rows)).encode(
        x=alt.X("d:Q", title="effect size d on held-out stimuli", axis=alt.Axis(grid=False, tickCount=6)),
        y=alt.Y("which:N", sort=order, title=None, axis=named_axis(order, grid=True)),
        color=colour,
    )
    zero = alt.Chart(data([{"d": 0}])).mark_rule(color=INK["soft"], strokeDash=[2, 3]).encode(x="d:Q")
    chart = alt.LayerChart(layer=[zero, base.mark_point(filled=True, size=60, opacity=0.75)])
    return style(chart, "This model and its twins").properties(height=24 * len(order) + 20)
