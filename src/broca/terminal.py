"""What people see in a terminal: progress, the ladder, tables, the next command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    import polars as pl

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_MARKS = {"passed": "[green]yes[/]", "failed": "[bold red]no[/]", "not tested": "[dim]not tested[/]"}


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each kind of work, on standard error; nothing where that is no terminal but one line a kind."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
                if not err.is_terminal:
                    err.print(f"{what} …")
            bars.update(tasks[what], completed=done, total=total)

        yield tell


def ladder(verdict: Mapping[str, Any]) -> None:
    """Each rung by name, its state and its reason."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for rung in verdict["rungs"]:
        table.add_row(f"[bold]{rung['name']}[/]", _MARKS[rung["state"]], escape(rung["text"]))
    out.print(table)
    out.print(f"\n[bold]{escape(verdict['sentence'])}[/]")


def frame(rows: pl.DataFrame, title: str = "") -> None:
    """A data frame as a table."""
    table = Table(title=title or None, box=None, title_justify="left", header_style="bold", padding=(0, 2, 0, 0))
    for name, kind in rows.schema.items():
        table.add_column(name, justify="right" if kind.is_numeric() else "left", overflow="fold")
    for row in rows.iter_rows():
        table.add_row(*(_cell(value) for value in row))
    out.print(table)


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, aligned."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in pairs:
        table.add_row(name, escape(value))
    out.print(table)


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


def _cell(value: Any) -> str:
    match value:
        case None:
            return "[dim]-[/]"
        case float():
            return f"{value:.3g}"
        case _:
            return escape(str(value))
