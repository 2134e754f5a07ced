"""Cells as Wu et al. (2025) write them: a tree of CSV files and a summary, beside the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from broca.compat.wu2025.results import summary, write_tree
from broca.errors import SpecError
from broca.scoring import Sampled
from broca.stimuli.cell_items import is_cell
from broca.storage import probe, write

_NO_CELLS = (
    "--tree needs sampled cells. Ask for cells (--task cells, or a task file) and sampled answers: --preset wu2025."
)


def check_tree(study: Any, folder: Path) -> None:
    """Refuse a tree that would stay empty, or could not be written, before anything is computed.

    Raises:
        SpecError: if the study samples no cells.
    """
    cells = any(is_cell(item) for items in study.abilities.values() for item in items)
    if not cells or not isinstance(study.scorer, Sampled):
        raise SpecError(_NO_CELLS)
    probe(folder, folder=True)


def write_cells(run: Any, folder: Path) -> dict[str, str]:
    """Write the cells of a finished run; where they are, by name.

    Raises:
        SpecError: if no cell of the run is whole.
    """
    cells = run.tables.get("published")
    if cells is None:  # parts of cells were left out of the test
        raise SpecError(f"{_NO_CELLS} Of this run's items no cell is whole.")
    path = folder / "summary.csv"
    write_tree(cells, folder)
    write(path, summary(cells).write_csv().encode())
    return {"tree": str(folder), "summary": str(path)}
