"""What charts are made of, as Vega-Lite: size and type of the page, its colours, axes, and the chart of a table of numbers.

A chart is small enough for a phone, its text as large as the page's captions. Colours are those of `INK`; the report has them
follow the page into the dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from broca.page.words import visible

INK = {
    "ink": "#21262c",
    "soft": "#5b646d",
    "line": "#dfe2e5",
    "band": "#9aa3ab",
    "accent": "#ce5c00",
    "second": "#2374bb",
    "third": "#0b8261",
    "fourth": "#a3508f",
    "fifth": "#7a6a00",
    "sixth": "#4b5bd6",
}
"""Name of a colour on the page, and the colour in a figure that stands alone (after Okabe & Ito, 2008)."""

SERIES = tuple(INK[name] for name in ("accent", "second", "third", "fourth", "fifth", "sixth"))
"""Colours of lines, in order."""

WIDTH, HEIGHT = 350, 190


def heat(
    table: pl.DataFrame,
    x: tuple[str, str],
    y: tuple[str, str],
    title: str,
    *,
    domain: tuple[float, float] | None = None,
    order: Sequence[str] | None = None,
) -> alt.LayerChart:
    """Cells whose ink is the value: nothing at the low end, full at the high one."""
    high = float(table["value"].max() or 1.0)  # type: ignore[arg-type]
    scale = alt.Scale(domain=list(domain or (0.0, high if high > 0 else 1.0)), range=[0.03, 1])
    rows, columns = table[y[0]].n_unique(), table[x[0]].n_unique()
    chart = (
        alt.Chart(data(table.select(x[0], y[0], "value").to_dicts()))
        .mark_rect(color=INK["accent"])
        .encode(
            x=alt.X(f"{x[0]}:O", title=x[1], axis=ordinal(columns)),
            y=alt.Y(
                f"{y[0]}:O",
                title=y[1] or None,
                axis=named_axis(order) if order else ordinal(rows),
                sort=list(order) if order else "ascending",
            ),
            opacity=alt.Opacity(
                "value:Q", scale=scale, legend=alt.Legend(orient="top", title=None, format=".2~g", tickCount=4)
            ),
        )
    )
    return style(alt.LayerChart(layer=[chart]), title).properties(height=min(420, max(84, 15 * rows)))


def token_names(tokens: Sequence[str]) -> list[str]:
    """Names of places in a text, no two alike: their number and their token."""
    return [f"{i} {label(token.strip() or repr(token))[:14]}" for i, token in enumerate(tokens)]


def token_bars(table: pl.DataFrame, title: str, what: str) -> alt.LayerChart:
    """A bar for each token of a text.

    Args:
        table: token and value, in the order of the text.
        title: of the chart.
        what: the value is.
    """
    names = token_names(table["token"].to_list())
    rows = [{"place": name, "value": float(value)} for name, value in zip(names, table["value"], strict=True)]
    bars = (
        alt.Chart(data(rows))
        .mark_bar(color=INK["accent"])
        .encode(
            x=alt.X("value:Q", title=what, axis=alt.Axis(grid=False, tickCount=5)),
            y=alt.Y("place:N", title=None, sort=names, axis=named_axis(names)),
        )
    )
    return style(alt.LayerChart(layer=[bars]), title).properties(height=max(60, 16 * len(names)))


def token_grid(table: pl.DataFrame, tokens: Sequence[str], title: str) -> alt.LayerChart:
    """Layers, the last on top, by the tokens of a text: a text in each cell, and as ink a share of 1.

    Args:
        table: layer, position, text and value of each cell.
        tokens: of the text.
        title: of the chart.
    """
    names = token_names(tokens)
    rows = [
        {"layer": layer, "place": names[position], "text": label(text.strip() or repr(text))[:9], "value": value}
        for layer, position, text, value in table.select("layer", "position", "text", "value").rows()
    ]
    base = alt.Chart(data(rows)).encode(
        x=alt.X("place:N", title=None, sort=names, axis=alt.Axis(labelAngle=-35, ticks=False, grid=False)),
        y=alt.Y("layer:O", title="layer", sort="descending", axis=ordinal(table["layer"].n_unique())),
    )
    scale = alt.Scale(domain=[0, 1], range=[0.03, 1])
    legend = alt.Legend(orient="top", title=None, format=".0%", tickCount=3)
    cells = base.mark_rect(color=INK["accent"]).encode(opacity=alt.Opacity("value:Q", scale=scale, legend=legend))
    words = base.mark_text(fontSize=9, color=INK["ink"]).encode(text="text:N")
    high = 16 * table["layer"].n_unique()
    return style(alt.LayerChart(layer=[cells, words]), title).properties(width=max(WIDTH, 52 * len(names)), height=high)


def pattern_grids(table: pl.DataFrame, tokens: Sequence[str]) -> alt.ConcatChart:
    """Attention of several heads, each a grid of queries by keys.

    Args:
        table: head, query, key and value of each cell.
        tokens: of the text.
    """
    names = token_names(tokens)
    charts = []
    for head in table["head"].unique(maintain_order=True).to_list():
        own = table.filter(pl.col("head") == head).select("query", "key", "value").rows()
        rows = [{"from": names[query], "to": names[key], "value": value} for query, key, value in own]
        cells = (
            alt.Chart(data(rows))
            .mark_rect(color=INK["accent"])
            .encode(
                x=alt.X("to:N", title="looked at", sort=names, axis=alt.Axis(labelAngle=-90, ticks=False, grid=False)),
                y=alt.Y("from:N", title="from", sort=names, axis=named_axis(names)),
                opacity=alt.Opacity("value:Q", scale=alt.Scale(domain=[0, 1], range=[0.02, 1]), legend=None),
            )
        )
        side = max(120, 15 * len(names))
        charts.append(cells.properties(title=f"head {head}", width=side, height=side))
    return alt.ConcatChart(concat=charts, columns=2)


def ordinal(n: int) -> alt.Axis:
    """The axis of `n` places that are counted or named."""
    return alt.Axis(labelAngle=0, labelOverlap="greedy" if n > 16 else True, ticks=False, grid=False)


def named_axis(names: Sequence[str], *, grid: bool = False) -> alt.Axis:
    """An axis of names, with room for the longest in any font: the page's may be wider than the one that is measured with."""
    longest = min(200, 7 * max(map(len, names), default=0) + 4)
    return alt.Axis(labelLimit=200, labelAngle=0, ticks=False, grid=grid, minExtent=longest)


def layer_axis(layers: pl.DataFrame) -> alt.X:
    """Layers from the first to the last, some of them labelled."""
    first, last = int(layers["layer"].min() or 0), int(layers["layer"].max() or 0)  # type: ignore[arg-type]
    ticks = list(range(first, last + 1, max(1, -(-(last - first + 1) // 10))))
    return alt.X(
        "layer:Q",
        title="layer",
        scale=alt.Scale(domain=[first - 0.6, last + 0.6], nice=False),
        axis=alt.Axis(values=ticks, format="d", grid=False),
    )


def count_axis(most: int) -> alt.Axis:
    """An axis of counts up to `most`."""
    # Vega would label the halves between two small counts as counts too.
    return alt.Axis(tickCount=4, format=",d", values=list(range(most + 1)) if most < 5 else alt.Undefined)


def percent_axis() -> alt.Axis:
    """An axis of shares, from 0 to 1."""
    return alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])


def label(text: str) -> str:
    """`text` as a chart can hold it: Vega shortens by UTF-16 units, and half of a pair of them is no text any more."""
    return "".join(c if ord(c) < 0x10000 else f"⟨U+{ord(c):X}⟩" for c in visible(text))


def data(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows as a chart takes them."""
    # A frame, not a list: altair copies and checks each value of a list again at every step.
    return pl.DataFrame(rows, infer_schema_length=None)


def style(chart: alt.LayerChart, title: str) -> alt.LayerChart:
    """The chart in the page's size and type, with its title."""
    # All settings in one step: altair checks the whole chart again at each. Helvetica is what the text is measured
    # with; the page shows it in its own type.
    config = {
        "font": "Helvetica, Arial, sans-serif",
        "background": "transparent",
        "aria": False,
        "padding": 4,
        "view": {"stroke": None},
        "title": {"anchor": "start", "fontSize": 14, "fontWeight": 600, "color": INK["ink"], "offset": 8, "limit": WIDTH},
        "axis": {
            "labelColor": INK["soft"], "titleColor": INK["soft"], "domainColor": INK["line"], "tickColor": INK["line"],
            "gridColor": INK["line"], "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 400, "tickSize": 4,
        },
        "legend": {"labelColor": INK["ink"], "labelFontSize": 12, "offset": 4, "padding": 0, "columnPadding": 14},
    }  # fmt: skip
    return chart.properties(width=WIDTH, height=HEIGHT, title=title, config=config)
