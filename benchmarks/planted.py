"""Do the ranking methods find planted units, and when? Four architectures, effect sizes x numbers of stimuli.

``python benchmarks/planted.py [--seeds 4]``. Every model is random, built tiny from its config; every seed draws weights, units,
noise and stimuli anew. It takes about 25 minutes on one quiet core. Written to ``results/planted.json``: AUROC of each method against both truths, and the power surface
with the analytic power beside it. Fewer than 4 seeds print the table and write nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl
import vl_convert
from ground import RESULTS, Row, arguments, settle, tokenizer, write
from rich.console import Console
from rich.table import Table

from broca.instruments.selftest.spec import Selftest
from broca.models.build import fresh
from broca.models.lm import LM

IDS: Mapping[str, Any] = {"vocab_size": 1024, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
DECODER: Mapping[str, Any] = {
    **IDS,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 192,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
}
ARCHITECTURES: Mapping[str, Mapping[str, Any]] = {
    "GPT-2": {"model_type": "gpt2", **IDS, "n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 128},
    "Llama, grouped queries": {"model_type": "llama", **DECODER},
    "Mixtral": {"model_type": "mixtral", **DECODER, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Gemma 2": {"model_type": "gemma2", **DECODER},
}
EFFECTS, SIZES = (0.2, 0.5, 0.8, 1.2), (20, 50, 100, 200)
PAIRS, FEWER, ENOUGH = 16, 8, 4
"""Pairs planted in each cell; of a mixture of experts, which has units of `z` alone to replace; seeds that a result needs."""
SHORT = {
    "auroc_t_selective": "|t|",
    "recall_t_at_1_percent": "R@1%",
    "auroc_attribution_causal": "attribution",
    "auroc_t_causal": "|t| causal",
}


def tried(
    name: str, seed: int, effects: tuple[float, ...], sizes: tuple[int, ...]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The methods' table and the power surface of one model."""
    lm = LM.wrap(fresh(ARCHITECTURES[name], seed), tokenizer(), name=name)
    spec = Selftest(
        n=min(100, max(sizes)), ds=effects, ns=sizes, pairs=FEWER if name == "Mixtral" else PAIRS, rivals=128, seed=seed
    )
    found = spec.run(lm)
    assert found.power is not None
    labels = (pl.lit(name).alias("model"), pl.lit(seed).alias("seed"))
    return found.methods.select(*labels, pl.all()), found.power.select(*labels, pl.all())


def rows_of(methods: pl.DataFrame, cells: pl.DataFrame) -> list[Row]:
    """The figures that are held to a bound, each for its worst architecture, or its worst cell."""

    def worst(method: str, truth: str) -> dict[str, Any]:
        chosen = methods.filter(pl.col("method") == method, pl.col("truth") == truth)
        return chosen.group_by("model").agg(pl.col("auroc").mean()).sort("auroc").row(0, named=True)

    rows = []
    for method, truth, bound in (
        ("|Welch t|", "selective", 0.95),
        ("|Welch t|", "causal", None),
        ("attribution", "causal", 0.95),
        ("attribution", "selective", None),
        ("squared gradient", "causal", None),
    ):
        found = worst(method, truth)
        what = f"{method}: AUROC on {truth} truth, d = 0.8, worst architecture"
        rows.append(Row(what, found["model"], found["auroc"], "", bound, "at least"))
    off = (cells["detected"] - cells["analytic"]).abs().max()
    rows.append(Row("planted units detected: furthest from analytic power", "all", 100 * float(off), "points", 5))  # type: ignore[arg-type]
    return rows


def pooled(surface: pl.DataFrame) -> pl.DataFrame:
    """One row a d and n: means over architectures and seeds, units weighted alike."""
    weighted = (pl.col("detected") * pl.col("planted")).sum() / pl.col("planted").sum()
    aurocs = pl.col("^auroc_.*|recall_.*$").mean()
    return (
        surface.group_by("d", "n")
        .agg(weighted.alias("detected"), pl.col("analytic").first(), pl.col("planted").sum(), aurocs)
        .sort("d", "n")
    )


def picture(cells: pl.DataFrame) -> str:
    """Share of planted units detected (dots) against the analytic power (lines), by effect size and number of stimuli."""
    colour = alt.Color(
        "d:O", title="effect size d", scale=alt.Scale(range=["#9ecae1", "#4292c6", "#2171b5", "#08306b"])
    )
    x = alt.X("n:Q", title="stimuli a side", scale=alt.Scale(type="log"), axis=alt.Axis(values=list(SIZES)))
    share = alt.Axis(format="%")
    chart = alt.Chart(cells).encode(x=x, color=colour)
    dots = chart.mark_circle(size=70).encode(y=alt.Y("detected:Q", title="planted units detected", axis=share))
    both = dots + chart.mark_line(strokeWidth=1.5).encode(y=alt.Y("analytic:Q", title="", axis=share))
    return vl_convert.vegalite_to_svg(both.properties(width=420, height=260).to_dict())


def show(frame: pl.DataFrame, title: str) -> Table:
    table = Table(*frame.columns, title=title)
    for row in frame.iter_rows():
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row))
    return table


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--effects", type=float, nargs="+", default=EFFECTS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    given = parser.parse_args()
    load = settle(given.threads)
    console, start = Console(), time.perf_counter()
    methods, surfaces = [], []
    for i, name in enumerate(ARCHITECTURES):
        # Noise depends on seed, site and text alone: architectures that shared a seed would share it.
        for seed in range(i * given.seeds, (i + 1) * given.seeds):
            found, surface = tried(name, seed, tuple(given.effects), tuple(given.sizes))
            methods.append(found)
            surfaces.append(surface)
        console.print(f"{name}: {time.perf_counter() - start:.0f} s")
    table, cells = pl.concat(methods), pooled(pl.concat(surfaces))
    summary = table.group_by("model", "truth", "method", maintain_order=True).agg(pl.all().exclude("seed").mean())
    rows = rows_of(table, cells)
    console.print(show(summary.pivot("truth", index=["model", "method"], values="auroc"), "AUROC, means over seeds"))
    console.print(show(cells.rename(SHORT), "Power surface, all architectures"))
    for row in rows:
        console.print(
            f"{row.what} ({row.model}): {row.value:.3g} {row.unit}", style="red" if row.met is False else None
        )
    if given.seeds < ENOUGH:
        console.print(f"{given.seeds} seeds are a trial: nothing is written. Use {ENOUGH} or more.")
        return
    RESULTS.joinpath("planted.svg").write_text(picture(cells), encoding="utf-8")
    write(
        "planted",
        rows,
        load=load,
        seeds=given.seeds,
        pairs=PAIRS,
        architectures={name: dict(config) for name, config in ARCHITECTURES.items()},
        methods=summary.to_dicts(),
        surface=cells.to_dicts(),
        surfaces=pl.concat(surfaces).group_by("model", "d", "n", maintain_order=True).mean().drop("seed").to_dicts(),
        seconds=round(time.perf_counter() - start, 1),
    )


if __name__ == "__main__":
    main()
