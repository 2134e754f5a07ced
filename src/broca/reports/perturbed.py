"""The part of the page that a study of perturbations fills: accuracy by kind, where patches restore, heads, examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from broca.instruments.perturb.cases import CLASSES, RANDOM
from broca.instruments.perturb.summary import best
from broca.page import charts as figures
from broca.page.charts import INK, heat, named_axis, ordinal
from broca.page.words import finite, number, percent
from broca.reports.drawing import Figure, draw
from broca.reports.record import Record

PLACES = {"prefix": "before", "edited": "edited word", "boundary": "next token", "suffix": "rest",
          "operands": "operands", "answer": "last token"}  # fmt: skip
_SITES = {"resid_post": "Residual stream", "attn_out": "Attention output", "mlp_out": "MLP output"}
_DONORS = {
    ("restore", "own"): "own clean run",
    ("restore", "other"): "another text's",
    ("restore", "elsewhere"): "other tokens",
}
MOST_KINDS = 6


def section(record: Record) -> dict[str, Any] | None:
    """What the template needs; None for other studies."""
    kinds = record.tables.get("kinds")
    if record.kind != "perturb" or kinds is None:
        return None
    ordered = kinds.sort("drop", "kind")
    return {
        "kinds": ordered.to_dicts(),
        "accuracy": [_accuracy(ordered)],
        "recovery": _recovery(record),
        "heads": _heads(record),
        "inside": _inside(record, ordered),
        "probes": _probes(record),
        "examples": _examples(record),
        "task": record.part("task"),
    }


def charts(part: dict[str, Any] | None) -> list[Figure]:
    """Every figure of the section, in order."""
    if part is None:
        return []
    return [figure for name in ("accuracy", "recovery", "heads", "inside") for figure in part[name]]


def _accuracy(kinds: pl.DataFrame) -> Figure:
    worst = kinds.row(0, named=True)
    words = (
        f"Change of accuracy under each kind, by item, with 95 % intervals over wordings. Most under {worst['kind']}: from "
        f"{percent(worst['clean'])} to {percent(worst['perturbed'])}."
    )
    rows = kinds.with_columns(
        significant=pl.when(pl.col("p_holm") <= 0.05).then(pl.lit("p ≤ .05 (Holm)")).otherwise(pl.lit("not significant")),
        low=pl.coalesce("drop_low", "drop"), high=pl.coalesce("drop_high", "drop"),
    )  # fmt: skip
    base = alt.Chart(figures.data(rows.select("kind", "drop", "low", "high", "significant").to_dicts()))
    y = alt.Y("kind:N", sort=rows["kind"].to_list(), title=None, axis=named_axis(rows["kind"].to_list()))
    axis = alt.Axis(format="+.0%", tickCount=5)
    colour = alt.Color(
        "significant:N",
        scale=alt.Scale(domain=["p ≤ .05 (Holm)", "not significant"], range=[INK["accent"], INK["soft"]]),
        legend=alt.Legend(orient="top", title=None),
    )
    marks = [
        alt.Chart(figures.data([{"drop": 0.0}])).mark_rule(color=INK["soft"]).encode(x=alt.X("drop:Q")),
        base.mark_rule(strokeWidth=1.6).encode(
            y=y, x=alt.X("low:Q", title="change of accuracy", axis=axis), x2="high:Q", color=colour
        ),
        base.mark_point(filled=True, size=55, opacity=1).encode(
            y=y, x=alt.X("drop:Q", title="change of accuracy", axis=axis), color=colour
        ),
    ]
    chart = figures.styled(alt.LayerChart(layer=marks), "What each kind costs").properties(
        height=max(60, 17 * len(rows))
    )
    return draw(chart, "kinds", alt_text=words, caption=words)


def _recovery(record: Record) -> list[Figure]:
    table = record.tables.get("recovery")
    if table is None:
        return []
    own = table.filter((pl.col("direction") == "restore") & (pl.col("donor") == "own") & pl.col("share").is_not_null())
    out = [_curves(table), *_by_kind(record)]
    for kind, title in _SITES.items():
        part = own.filter((pl.col("kind") == kind) & pl.col("at").is_in(CLASSES))
        if part.is_empty():
            continue
        top = part.sort("share", descending=True).row(0, named=True)
        words = (
            f"{title}: share of the lost logit difference that the clean run's values restore. Most at the {PLACES[top['at']]} in layer "
            f"{top['layer']} ({percent(top['share'])})."
        )
        order = [PLACES[name] for name in CLASSES]
        shown = part.with_columns(place=pl.col("at").replace_strict(PLACES), value=pl.col("share").clip(0, 1))
        chart = heat(shown, ("layer", "layer"), ("place", ""), title, domain=(0.0, 1.0), order=order)
        out.append(draw(chart, f"recovery-{kind.replace('_', '-')}", alt_text=words, caption=words))
    return out


def _by_kind(record: Record) -> list[Figure]:
    """The edited word, each kind by itself."""
    table = record.tables.get("recovery_kinds")
    own = None if table is None else table.filter((pl.col("at") == "edited") & pl.col("share").is_not_null())
    if own is None or own["perturbation"].n_unique() < 2:
        return []
    order = (
        own.group_by("perturbation").agg(pl.col("share").max()).sort("share", descending=True)["perturbation"].to_list()
    )
    words = f"Residual stream at the edited word, kinds apart, of at least three cases each. Most of {order[0]} is restored, least of {order[-1]}."
    shown = own.with_columns(value=pl.col("share").clip(0, 1))
    chart = heat(shown, ("layer", "layer"), ("perturbation", ""), "By kind", domain=(0.0, 1.0), order=order)
    return [draw(chart, "recovery-kinds", alt_text=words, caption=words)]


def _curves(table: pl.DataFrame) -> Figure:
    """Recovery at the edited word by layer, beside another text's run and other tokens."""
    of = table.filter((pl.col("kind") == "resid_post") & pl.col("at").is_in(["edited", RANDOM]))
    rows = [
        {
            "layer": row["layer"],
            "share": row["share"],
            "low": row["low"],
            "high": row["high"],
            "series": _DONORS[row["direction"], row["donor"]],
        }
        for row in of.iter_rows(named=True)
        if (row["direction"], row["donor"]) in _DONORS and finite(row["share"])
    ]
    names = [name for name in _DONORS.values() if any(row["series"] == name for row in rows)]
    top = best(table)
    words = "Residual stream at the edited word, by layer, with 95 % intervals" + (
        f": the own clean run restores {percent(top['share'])} at most." if top else "."
    )
    x = alt.X("layer:Q", title="layer", axis=alt.Axis(format="d", tickMinStep=1, grid=False))
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=names, range=[INK["accent"], INK["second"], INK["band"]][: len(names)]),
        legend=alt.Legend(orient="top", title=None, labelLimit=170, columns=3),
    )
    y = alt.Y("share:Q", title="share restored", axis=alt.Axis(format=".0%"))
    base = alt.Chart(figures.data(rows)).encode(x=x, color=colour)
    banded = alt.Chart(figures.data([row for row in rows if finite(row["low"])])).encode(x=x, color=colour)
    marks: list[Any] = [
        banded.mark_rule(strokeWidth=1.2, opacity=0.6).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(strokeWidth=2.2).encode(y=y),
        base.mark_point(filled=True, size=36, opacity=1).encode(y=y),
    ]
    return draw(
        figures.styled(alt.LayerChart(layer=marks), "At the edited word"),
        "recovery-word",
        alt_text=words,
        caption=words,
    )


def _heads(record: Record) -> list[Figure]:
    out = []
    units, patterns = record.tables.get("units"), record.tables.get("patterns")
    if units is not None and record.study.get("select", "heads") == "heads":
        each = units.rename({"unit": "head"})
        out.append(
            _head_map(each, "Heads", "heads-patched", "Each head's output patched alone, at every aligned token")
        )
    elif units is not None:
        out.append(_neurons(units))
    part = None if patterns is None else patterns.filter(pl.col("head").is_not_null())
    if part is not None and len(part):
        told = "Each head's attention pattern replaced by that of the clean run"
        out.append(_head_map(part, "Attention patterns", "heads-patterns", told))
    return out


def _head_map(table: pl.DataFrame, title: str, name: str, what: str) -> Figure:
    """What each head restores, layer by layer."""
    top = table.sort("share", descending=True, nulls_last=True).row(0, named=True)
    words = f"{what}: head {top['layer']}.{top['head']} restores most ({percent(top['share'])})."
    shown = table.with_columns(value=pl.col("share").clip(0, 1))
    return draw(
        heat(shown, ("layer", "layer"), ("head", "head"), title, domain=(0.0, 1.0)), name, alt_text=words, caption=words
    )


def _neurons(units: pl.DataFrame) -> Figure:
    top = units.sort("share", descending=True, nulls_last=True).row(0, named=True)
    count = units.group_by("layer").len().sort("layer")
    words = f"Layers of the {len(units)} neurons that attribution patching ranks highest; first {top['layer']}.{top['unit']}."
    bars = alt.Chart(figures.data(count.to_dicts())).mark_bar(color=INK["accent"]).encode(
        x=alt.X("layer:O", axis=ordinal(len(count))), y=alt.Y("len:Q", title="neurons")
    )  # fmt: skip
    return draw(figures.styled(alt.LayerChart(layer=[bars]), "Neurons"), "neurons", alt_text=words, caption=words)


def _inside(record: Record, kinds: pl.DataFrame) -> list[Figure]:
    """How far runs are apart by layer at the edited word and at the last token, for the kinds that cost most."""
    table = record.tables.get("compared_points")
    if table is None:
        return []
    chosen = [kind for kind in kinds["kind"].to_list() if kind in set(table["kind"])][:MOST_KINDS]
    out = []
    for place, title in (("edited", "Runs apart at the edited word"), ("answer", "Runs apart at the last token")):
        own = table.filter(
            (pl.col("class") == place) & pl.col("kind").is_in(chosen) & pl.col("relative_distance").is_not_null()
        )
        if own.is_empty():
            continue
        top = own.sort("relative_distance", descending=True).row(0, named=True)
        words = (
            f"{title}: distance of the residual streams relative to the clean one's norm, mean over pairs, for the kinds that cost most. "
            f"Largest {number(top['relative_distance'])} after layer {top['layer']} ({top['kind']}); layer −1 is the embedding."
        )
        out.append(draw(_lines(own, chosen, title), f"apart-{place}", alt_text=words, caption=words))
    return out


def _lines(table: pl.DataFrame, chosen: Sequence[str], title: str) -> alt.LayerChart:
    colours = [INK[name] for name in ("accent", "second", "third", "fourth", "fifth", "sixth")][: len(chosen)]
    colour = alt.Color(
        "kind:N", scale=alt.Scale(domain=list(chosen), range=colours),
        legend=alt.Legend(orient="top", title=None, labelLimit=120, columns=3, symbolType="stroke", symbolStrokeWidth=3),
    )  # fmt: skip
    base = alt.Chart(figures.data(table.select("layer", "relative_distance", "kind").to_dicts())).encode(
        x=alt.X("layer:Q", axis=alt.Axis(format="d", tickMinStep=1, grid=False)),
        y=alt.Y("relative_distance:Q", title="relative distance"),
        color=colour,
    )
    return figures.styled(
        alt.LayerChart(layer=[base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=28, opacity=1)]), title
    )


def _probes(record: Record) -> list[dict[str, Any]]:
    """Of every kind and point the site that gains most over what knows no model, wordings kept together."""
    table = record.tables.get("probes")
    if table is None:
        return []
    own = table.filter((pl.col("split") == "wording") & pl.col("accuracy").is_not_null())
    return (
        own.sort("gain", descending=True, nulls_last=True)
        .group_by("kind", "point", maintain_order=True)
        .first()
        .sort("kind", "point")
        .to_dicts()
    )


def _examples(record: Record) -> list[dict[str, Any]]:
    """Texts token by token; what their tokens say is shown as text."""
    table = record.tables.get("examples")
    if table is None:
        return []
    out = []
    for part in table.partition_by("id", maintain_order=True):
        row = part.row(0, named=True)
        sides = {side: part.filter(pl.col("side") == side).sort("place").to_dicts() for side in ("clean", "perturbed")}
        out.append(
            {
                "id": row["id"],
                "kind": row["kind"],
                "right": row["right"],
                "wrong": row["wrong"],
                "lost": row["lost"],
                "sides": sides,
            }
        )
    return out
