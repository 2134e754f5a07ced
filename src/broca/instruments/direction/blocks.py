"""What a reader sees of a direction's test: the curve over doses, texts side by side, layers, and what steering costs."""

from __future__ import annotations

from functools import partial

import polars as pl

from broca.evidence.blocks import interval, stimuli, table
from broca.evidence.lesion_blocks import baselines, flipped_blocks, matrix
from broca.instruments.direction import charts
from broca.instruments.direction.tables import CONTRASTS, CURVE, FAMILIES, LAYERS, TRIED
from broca.page.blocks import Block, Chart, Column, Details, Facts, Table, Text, Title, section
from broca.page.record import Record
from broca.page.words import as_text, finite, number


def blocks(record: Record) -> list[Block]:
    """The page of a direction's test."""
    contrast, steered = record.part("contrast"), record.part("steered")
    pairs = [("model", record.model_name), ("site", as_text(steered.get("site")))]
    if finite(steered.get("dose")):
        pairs.append(("dose", f"{number(steered['dose'])} times {_unit(record)}"))
    pairs.append(("towards", "right answers" if steered.get("toward") == "answer" else as_text(steered.get("toward"))))
    if finite(contrast.get("n_positive")):
        pairs.append(("stimuli", f"{number(contrast['n_positive'])} + {number(contrast['n_negative'])}"))
    parts = (_curve(record), _texts(record), _layers(record), matrix(record), _families(record), baselines(record),
             flipped_blocks(record), stimuli(record))  # fmt: skip
    title = Title("Direction", as_text(contrast.get("name")))
    return [title, Facts(tuple(pairs), summary=True), *(block for part in parts for block in part)]


def _unit(record: Record) -> str:
    """What dose 1 is: a direction that was given had no sides to fit it from."""
    fitted = finite(record.part("contrast").get("n_positive"))
    return "the distance between the sides" if fitted else "the vector that was given"


def _curve(record: Record) -> list[Block]:
    rows, steered = record.tables.get("curve"), record.part("steered")
    if rows is None:
        return []
    toward = "the right answer" if steered.get("toward") == "answer" else as_text(steered.get("toward"))
    dose = steered["dose"] if finite(steered.get("dose")) else None
    unit = _unit(record)
    words = (
        f"Log-odds of {toward} on items that chose nothing, at each dose; dose 1 is {unit}. "
        "The grey band spans random directions of the same norm along which the stream varies as much. In the shaded doses text stays fluent."
    )
    own = rows.filter(pl.col("series") == "direction").sort("dose")
    made = own.with_columns(
        interval=pl.struct("low", "high").map_elements(
            lambda r: interval(r["low"], r["high"], number), return_dtype=pl.String
        )
    ).to_dicts()
    settings = (("dose", "dose"), ("log_odds", "log-odds", "column"), ("interval", "95 % interval"), ("accuracy", "accuracy", "percent"),
                ("perplexity_ratio", "perplexity, times intact", "column"))  # fmt: skip
    brief = [name for name, *_ in settings]
    shown = table(CURVE, made, "Doses", *settings, strong=("log_odds",), summary=brief)
    caption = f"Log-odds of {toward} against the dose, beside random directions."
    return section(
        "curve",
        "What each dose does",
        Text(words),
        Chart("doses", caption, partial(charts.dose_curve, rows, toward, dose, unit)),
        shown,
    )


def _texts(record: Record) -> list[Block]:
    rows = record.tables.get("texts")
    if rows is None or rows.is_empty():
        return []
    doses = rows["dose"].unique().sort().to_list()
    lines = []
    for prompt in rows["prompt"].unique(maintain_order=True).to_list():
        said = dict(rows.filter(pl.col("prompt") == prompt).select("dose", "text").iter_rows())
        lines.append((prompt, *(" ".join((said.get(dose) or "").split()) for dose in doses)))
    columns = (Column("prompt"), *(Column(f"dose {number(dose)}") for dose in doses))
    words = Text("The same prompts, continued greedily at each dose. Where a dose breaks text it is to be seen here.")
    return section("texts", "Text at each dose", words, Table("Continuations", columns, tuple(lines), texts=True))


def _layers(record: Record) -> list[Block]:
    rows = record.tables.get("layers")
    if rows is None:
        return []
    site = as_text(record.part("steered").get("site"))
    caption = "Share of pairs of texts that the direction of each layer tells apart, fitted without their groups; the steered layer is marked."
    settings = (("site", "site"), ("auroc", "AUROC", "column"), ("d", "d", "column"), ("halves", "halves", "column"),
                ("norm", "norm", "column"), ("share", "of what stands there", "percent"), ("cosine", "with the chosen", "column"))  # fmt: skip
    shown = table(LAYERS, rows.to_dicts(), "Layers", *settings)
    tried = table(
        TRIED, record.rows("tried"), "Layers that were tried", ("site", "site"), ("dose", "fluent dose", "column"),
        ("effect", "moved, nats", "column"), ("toward", "towards"), ("chosen", "chosen"),
    )  # fmt: skip
    further = table(
        CONTRASTS,
        record.rows("contrasts"),
        "Other contrasts",
        ("contrast", "contrast"),
        ("cosine", "cosine", "column"),
        ("halves", "its halves", "column"),
    )
    folded = tuple(each for each in (shown, tried) if each)
    more = Details("All layers in numbers, and those that were tried", folded) if folded else None
    if rows["auroc"].null_count() == rows.height:  # a direction that was given: nothing was told apart
        return section("layers", "Layers", further, more)
    chart = Chart("layers", caption, partial(charts.separation, rows, site))
    return section("layers", "Where the sides are told apart", chart, further, more)


def _families(record: Record) -> list[Block]:
    rows = record.rows("families")
    made = [row | {"band": interval(row["low"], row["high"])} for row in rows]
    words = Text(
        "What other directions cost when they are steered by against the right answer, each on the side on which it costs more. Random "
        "directions of the same norm and share of variance are in the matrix."
    )
    shown = table(FAMILIES, made, "Further random directions", ("family", "family"), ("draws", "draws"), ("median", "median", "points"),
                  ("band", "95 % of them"), ("p", "p", "p"))  # fmt: skip
    return section("families", "Beside other directions", words, shown)
