"""A table of numbers as cells: the darker, the more."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import polars as pl

from broca.reports import figures
from broca.reports.figures import INK


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
        alt.Chart(figures.data(table.select(x[0], y[0], "value").to_dicts()))
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
    return figures.styled(alt.LayerChart(layer=[chart]), title).properties(height=min(420, max(84, 15 * rows)))


def ordinal(n: int) -> alt.Axis:
    """The axis of `n` places that are counted or named."""
    return alt.Axis(labelAngle=0, labelOverlap="greedy" if n > 16 else True, ticks=False, grid=False)


def named_axis(names: Sequence[str]) -> alt.Axis:
    """An axis of names, with room for the longest in any font."""
    return alt.Axis(
        labelLimit=200, labelAngle=0, ticks=False, grid=False, minExtent=7 * max(map(len, names), default=0)
    )
