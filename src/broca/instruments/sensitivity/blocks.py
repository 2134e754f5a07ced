"""What a reader sees of a sensitivity study: the sweep, perplexity, where the mask lies, what it had to beat."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl

from broca.evidence.blocks import facts, table
from broca.evidence.lesion_blocks import baselines, doses, flipped_blocks, matrix
from broca.instruments.sensitivity import charts
from broca.instruments.sensitivity.tables import CELLS, FREQUENCIES, GEOMETRY, MODULES, NULLS, SINKS, SWEEP
from broca.page.blocks import Block, Chart, Heading, Table, Text, Title, section
from broca.page.record import Record
from broca.page.words import finite, number, percent, points

LISTED = 30
"""Matrices that are printed, those with the most masked weights first; the rest stay in their table."""


def blocks(record: Record) -> list[Block]:
    """The page of a sensitivity study."""
    fraction = record.part("selection").get("mask_fraction")
    claimed = 100 * fraction if fraction is not None and finite(fraction) else None
    curves = doses(record, "weights masked", claimed)
    parts = (curves, _masks(record, fraction), matrix(record), baselines(record), flipped_blocks(record))
    return [Title("Sensitive weights"), facts(record), *(block for part in parts for block in part)]


def _masks(record: Record, fraction: Any) -> list[Block]:
    modules = record.tables.get("modules")
    words = (
        "Each fraction takes so much of the task's ranking, then leaves out what the controls rank as high: what is left is masked. "
        "The fraction was chosen on items that are not tested; perplexity is that of texts that scored no weight."
    )
    sinks, geometry = record.tables.get("sinks"), _by_layer(record.tables.get("geometry"))
    pictures = [_perplexity(record), _kinds(modules), _attention(sinks), _cosines(geometry)]
    parts = [
        *pictures,
        *_sweep(record, fraction),
        *_under_heading("Random masks", _nulls(record)),
        *_under_heading("Cells", _cells(record)),
        *_modules(modules),
        *_under_heading("Rotary frequencies", _frequencies(record)),
        *_under_heading("Attention to the first token", _sinks(record)),
        *_under_heading("Queries and keys", _geometry(geometry)),
    ]
    return section("masks", "Masked weights", Text(words), *parts)


def _under_heading(title: str, shown: Table | None) -> list[Block]:
    return [] if shown is None else [Heading(title), shown]


def _sweep(record: Record, fraction: Any) -> list[Block]:
    rows = record.rows("sweep")
    for row in rows:
        row["mask_fraction"] = number(row["mask_fraction"]) + (" (chosen)" if row["mask_fraction"] == fraction else "")
    settings = (("mask_fraction", "fraction"), ("nominal", "nominal"), ("task", "task's top"), ("shared", "of them in a control's top"),
                ("shared_by_chance", "by chance"), ("realised", "masked"), ("rows", "rows"), ("columns", "columns"),
                ("dev_accuracy", "accuracy of choosing items", "percent"), ("perplexity_ratio", "perplexity, times intact"))  # fmt: skip
    caption = "The sweep: sizes, and what each fraction did to the items that chose it"
    brief = ("mask_fraction", "nominal", "realised", "dev_accuracy", "perplexity_ratio")
    shown = table(SWEEP, rows, "The sweep", *settings, strong=("realised",), caption=caption, summary=brief)
    return [] if shown is None else [shown]


def _nulls(record: Record) -> Table | None:
    rows = record.rows("nulls")
    for row in rows:
        row["band"] = f"{points(row['low'])} to {points(row['high'])}"
    settings = (("family", "sharing"), ("draws", "draws"), ("mean_k", "weights"), ("median", "median", "points"),
                ("band", "95 % of them"), ("effect", "the mask", "points"), ("p", "p", "p"))  # fmt: skip
    caption = "What random masks of each family do to the own ability; the claim has to be beyond all of them"
    return table(NULLS, rows, "Families of random masks", *settings, strong=("effect",), caption=caption)


def _cells(record: Record) -> Table | None:
    """Intact and under the claim's mask, which is the first lesion of the table."""
    cells = record.tables.get("cells")
    lesion = None if cells is None else cells.filter(pl.col("condition") == "lesion").head(1)
    if cells is None or lesion is None or lesion.is_empty():
        return None
    keys = ["condition", "localizer", "side", "dose", "fill", "seed"]
    masked = cells.join(lesion.select(keys), on=keys, how="semi").select("task", "kind", masked=pl.col("accuracy"))
    intact = cells.filter(pl.col("condition") == "intact")
    rows = intact.join(masked, on=["task", "kind"], how="left", maintain_order="left").to_dicts()
    settings = (("task", "task"), ("kind", "cells"), ("n", "n"), ("accuracy", "intact", "percent"),
                ("masked", "masked", "percent"), ("reality_reporter", "reports reality", "percent"),
                ("always_yes", "always yes", "percent"))  # fmt: skip
    caption = (
        "A cell is right if all its questions are; false-belief and control cells apart, beside what shortcuts get"
    )
    return table(CELLS, rows, "Cells of theory-of-mind tasks", *settings, strong=("masked",), caption=caption)


def _modules(modules: pl.DataFrame | None) -> list[Block]:
    if modules is None:
        return []
    hit = modules.filter(pl.col("n_selected") > 0).sort("n_selected", descending=True, maintain_order=True)
    listed = f"; the {LISTED} with the most are listed" if hit.height > LISTED else ""
    settings = (("matrix", "matrix"), ("n_selected", "masked"), ("n_task", "task's top"), ("n_weights", "of"),
                ("n_rows", "rows"), ("n_columns", "columns"), ("lines", "lines that hold all"), ("mean_abs", "mean |w|"),
                ("mean_abs_masked", "masked |w|"))  # fmt: skip
    caption = "Masked weights of each matrix, and how large they are beside the others"
    rows = hit.head(LISTED).to_dicts()
    shown = table(MODULES, rows, "Matrices", *settings, strong=("n_selected",), caption=caption)
    words = Text(f"{hit.height} of {modules.height} matrices hold a masked weight{listed}.")
    return [Heading("Where they are, matrix by matrix"), words, *([] if shown is None else [shown])]


def _frequencies(record: Record) -> Table | None:
    """Masked weights and the norm of activations at each rotary frequency, over layers, queries and keys apart."""
    rows = record.tables.get("frequencies")
    if rows is None:
        return None
    both = rows.group_by("kind", "frequency", maintain_order=True).agg(
        pl.col("angle").first(), pl.col("masked").sum(), pl.col("norm").mean()
    )
    q, k = (both.filter(pl.col("kind") == kind).drop("kind") for kind in ("q", "k"))
    joined = q.join(k, on="frequency", suffix="_k", how="left", maintain_order="left").to_dicts()
    settings = (("angle", "radians a token"), ("masked", "masked, queries"), ("norm", "norm of queries"),
                ("masked_k", "masked, keys"), ("norm_k", "norm of keys"))  # fmt: skip
    caption = "Masked weights in rows of each frequency, beside the norm of the activations there, over all layers"
    return table(FREQUENCIES, joined, "Rotary frequencies", *settings, caption=caption)


def _sinks(record: Record) -> Table | None:
    settings = (("layer", "layer"), ("clean", "intact", "percent"), ("masked", "masked", "percent"),
                ("displaced", "displaced", "percent"), ("dethroned", "dethroned", "percent"))  # fmt: skip
    caption = "Displaced: its share moves by more than 0.01. Dethroned: of those that attended most to it, those that no longer do"
    return table(SINKS, record.rows("sinks"), "Attention sinks", *settings, caption=caption)


def _geometry(rows: pl.DataFrame | None) -> Table | None:
    names = {"norm_q": "query's norm", "norm_first": "first key's", "norm_others": "other keys'",
             "cosine_first": "cosine, first key", "cosine_others": "cosine, other keys"}  # fmt: skip
    made = [
        {"layer": row["layer"]} | {n: f"{number(row[n])} → {number(row[f'{n}_masked'])}" for n in names}
        for row in ([] if rows is None else rows.to_dicts())
    ]
    caption = (
        "Before rotation, means over heads and texts, intact → masked: norms, and cosines of queries with the first token's key and "
        "with the mean key of the tokens after it"
    )
    return table(GEOMETRY, made, "Queries and keys", ("layer", "layer"), *names.items(), caption=caption)


def _by_layer(rows: pl.DataFrame | None) -> pl.DataFrame | None:
    """One row a layer: each number of the clean model, and with ``_masked`` after its name that of the masked one."""
    if rows is None:
        return None
    clean, masked = (rows.filter(pl.col("state") == state).drop("state") for state in ("clean", "masked"))
    return clean.join(masked, on="layer", suffix="_masked", maintain_order="left")


def _perplexity(record: Record) -> Chart | None:
    """Perplexity against the fraction, with random masks of the chosen size."""
    rows = record.tables.get("perplexity")
    if rows is None:
        return None
    intact = rows.filter(pl.col("condition") == "intact")["perplexity"].mean()
    lesions = rows.filter(pl.col("condition") == "lesion").sort("dose")
    drawn = rows.filter(pl.col("condition") == "random")
    words = f"Perplexity of plain text: {number(intact)} intact"
    if lesions.height:
        last = lesions.row(-1, named=True)
        words += f", {number(last['perplexity'])} with {number(last['dose'])} % of the weights masked"
    if drawn.height:
        words += f"; random masks of the chosen size {number(drawn['perplexity'].min())} to {number(drawn['perplexity'].max())}"
    return Chart("perplexity", f"{words}.", partial(charts.perplexity, intact, lesions, drawn))


def _kinds(modules: pl.DataFrame | None) -> Chart | None:
    """Masked weights by layer, coloured by the kind of matrix."""
    if modules is None:
        return None
    by_kind = modules.group_by("kind", maintain_order=True).agg(pl.col("n_selected").sum())
    told = ", ".join(f"{kind} {number(n)}" for kind, n in by_kind.sort("n_selected", descending=True).iter_rows())
    words = f"Masked weights by layer and kind of matrix: {told}."
    return Chart("modules", words, partial(charts.kinds, modules))


def _attention(sinks: pl.DataFrame | None) -> Chart | None:
    """Attention to the first token by layer, before and after."""
    if sinks is None:
        return None
    most = sinks.sort((pl.col("masked") - pl.col("clean")).abs(), descending=True).row(0, named=True)
    words = (
        f"Mean attention to the first token by layer, intact and masked; it moves most in layer {most['layer']}, "
        f"from {percent(most['clean'])} to {percent(most['masked'])}."
    )
    series = {"intact": ("clean", "soft"), "masked": ("masked", "accent")}
    make = partial(charts.layers, sinks, series, "attention to the first token", "Attention sinks")
    return Chart("sinks", words, make)


def _cosines(rows: pl.DataFrame | None) -> Chart | None:
    """How queries stand to the first token's key and to the mean of the others, by layer, before and after."""
    if rows is None:
        return None
    moved = (pl.col("cosine_first_masked") - pl.col("cosine_first")).abs()
    most = rows.sort(moved, descending=True).row(0, named=True)
    words = (
        "Cosine of queries with the first token's key, and with the mean key of the tokens after it, by layer, intact and masked; "
        f"that with the first moves most in layer {most['layer']}, from {number(most['cosine_first'])} to "
        f"{number(most['cosine_first_masked'])}."
    )
    series = {
        "first key, intact": ("cosine_first", "soft"),
        "first key, masked": ("cosine_first_masked", "accent"),
        "other keys, intact": ("cosine_others", "band"),
        "other keys, masked": ("cosine_others_masked", "second"),
    }
    return Chart("geometry", words, partial(charts.layers, rows, series, "cosine", "Queries and keys"))
