"""Many runs on one page: what each was, what it found, which choices differ, and how alike their maps and selections are.

One HTML file that opens offline, made of the same blocks as a report: it sorts, and is searched and picked from, by the same script.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from broca.errors import RunError
from broca.page.blocks import Block, Cell, Column, Download, Downloads, Matrix, Section, Table, Text
from broca.page.words import as_text, count, finite, leaves, number
from broca.reports.downloads import csv
from broca.reports.glance import estimate
from broca.reports.html import Renderer, overview_page
from broca.runs import comparison
from broca.runs.listing import list_runs
from broca.runs.reading import Run
from broca.storage import write

_log = logging.getLogger(__name__)

PAGE = "runs.html"
RUNGS = ("selective", "reliable", "learned", "causal", "specific")
SIDE_BY_SIDE = 24
"""Runs in a matrix; of more, the pairs are a file to save."""
FIELDS = 12
"""Choices that differ and are shown, those that most runs differ in first."""


def overview(folder: str | Path = "runs", to: str | Path | None = None) -> Path:
    """Write a page about all runs of a folder.

    Args:
        folder: of runs.
        to: the page; ``runs.html`` in the folder when None.

    Raises:
        RunError: if the folder does not exist or holds no run, or the page cannot be written.
    """
    listed = list_runs(folder)
    if listed.is_empty():
        raise RunError(f"There is no run in {folder}. Give the folder that runs were written to.")
    runs = [_open(row) for row in listed.iter_rows(named=True)]
    blocks = [_runs_table(listed, runs), *_choices(runs), *_alike(runs)]
    done = sum(run is not None for run in runs)
    lead = f"{count(listed.height, 'run')} in {Path(folder).name}, {number(done)} of them finished."
    place = Path(folder) / PAGE if to is None else Path(to)
    write(place, overview_page(f"Runs in {Path(folder).name}", lead, blocks, Renderer(blocks)).encode("utf-8"))
    return place


def _open(row: Mapping[str, Any]) -> Run | None:
    """A finished run; None where it is unfinished or damaged, of which the page says why."""
    if row["status"] != "finished":
        return None
    run = Run(Path(row["path"]))
    try:
        _ = run.manifest, run.result, run.spec
    except RunError as error:
        _log.warning("left out: %s", error)
        return None
    return run


def _runs_table(listed: pl.DataFrame, runs: Sequence[Run | None]) -> Section:
    columns = (
        "run",
        "instrument",
        "status",
        "model",
        "contrast",
        *RUNGS,
        "estimate",
        "interval",
        "unit",
        "verdict",
        "made",
    )
    rows = []
    for row, run in zip(listed.iter_rows(named=True), runs, strict=True):
        states = {
            str(rung.get("name")): str(rung.get("state"))
            for rung in ((run.verdict or {}) if run else {}).get("rungs", ())
        }
        told = (estimate(run.result) if run else None) or {"value": "", "interval": "", "unit": ""}
        first = (row["name"], row["kind"] or "", row["status"], row["model"] or "", row["contrast"] or "")
        last = (
            told["value"],
            told["interval"],
            told["unit"],
            row["verdict"] or row["why"] or "",
            (row["created"] or "")[:10],
        )
        rows.append((*first, *(states.get(name, "") for name in RUNGS), *last))
    made = Table("Runs", tuple(map(Column, columns)), tuple(rows), texts=True, facets=(1, 2, 3))
    return Section("runs", "What they found", (made,))


def _choices(runs: Sequence[Run | None]) -> list[Block]:
    """The fields of specs that differ between the runs of an instrument."""
    found: list[Block] = []
    for kind in sorted({str(run.manifest["kind"]) for run in runs if run}):
        own = [run for run in runs if run and run.manifest["kind"] == kind]
        specs = [dict(leaves(run.spec["study"])) for run in own]
        names = {name for spec in specs for name in spec}
        kinds = {name: len({as_text(spec.get(name)) for spec in specs}) for name in names}
        differing = sorted((name for name in names if kinds[name] > 1), key=lambda name: (-kinds[name], name))[:FIELDS]
        if differing:
            rows = tuple(
                (run.path.name, *(as_text(spec.get(name))[:60] for name in differing))
                for run, spec in zip(own, specs, strict=True)
            )
            found.append(Table(f"Choices of {kind}", tuple(map(Column, ("run", *differing))), rows, texts=True))
    return [Section("choices", "Which choices differ", tuple(found))] if found else []


def _alike(runs: Sequence[Run | None]) -> list[Block]:
    """How alike the maps and selections of each pair of runs are."""
    having = [(run.path.name, comparison.map_of(run), comparison.selection_of(run)) for run in runs if run]
    having = [each for each in having if each[1] or each[2] is not None]
    pairs = {(a[0], b[0]): comparison.likeness_of(a[1], b[1], a[2], b[2]) for a, b in combinations(having, 2)}
    pairs = {names: like for names, like in pairs.items() if like.r is not None or like.jaccard is not None}
    if not pairs:
        return []
    rows = [
        {"one": a, "two": b, "r": like.r, "jaccard": like.jaccard, "chance": like.chance}
        for (a, b), like in pairs.items()
    ]
    table = pl.DataFrame(
        rows, schema={"one": pl.String, "two": pl.String, "r": pl.Float64, "jaccard": pl.Float64, "chance": pl.Float64}
    )
    address = f"data:text/csv;charset=utf-8;base64,{b64encode(csv(table).encode()).decode('ascii')}"
    held = Downloads((Download("pairs.csv", count(len(rows), "pair"), address),))
    words = Text(
        "r: correlation of two maps over all units. J: units that both selected, as a share of those that either did.",
        quiet=True,
    )
    names = [name for name, _, _ in having]
    if len(names) > SIDE_BY_SIDE:
        nearest = Table(
            "The nearest run of each",
            (Column("run"), Column("nearest"), Column("r"), Column("J"), Column("J by chance")),
            tuple(_nearest(names, pairs)),
        )
        return [Section("alike", "How alike they are", (words, nearest, held))]
    cells = tuple(
        (name, tuple(_cell(pairs.get((name, other)) or pairs.get((other, name))) for other in names)) for name in names
    )
    return [Section("alike", "How alike they are", (words, Matrix("Pairs of runs", "run", tuple(names), cells), held))]


def _nearest(names: Sequence[str], pairs: Mapping[tuple[str, str], comparison.Likeness]) -> list[tuple[Any, ...]]:
    best: dict[str, tuple[float, str, comparison.Likeness]] = {}
    for (a, b), like in pairs.items():
        value = like.r if like.r is not None else like.jaccard or 0.0
        for one, two in ((a, b), (b, a)):
            if one not in best or value > best[one][0]:
                best[one] = (value, two, like)
    return [
        (name, best[name][1], best[name][2].r, best[name][2].jaccard, best[name][2].chance)
        for name in names
        if name in best
    ]


def _cell(like: comparison.Likeness | None) -> Cell | None:
    if like is None:
        return None
    lines = (f"J {number(like.jaccard)}, by chance {number(like.chance)}",) if like.jaccard is not None else ()
    return Cell(f"r {number(like.r)}" if finite(like.r) else "r –", lines, strength=like.r or 0.0)
