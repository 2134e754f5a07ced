"""Scored items as logs of inspect_ai (0.3): plain JSON that its viewer and `read_eval_log` take. Its package is not needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from broca.errors import RunError
from broca.page.words import visible

_OWN = ("condition", "localizer", "side", "dose", "fill", "seed", "k")
"""Columns that say what was in force."""


def inspect_logs(
    items: pl.DataFrame, prompts: pl.DataFrame, *, model: str, created: str, study: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """A log for each condition that is no random draw, with its name, the intact model's first.

    Args:
        items: of a run: one row an item and condition.
        prompts: of the run: what each item shows, and its right answer.
        model: that was scored.
        created: when, in ISO 8601.
        study: what was asked, for the log's metadata.

    Raises:
        RunError: if an item has no prompt.
    """
    own = [name for name in _OWN if name in items.columns]
    kept = items.filter(pl.col("condition") != "random")
    for i, condition in enumerate(kept.select(own).unique(maintain_order=True).to_dicts()):
        at = pl.all_horizontal(
            pl.col(name).eq_missing(pl.lit(value, dtype=items.schema[name])) for name, value in condition.items()
        )
        rows = kept.filter(at).join(prompts, on=["id", "ability"], how="left", suffix="_shown", maintain_order="left")
        if rows["prompt"].null_count():
            raise RunError("The run does not keep what its items show. Run its spec again with this version.")
        told = {name: value for name, value in condition.items() if value not in (None, "", -1)}
        name = f"{i:02}-{condition['condition']}"
        yield name, _log(rows, model=model, created=created, metadata={"condition": told, "study": study})


def _log(rows: pl.DataFrame, *, model: str, created: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    samples = [_sample(row) for row in rows.iter_rows(named=True)]
    right = sum(sample["scores"]["broca"]["value"] == "C" for sample in samples)
    metric = {"accuracy": {"name": "accuracy", "value": right / len(samples), "params": {}}}
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "created": created,
            "task": str(metadata["study"].get("items") or metadata["study"].get("kind") or "broca"),
            "dataset": {"name": ", ".join(rows["ability"].unique(maintain_order=True)), "samples": len(samples)},
            "model": model,
            "config": {},
            "metadata": dict(metadata),
        },
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": [{"name": "broca", "scorer": "broca", "params": {}, "metrics": metric}],
        },
        "samples": samples,
    }


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    target = str(row["answer_shown"]).strip()
    told = {name: row[name] for name in ("ability", "group", "score", "logprobs", "invalid") if name in row}
    said = str(row["text"] or "").strip()
    return {
        "id": f"{row['ability']}/{row['id']}",
        "epoch": 1,
        "input": visible(str(row["prompt"])),
        "choices": [visible(str(each).strip()) for each in row["choices"] or ()] or None,
        "target": visible(target),
        "scores": {"broca": {"value": "C" if row["correct"] else "I", "answer": visible(said), "metadata": told}},
        "metadata": told,
    }
