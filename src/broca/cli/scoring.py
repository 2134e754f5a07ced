"""The command that scores a model as it is, here or on a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from broca.cli import terminal
from broca.cli.answering import (
    Answering,
    Serving,
    Under,
    check_answering,
    read_all,
    read_items,
    rows_here,
    rows_served,
)
from broca.cli.execute import check_model
from broca.cli.options import (
    CALLED,
    SHOTS,
    TABLE,
    Budget,
    DryRun,
    Loading,
    Options,
    Tasks,
    Templating,
    given_fields,
    is_own,
    refuse,
)
from broca.cli.setting import Setting, values
from broca.errors import SpecError
from broca.page.shell import command

if TYPE_CHECKING:
    import polars as pl

    from broca.items import Item


def score(
    model: str | None = None,
    *,
    items: str | None = None,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
    options: Options = None,
    shots: Annotated[int | None, Parameter(help=SHOTS)] = None,
    columns: Annotated[str | None, Parameter(help=CALLED)] = None,
    templating: Templating = Templating(),
    serving: Serving = Serving(),
    answering: Answering = Answering(),
    tasks: Tasks = Tasks(),
    under: Under = Under(),
    loading: Loading = Loading(),
    rows: Path | None = None,
    dry_run: DryRun = False,
    budget: Budget = None,
) -> None:
    """Score a model, intact or lesioned, on items or all abilities beside what shortcuts score, or on tasks of lm-eval; or a server's on items.

    Args:
        model: Directory, GGUF file, hub id, shipped organism, or smollm2; with --server its name there, where it serves several.
        items: A benchmark, a published benchmark's file, folder or hub id, or a table of items.
        all_: Every ability in natural language that comes with broca: which of them has this model?
        rows: Write one row an item (and repetition) to this file: .parquet, .csv or .jsonl.
    """
    from broca.runs.budget import read_budget
    from broca.storage import write as put

    write = None if rows is None or dry_run else _writer(rows)
    if (items is not None) + all_ + (tasks.lm_eval is not None) != 1:
        raise SpecError("Give one of --items, --all, or --lm-eval with tasks.")
    if tasks.lm_eval is not None:
        idle = asdict(answering) | asdict(serving) | {"options": options, "columns": columns}
        refuse(idle | {"dry_run": dry_run or None, "budget": budget}, "--items", beside="--lm-eval")
        found = _lm_eval_metrics(model, tasks, under, loading, templating=templating, shots=shots)
    else:
        refuse({name: value for name, value in asdict(tasks).items() if name != "lm_eval"}, "--lm-eval")
        check_answering(model, answering, serving, under, templating=templating, loading=loading)
        refuse({"columns": columns}, TABLE, met=items is not None and is_own(items))
        own = given_fields(shots=shots, columns=columns)
        asked = read_all(options, own) if items is None else read_items(items, options, own)
        if serving.server is not None:
            refuse({"dry_run": dry_run or None, "budget": budget}, "a model that runs here", beside="--server")
            found = rows_served(model, asked, answering, serving)
        else:
            if budget is not None:
                read_budget(budget)
            how = {"templating": templating, "loading": loading, "dry": dry_run, "budget": budget}
            asked, scored = rows_here(str(model), asked, answering, under, **how)
            if scored is None:
                typed = {"items": items, "all": all_ or None, "options": options, "columns": columns, "shots": shots}
                typed |= values(templating, answering, under, rows=rows, budget=budget)
                _say_next(str(model), loading, typed)
                return
            found = scored
        _show(asked, found, brief=all_)
    if rows is not None and write is not None:
        put(rows, write(found))
    terminal.following({} if rows is None else {"rows": str(rows)})


def _say_next(model: str, loading: Loading, typed: dict[str, Any]) -> None:
    """After a dry run: the same command, without it."""
    kept = Setting(model, loading).kept_options(working=False)
    terminal.following({}, command("score", model, options=typed | kept))


def _lm_eval_metrics(
    model: str | None, tasks: Tasks, under: Under, loading: Loading, *, templating: Templating, shots: int | None
) -> pl.DataFrame:
    """Tasks of lm-eval: their metrics are shown, their documents are the rows."""
    from broca.scoring.harness import check_tasks, evaluate
    from broca.storage import probe, writing

    if model is None:
        raise SpecError("No model is named. Give MODEL.")
    check_model(model, loading)
    how = asdict(tasks)
    names, cache = how.pop("lm_eval"), tasks.cache
    check_tasks(names, include=tasks.include)
    if cache is not None:
        probe(cache)
    lm, changes = under.on(model, loading)
    with lm.under(*changes), terminal.err.status("asking lm-eval's questions"), writing(cache or Path()):
        found = evaluate(lm, names, chat=templating.use, shots=shots, **how)
    terminal.frame(found.metrics)
    terminal.notes(found.notes)
    return found.samples


def _show(items: Sequence[Item], rows: pl.DataFrame, *, brief: bool) -> None:
    """Accuracies beside chance and the best shortcut, and cells beside the reporters."""
    import polars as pl

    from broca.evidence.guards import OPENING
    from broca.evidence.survey import BRIEF, survey
    from broca.specs.faults import join_names
    from broca.stimuli.cell_items import accuracies, is_cell
    from broca.stimuli.degeneracy import flags

    table = survey(items, rows)
    terminal.frame(table.select(*BRIEF).rename(BRIEF) if brief else table)
    bare = table.filter(pl.col("low").is_null())["ability"].to_list()
    one = [f"{name}: no interval, since all items are of one group. Give items of several groups." for name in bare]
    shut = table.filter(pl.col("gate") == "closed")["ability"].to_list()
    gates = (
        [f"The gate of {join_names(shut)} is closed: no study of it starts. {OPENING}."] if shut and not brief else []
    )
    terminal.notes([*one, *flags(items), *gates])
    cells = [item for item in items if is_cell(item)]
    if cells:
        terminal.out.print()
        terminal.frame(accuracies(cells, rows, by=["repetition"] if "repetition" in rows.columns else []))


def _writer(path: Path) -> Callable[[pl.DataFrame], bytes]:
    """What makes a table into such a file; known, and its place looked at, before anything is scored.

    Raises:
        RunError: if it could not be written there.
        SpecError: if its ending is that of no kind of table.
    """
    import polars as pl
    import polars.selectors as cs

    from broca.storage import legible, probe

    kinds: dict[str, Callable[[pl.DataFrame, BytesIO], object]] = {
        ".parquet": lambda rows, to: rows.write_parquet(to),
        ".csv": lambda rows, to: rows.with_columns(
            cs.by_dtype(pl.List(pl.Float64)).list.eval(pl.element().cast(pl.String)).list.join(" ")
        ).write_csv(to),
        ".jsonl": lambda rows, to: rows.write_ndjson(to),
    }
    write = kinds.get(path.suffix.lower())
    if write is None:
        raise SpecError(
            f"Rows cannot be written to {legible(path)}. Give a file that ends in .parquet, .csv or .jsonl."
        )
    probe(path)

    def encode(rows: pl.DataFrame) -> bytes:
        write(rows, file := BytesIO())
        return file.getvalue()

    return encode
