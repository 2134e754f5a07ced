"""What people see in a terminal: warnings, the ladder, tables, the next command. Never a key or token."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from traceback import format_exception
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from broca.cli.console import err, out
from broca.cli.printing import everything, summary
from broca.storage.secrets import hide_secrets

if TYPE_CHECKING:
    import polars as pl

    from broca.runs import Run
    from broca.runs.costs import Cost


FEW = 8
"""Columns of a table that is set wide."""
LONGEST = 12
"""Letters of a column's title that are never folded."""


@contextmanager
def warnings() -> Iterator[None]:
    """Show broca's warnings, and where its jobs are, on standard error, each once."""
    handler, logger = _Warnings(logging.INFO), logging.getLogger("broca")
    jobs = logging.getLogger("broca.workers.jobs")
    before = jobs.level
    jobs.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        jobs.setLevel(before)


class _Warnings(logging.Handler):
    """Prints what is logged, each text once."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._seen:
            self._seen.add(text)
            warned = record.levelno >= logging.WARNING
            err.print(f"! {text}" if warned else text, style="yellow" if warned else None, markup=False, soft_wrap=True)


def error(kind: str, text: str, short: str = "") -> None:
    """What went wrong, on standard error, and at its end the name by which `broca explain` knows it."""
    err.print(f"[bold red]{kind}[/]: ", end="")
    err.print(f"{text} [{short}]" if short else text, markup=False, soft_wrap=True)


def traceback(kind: type[BaseException], raised: BaseException, trace: TracebackType | None) -> None:
    """What nobody expected, as Python tells it, on standard error; for `sys.excepthook`."""
    err.print("".join(format_exception(kind, raised, trace)), end="", markup=False, soft_wrap=True)


def cost(found: Cost | None, *, every: bool = False) -> None:
    """What a study will cost, on standard error; with `every`, each of its steps on standard output."""
    if found is None:
        err.print("What this will cost is not known.")
        return
    sentence = found.sentence
    err.print(f"{sentence[0].upper()}{sentence[1:]}.", markup=False, soft_wrap=True)
    if every:
        facts([(step.name, found.words(step)) for step in found.phases])


def result(run: Run, *, verbose: bool = False) -> None:
    """What a finished run says: its claim, the ladder, what was selected, warnings; with `verbose`, everything on its page."""
    from broca.reports.contents import contents
    from broca.runs.record import record_of

    blocks = contents(record_of(run))
    claim = str(run.result.get("claim") or "")
    (everything if verbose else summary)(claim, blocks)


def runs(found: pl.DataFrame) -> None:
    """The runs of a folder, one after the other: what it is in a line that is never broken, and below it what it says."""
    if found.is_empty():
        out.print("There is no run here.")
    for row in found.iter_rows(named=True):
        created = (row["created"] or "")[:16].replace("T", " ")
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.3g} s"
        parts = (row["status"], row["model"], row["contrast"], created, seconds)
        out.print(f"{row['name']}  {'  '.join(filter(None, parts))}", markup=False, soft_wrap=True)
        for text in filter(None, (row["verdict"], row["why"])):
            out.print(Padding(Text(hide_secrets(text)), (0, 0, 0, 4)))


def frame(rows: pl.DataFrame, title: str = "") -> None:
    """A data frame as a table."""
    gap = 2 if rows.width <= FEW else 1
    table = Table(
        title=_plain(title) or None, box=None, title_justify="left", header_style="bold", padding=(0, gap, 0, 0)
    )
    for name, kind in rows.schema.items():
        side = "right" if kind.is_numeric() else "left"
        # Cells are folded before a title is.
        table.add_column(_plain(name), justify=side, overflow="fold", min_width=min(len(name), LONGEST))
    for row in rows.iter_rows():
        table.add_row(*(_cell(value) for value in row))
    out.print(table)


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, aligned."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in pairs:
        table.add_row(name, _plain(value))
    out.print(table)


def notes(texts: Sequence[str]) -> None:
    """What a reader should know, a line each."""
    for text in texts:
        out.print(f"! {text}", style="yellow", markup=False)


def following(where: Mapping[str, str], *commands: str) -> None:
    """Where things are, and what to type next."""
    out.print()
    for name, path in where.items():
        out.print(f"{name:<8}{path}", soft_wrap=True, markup=False)
    for i, command in enumerate(commands):
        out.print(f"{'next' if i == 0 else '':<8}{command}", soft_wrap=True, markup=False, style="cyan")


def bytes_in_words(n: float) -> str:
    """``1.3 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"


def _plain(text: str) -> str:
    """A text that is no markup, without secrets."""
    return escape(hide_secrets(text))


def _cell(value: Any) -> str:
    match value:
        case None:
            return "[dim]-[/]"
        case float():
            return "[dim]-[/]" if math.isnan(value) else f"{value:.3g}".replace("inf", "∞")
        case _:
            return _plain(str(value))
