"""The command that scores a model as it is, here or on a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from broca.cli import terminal
from broca.cli.answering import Answering, Serving, Under, check_answering, read_items, rows_here, rows_served
from broca.cli.execute import check_model
from broca.cli.options import Chat, Loading, Options, Tasks, refuse
from broca.errors import SpecError

if TYPE_CHECKING:
    import polars as pl

    from broca.items import Item


def score(
    model: str | None = None,
    *,
    items: str | None = None,
    options: Options = None,
    chat: Chat | None = None,
    serving: Serving = Serving(),
    answering: Answering = Answering(),
    tasks: Tasks = Tasks(),
    under: Under = Under(),
    loading: Loading = Loading(),
    rows: Path | None = None,
) -> None:
    """Score a model, intact or lesioned, on items beside what shortcuts score, or on tasks of lm-eval; or a server's on items.

    Args:
        model: Directory, GGUF file, hub id, shipped organism, or smollm2; with --server its name there, where it serves several.
        items: A benchmark, a published benchmark's file, folder or hub id, or a table of items.
        chat: Whether the model's chat template is used: for chats only (auto), never, or always.
        rows: Write one row an item (and repetition) to this file: .parquet, .csv or .jsonl.
    """
    from broca.storage import write as put

    write = None if rows is None else _writer(rows)
    if (items is None) == (tasks.lm_eval is None):
        raise SpecError("Give either --items, or --lm-eval with tasks.")
    if items is None:
        idle = asdict(answering) | asdict(serving) | {"options": options}
        refuse(idle, "--items", beside="--lm-eval")
        found = _evaluated(model, chat, tasks, under, loading)
    else:
        refuse({name: value for name, value in asdict(tasks).items() if name != "lm_eval"}, "--lm-eval")
        check_answering(model, answering, serving, under, chat=chat, loading=loading)
        asked = read_items(items, options)
        if serving.server is not None:
            found = rows_served(model, asked, answering, serving)
        else:
            found = rows_here(str(model), asked, answering, under, chat=chat, loading=loading)
        _show(asked, found)
    if rows is not None and write is not None:
        put(rows, write(found))
    terminal.following({} if rows is None else {"rows": str(rows)})


def _evaluated(model: str | None, chat: Chat | None, tasks: Tasks, under: Under, loading: Loading) -> pl.DataFrame:
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
        found = evaluate(lm, names, chat=chat == "always", **how)
    terminal.frame(found.metrics)
    terminal.notes(found.notes)
    return found.samples


def _show(items: Sequence[Item], rows: pl.DataFrame) -> None:
    """Accuracies beside the best shortcut, and cells beside the reporters."""
    import polars as pl

    from broca.scoring import summarise
    from broca.stimuli.blind_rules import baselines
    from broca.stimuli.cell_items import accuracies, is_cell
    from broca.stimuli.degeneracy import flags

    best = (
        baselines(items).sort("accuracy", descending=True, maintain_order=True).group_by("ability", maintain_order=True)
    )
    shortcut = best.agg(shortcut=pl.col("baseline").first(), scores=pl.col("accuracy").first())
    table = summarise(rows)
    terminal.frame(table.join(shortcut, on="ability", how="left", maintain_order="left"))
    bare = table.filter(pl.col("low").is_null())["ability"].to_list()
    one = [f"{name}: no interval, since all items are of one group. Give items of several groups." for name in bare]
    terminal.notes([*one, *flags(items)])
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

    def made(rows: pl.DataFrame) -> bytes:
        write(rows, file := BytesIO())
        return file.getvalue()

    return made
