"""The result files of Wu et al. (npj AI, 2025): a tree of CSV files of cells, and the summary of 14 columns."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from broca.errors import StimulusError
from broca.storage import write

FOLDERS = {"contents": "unexpected", "transfer": "transfer", "irony": "irony"}
"""Folders of the tree by task."""
CELL_SCHEMA = pl.Schema(
    {
        "repetition": pl.Int64(),
        "m": pl.Float64(),
        "task": pl.String(),
        "number": pl.Int64(),
        "cell": pl.String(),
        "correct": pl.Int64(),
    }
)
"""One row a cell: ``cell`` is the scene with (F) as it is or (T) swapped; of irony Irony or Irony reversed."""
_MEASURES = ("total_mean", "total_var", "percent_mean", "percent_var")
COLUMNS = (
    "m",
    *(f"{folder}_{measure}" for folder in FOLDERS.values() for measure in _MEASURES),
    "avg_percent_unexpected_transfer",
)
"""Columns of the summary."""
_IRONY = {"ironic": "Irony", "literal": "Irony reversed"}


def published_cells(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells as `broca.stimuli.cell_items.cells` gives them, by ``repetition`` and ``m``, in the columns of `CELL_SCHEMA`."""
    swapped = pl.when(pl.col("order") == "swapped").then(pl.lit(" (T)")).otherwise(pl.lit(" (F)"))
    return cells.select(
        pl.col("repetition").cast(pl.Int64),
        pl.col("m").cast(pl.Float64),
        "task",
        number=pl.col("story").str.split("-").list.last().cast(pl.Int64),
        cell=pl.when(pl.col("task") == "irony")
        .then(pl.col("scene").replace(_IRONY))
        .otherwise(pl.concat_str("scene", swapped)),
        correct=pl.col("correct").cast(pl.Int64),
    )


def write_tree(cells: pl.DataFrame, root: str | Path) -> list[Path]:
    """Write ``<root>/<repetition>/<m>/<unexpected|transfer|irony>/results.csv``; a file that is there is written anew.

    Args:
        cells: columns of `CELL_SCHEMA`.
        root: the folder; made if absent.

    Returns:
        The files.
    """
    written = []
    for (repetition, m, task), part in cells.group_by("repetition", "m", "task", maintain_order=True):
        path = Path(root) / str(repetition) / repr(m) / FOLDERS[str(task)] / "results.csv"
        wide = part.pivot("cell", index="number", values="correct", maintain_order=True)
        write(path, wide.rename({"number": ""}).write_csv(quote_style="never").encode())
        written.append(path)
    return written


def read_tree(root: str | Path) -> pl.DataFrame:
    """The cells of a tree, the ancestor's or ours: columns of `CELL_SCHEMA`. Folders whose names are no numbers are left out.

    Raises:
        StimulusError: there is no result below `root`, or a file is malformed.
    """
    found = [row for repetition, m, path, task in _files(Path(root)) for row in _rows(path, repetition, m, task)]
    if not found:
        raise StimulusError(
            f"{root} has no results. Give the folder tom of a run, with files such as 1/1e-05/transfer/results.csv."
        )
    return pl.DataFrame(found, schema=CELL_SCHEMA, orient="row")


def _files(root: Path) -> Iterator[tuple[int, float, Path, str]]:
    tasks = {folder: task for task, folder in FOLDERS.items()}
    for path in sorted(root.glob("*/*/*/results.csv")):
        repetition, m, folder = path.relative_to(root).parts[:3]
        value = _number(m)
        if (
            repetition.isascii()
            and repetition.isdigit()
            and len(repetition) < 10
            and value is not None
            and folder in tasks
        ):
            yield int(repetition), value, path, tasks[folder]


def _rows(path: Path, repetition: int, m: float, task: str) -> Iterator[tuple[int, float, str, int, str, int]]:
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise StimulusError(f"{path} is no CSV file that can be read: {error}.") from error
    header, *body = lines or [[]]
    for number, line in enumerate(body, start=2):
        values = [_number(field) for field in line]
        if len(line) != len(header) or len(line) < 2 or not _whole(values[0]) or not set(values[1:]) <= {0.0, 1.0}:
            raise StimulusError(f"{path}, line {number}: give the number of an item, and 0 or 1 for each of its cells.")
        yield from (
            (repetition, m, task, int(values[0] or 0), cell, int(value or 0))
            for cell, value in zip(header[1:], values[1:], strict=True)
        )


def _whole(value: float | None) -> bool:
    """Whether a value is the number of an item."""
    return value is not None and value.is_integer() and abs(value) < 1 << 53


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def summary(cells: pl.DataFrame) -> pl.DataFrame:
    """The published summary: one row an m, ascending, with `COLUMNS`; null where a task was not run.

    Totals and percentages are of cells in which both questions are right, all kinds together, so that one who only reports
    reality has 75; means and sample variances (0 of one) are over repetitions.

    Args:
        cells: columns of `CELL_SCHEMA`.
    """
    scored = cells.group_by("m", "repetition", "task").agg(
        total=pl.col("correct").sum(), percent=100 * pl.col("correct").mean()
    )
    table = scored.select("m").unique().sort("m")
    for task, folder in FOLDERS.items():
        measures = [
            rule(pl.col(name)).alias(f"{folder}_{name}_{what}")
            for name in ("total", "percent")
            for what, rule in (("mean", pl.Expr.mean), ("var", lambda column: column.var().fill_null(0.0)))
        ]
        table = table.join(scored.filter(task=task).group_by("m").agg(*measures), on="m", how="left")
    both = scored.filter(pl.col("task").is_in(["contents", "transfer"])).group_by("m", "repetition")
    average = both.agg(n=pl.len(), mean=pl.col("percent").mean()).filter(n=2).group_by("m")
    table = table.join(average.agg(avg_percent_unexpected_transfer=pl.col("mean").mean()), on="m", how="left")
    return table.sort("m").select(COLUMNS)
