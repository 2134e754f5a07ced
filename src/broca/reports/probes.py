"""The part of the page that a probe fills: scores, curves over layers, maps of heads and places, pruning curves, trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from broca.page import charts as figures
from broca.page.charts import INK, heat
from broca.page.words import finite, number, percent
from broca.reports.drawing import Figure, draw
from broca.reports.record import Record
from broca.reports.trees import tree_picture

ASKED = {"useful": "which statements are useful", "step": "which step a useful statement belongs to"}
_ORDERS = {"place": "by place", "size": "by size", "probe": "by probe", "gradient": "by gradient"}
_RANDOM = "random (95 %)"


def section(record: Record) -> dict[str, Any] | None:
    """What the template needs; None for other studies."""
    scores = record.tables.get("scores")
    if record.kind != "probe" or scores is None:
        return None
    rows: list[dict[str, Any]] = [row | {"asked": _asked(row["target"])} for row in scores.to_dicts()]
    for row in rows:
        row["baselines"] = _of(record, "probe_baselines", row["target"])
        row["controls"] = _of(record, "controls", row["target"])
    return {
        "rows": rows,
        "layers": _layers(record),
        "attention": _attention(record),
        "heads": _heads(record),
        "pruning": _pruning(record),
        "areas": _dicts(record, "areas"),
        "edges": _dicts(record, "edges"),
        "corruptions": _dicts(record, "corruptions"),
        "links": _dicts(record, "links"),
        "trees": _trees(record),
    }


def _asked(target: str) -> str:
    return ASKED.get(target, target)


def charts(part: dict[str, Any] | None) -> list[Figure]:
    """Every figure of the section, in order."""
    if part is None:
        return []
    return [figure for name in ("layers", "attention", "heads", "pruning", "trees") for figure in part[name]]


def _dicts(record: Record, name: str) -> list[dict[str, Any]]:
    table = record.tables.get(name)
    return [] if table is None else table.to_dicts()


def _of(record: Record, name: str, target: str) -> list[dict[str, Any]]:
    return [row for row in _dicts(record, name) if row["target"] == target]


def _layers(record: Record) -> list[Figure]:
    table = record.tables.get("layer_scores")
    if table is None:
        return []
    out = []
    for target in table["target"].unique(maintain_order=True).to_list():
        own = table.filter(pl.col("target") == target)
        best = own.filter(pl.col("way") == "single").sort("f1", descending=True, nulls_last=True).row(0, named=True)
        words = f"{_asked(target).capitalize()}: macro-F1 by layer. Best alone: layer {best['layer']} ({number(best['f1'])})."
        out.append(draw(_layer_chart(own, target), f"layers-{target}", alt_text=words, caption=words))
    return out


def _layer_chart(table: pl.DataFrame, target: str) -> alt.LayerChart:
    names = {"single": "this layer alone", "cumulative": "all up to it"}
    series = table.with_columns(series=pl.col("way").replace_strict(names, default=pl.col("way")))
    band = table.group_by("layer", maintain_order=True).agg(
        low=pl.col("random_low").min(), high=pl.col("random_high").max()
    )
    random = "random networks"
    colour = _colour([*names.values(), random], [INK["accent"], INK["second"], INK["band"]])
    x = figures.layer_axis(table)
    y = alt.Y("f1:Q", title="macro-F1", scale=alt.Scale(zero=False))
    lines = alt.Chart(figures.data(series.select("layer", "f1", "series").to_dicts())).encode(x=x, y=y, color=colour)
    marks: list[Any] = []
    if band["low"].null_count() < len(band):
        shape = alt.Chart(figures.data([row | {"series": random} for row in band.to_dicts()])).encode(x=x)
        marks = [
            shape.mark_area(opacity=0.32, color=INK["band"]).encode(y=alt.Y("low:Q"), y2="high:Q"),
            shape.mark_line(strokeWidth=1, opacity=0.6).encode(y=alt.Y("high:Q"), color=colour),
        ]
    marks += [lines.mark_line(strokeWidth=2.2), lines.mark_point(filled=True, size=30, opacity=1)]
    return figures.styled(
        alt.LayerChart(layer=marks), "Useful or not, by layer" if target == "useful" else "Which step, by layer"
    )


def _colour(names: Sequence[str], colours: Sequence[str]) -> alt.Color:
    legend = alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3, labelLimit=170, columns=3)
    return alt.Color("series:N", scale=alt.Scale(domain=list(names), range=list(colours)), legend=legend)


_COUNTED = {"size": ", from the smallest number", "place": "", "step": "; step 0 is not useful"}


def _attention(record: Record) -> list[Figure]:
    table = record.tables.get("attention")
    if table is None:
        return []
    titles = {
        "size": ("Attention by size", "size rank"),
        "place": ("Attention by place", "place"),
        "step": ("Attention by step", "step"),
    }
    out = []
    for by in [name for name in titles if name in table["by"].to_list()]:
        own = table.filter(pl.col("by") == by)
        own = own if by == "step" else own.with_columns(pl.col("label") + 1)
        top = own.sort("attention", descending=True).row(0, named=True)
        title, axis = titles[by]
        words = (
            f"{title}: mean over texts and heads{_COUNTED[by]}. The most goes to {axis} {top['label']} in layer {top['layer']} "
            f"({number(top['attention'])})."
        )
        chart = heat(own.rename({"attention": "value"}), ("layer", "layer"), ("label", axis), title)
        out.append(draw(chart, f"attention-{by}", alt_text=words, caption=words))
    return out


def _heads(record: Record) -> list[Figure]:
    out = []
    scores, heads = record.tables.get("head_scores"), record.tables.get("heads")
    for target in () if scores is None else scores["target"].unique(maintain_order=True).to_list():
        assert scores is not None
        own = scores.filter(pl.col("target") == target)
        found = int((own["q"] <= 0.05).sum())
        words = (
            f"{_asked(target).capitalize()}, told by each head alone: probing score; {found} of {len(own)} heads beat shuffled labels "
            "(Benjamini–Hochberg, q = 0.05)."
        )
        shown = own.with_columns(value=pl.col("score").fill_null(pl.col("f1")).clip(0, 1)).filter(
            pl.col("value").is_not_null()
        )
        chart = heat(
            shown, ("layer", "layer"), ("head", "head"), "Useful, by head" if target == "useful" else "Step, by head"
        )
        out.append(draw(chart, f"heads-{target}", alt_text=words, caption=words))
    titles = {"entropy_place": "Entropy by place", "entropy_size": "Entropy by size"}
    for name, title in titles.items() if heads is not None else ():
        assert heads is not None
        own = heads.filter(pl.col(name).is_not_null())
        if own.is_empty():
            continue
        low = own.sort(name).row(0, named=True)
        words = f"{title} of each head’s mean attention: 1 is even; darker heads are choosier. Lowest: head {low['layer']}.{low['head']} ({number(low[name])})."
        chart = heat(own.rename({name: "value"}), ("layer", "layer"), ("head", "head"), title, domain=(1.0, 0.0))
        out.append(draw(chart, name.replace("_", "-"), alt_text=words, caption=words))
    return out


def _pruning(record: Record) -> list[Figure]:
    table = record.tables.get("pruning")
    if table is None:
        return []
    fill = table.filter(pl.col("condition") == "lesion")["fill"].to_list()[:1]
    out = []
    for mode in table.filter(pl.col("mode") != "")["mode"].unique(maintain_order=True).to_list():
        own = table.filter(((pl.col("mode") == mode) & pl.col("fill").is_in(fill)) | (pl.col("condition") == "intact"))
        words = _pruning_words(own, mode)
        chart = _pruning_chart(own, mode)
        out.append(draw(chart, f"pruning-{mode}", alt_text=words, caption=words))
    return out


def _pruning_words(table: pl.DataFrame, mode: str) -> str:
    intact = table.filter(pl.col("condition") == "intact")["accuracy"].mean()
    middle = sorted(table.filter(pl.col("condition") == "lesion")["level"].unique().to_list())
    level = middle[len(middle) // 2]
    at = table.filter(pl.col("level") == level)
    each = at.filter(pl.col("condition") == "lesion").select("order", "accuracy").iter_rows()
    told = ", ".join(f"{_ORDERS.get(order, order)} {percent(value)}" for order, value in each)
    random = at.filter(pl.col("condition") == "random")["accuracy"]
    more = f"; {len(random)} random orders {percent(random.median())} in the median" if len(random) else ""
    done = "taken away" if mode == "remove" else "kept"
    return f"{percent(intact)} intact; with {number(level)} % of the heads {done}: {told}{more}."


def _pruning_chart(table: pl.DataFrame, mode: str) -> alt.LayerChart:
    lesions = table.filter(pl.col("condition") == "lesion")
    orders = lesions["order"].unique(maintain_order=True).to_list()
    names = [str(_ORDERS.get(order, order)) for order in orders]
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
        {"level": row["level"], "accuracy": row["accuracy"], "series": _ORDERS.get(row["order"], row["order"])}
        for row in lesions.sort("level").iter_rows(named=True)
    ]
    marks: list[Any] = []
    if len(drawn):
        value = pl.col("accuracy")
        band = drawn.group_by("level").agg(
            low=value.quantile(0.025, "linear"), accuracy=value.median(), high=value.quantile(0.975, "linear")
        )
        shape = alt.Chart(figures.data([row | {"series": _RANDOM} for row in band.sort("level").to_dicts()])).encode(
            x=x
        )
        marks += [
            shape.mark_area(opacity=0.32, color=INK["band"]).encode(y=alt.Y("low:Q"), y2="high:Q"),
            shape.mark_line(strokeWidth=1.4).encode(y=y, color=colour),
        ]
    intact = table.filter(pl.col("condition") == "intact")["accuracy"].mean()
    if finite(intact):
        level = alt.Chart(figures.data([{"accuracy": intact}]))
        marks.append(level.mark_rule(strokeDash=[5, 4], color=INK["soft"]).encode(y=alt.Y("accuracy:Q")))
    lines = alt.Chart(figures.data(rows)).encode(x=x, y=y, color=colour)
    marks += [lines.mark_line(strokeWidth=2.2), lines.mark_point(filled=True, size=30, opacity=1)]
    return figures.styled(alt.LayerChart(layer=marks), "Heads taken away" if mode == "remove" else "Heads kept alone")


def _trees(record: Record) -> list[Figure]:
    table = record.tables.get("drawn")
    if table is None:
        return []
    parts = table.partition_by("tree", maintain_order=True)
    return [tree_picture(part.sort("statement").to_dicts(), f"tree-{i + 1}") for i, part in enumerate(parts)]
