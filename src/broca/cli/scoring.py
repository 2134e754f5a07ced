"""The commands that score a model as it is, here or on a server, and that write a masked one as a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from broca import terminal
from broca.cli.execute import loaded, mask_of, parsed
from broca.cli.options import Loading, Tasks, Under, given
from broca.errors import SpecError

if TYPE_CHECKING:
    import polars as pl

    from broca.items import Item
    from broca.models.force import Intervention
    from broca.models.lm import LM

Options = Annotated[dict[str, str] | None, Parameter(help="Options of the items: --options.form question.")]
How = Literal["likelihood", "generation", "sampled"]


@Parameter(name="*")
@dataclass(frozen=True)
class Answering:
    """How answers are had and read."""

    how: How | None = None
    """likelihood of the choices (the usual; a server has none), greedy generation, or sampled."""
    match: Literal["exact", "first-word", "first-piece", "letter", "contains"] = "first-word"
    """How a generated text names a choice."""
    tokens: int = 5
    """Tokens to generate at most."""
    temperature: float = 0.6
    """Of sampling."""
    top_p: float = 0.9
    """Of sampling."""
    repetitions: int = 5
    """Sampled texts of each item."""
    seed: int = 0
    """Of sampling."""


def score(
    model: str | None = None,
    *,
    items: str | None = None,
    options: Options = None,
    server: str | None = None,
    timeout: float = 120.0,
    answering: Answering = Answering(),
    tasks: Tasks = Tasks(),
    under: Under = Under(),
    loading: Loading = Loading(),
    rows: Path | None = None,
) -> None:
    """Score a model, intact or lesioned, on items beside what shortcuts score, or on tasks of lm-eval; or a server's on items.

    Args:
        model: Directory, hub id or shipped organism; with --server its name there, where it serves several.
        items: A benchmark, a published benchmark's file, folder or hub id, or a table of items.
        server: Address of a server that speaks OpenAI's completions, such as http://localhost:8000.
        timeout: Seconds to wait for one of its answers.
        rows: Write one row an item (and repetition) to this file: .parquet, .csv or .jsonl.
    """
    from broca.stimuli.benchmarks import benchmark

    write = _writer(rows)
    if (items is None) == (tasks.lm_eval is None):
        raise SpecError("Give either --items, or --lm-eval with tasks.")
    if server and (tasks.lm_eval or given(**asdict(under))):
        raise SpecError("A server is scored on items and as it is. Leave out --server, or --lm-eval and what lesions.")
    if items is None:
        found = _evaluated(model, tasks, under, loading)
    else:
        told = parsed(options)
        asked = benchmark(items, **told)
        _origins(items, told)
        found = (
            _served(server, model, timeout, answering, asked)
            if server
            else _here(model, answering, asked, under, loading)
        )
        _shown(asked, found)
    if write and rows:
        write(found, rows)
    terminal.following({"rows": str(rows)} if rows else {})


def export(
    target: Path,
    *,
    to: Path,
    model: str | None = None,
    check: bool = True,
    loading: Loading = Loading(),
) -> None:
    """Write a masked model as a checkpoint of its own: config, safetensors, tokenizer.

    Args:
        target: A finished sensitivity run, or a mask file.
        to: Directory to write; there must be nothing yet.
        model: The model that is masked, where a mask file is given: directory, hub id or shipped organism.
        check: Load what was written once more, and compare every weight.
    """
    from broca.interventions.weights import WeightMask
    from broca.models.export import Export
    from broca.models.export import export as write

    file, name = _mask_of(target, model)
    lm = loaded(name, loading)
    mask = WeightMask.load(file, model=lm.fingerprint)
    with terminal.err.status(f"writing {to}"):
        made = write(
            lm, [mask], to, Export(check=check, about={"mask": mask.weights.fingerprint, **mask.weights.about})
        )
    terminal.facts(
        [
            ("masked weights", f"{mask.weights.count:,} of {mask.weights.total:,} ({mask.edit.kind})"),
            ("size", terminal.bytes_in_words(made.bytes)),
            ("weights", made.fingerprint),
        ]
    )
    _noted(made.notes)
    terminal.following({"model": str(made.path)}, f"broca score {made.path} --items cells")


def _mask_of(target: Path, model: str | None) -> tuple[Path, str]:
    """The mask's file, and the name of the model that it is for."""
    from broca.errors import RunError

    if not target.is_dir():
        if model is None:
            raise SpecError(f"{target} is a mask and does not say where its model is. Add --model MODEL.")
        return target, model
    from broca.runs import open_run

    run, file = open_run(target), "mask.safetensors"
    if file not in run.manifest["files"]:
        raise RunError(f"{target} holds no mask of weights. Give a sensitivity run, or a mask file with --model.")
    run.file(file)
    named = model or run.spec["model"].get("name")
    if not named:
        raise SpecError(f"{target} names no model. Add --model MODEL.")
    return target / file, str(named)


def _here(
    model: str | None, answering: Answering, items: Sequence[Item], under: Under, loading: Loading
) -> pl.DataFrame:
    lm, changes = _under(model, under, loading)
    with lm.under(*changes):
        return _rows(lm, answering, items)


def _under(model: str | None, under: Under, loading: Loading) -> tuple[LM, list[Intervention]]:
    """The model, and what is to be in force."""
    from broca.interventions.lesion import Lesion
    from broca.interventions.weights import WeightMask
    from broca.units import UnitMask

    if model is None:
        raise SpecError("Neither a model nor a server is named. Give MODEL, or --server URL.")
    lm = loaded(model, loading)
    changes: list[Intervention] = []
    if under.units:
        changes.append(Lesion(mask_of(lm, under.units)))
    if under.heads:
        changes.append(Lesion(UnitMask.heads(under.heads, n_heads=lm.anatomy.n_heads)))
    if under.weights:
        changes.append(WeightMask.load(_mask_of(under.weights, model)[0], model=lm.fingerprint))
    return lm, changes


def _evaluated(model: str | None, tasks: Tasks, under: Under, loading: Loading) -> pl.DataFrame:
    """Tasks of lm-eval: their metrics are shown, their documents are the rows."""
    from broca.scoring.harness import evaluate

    lm, changes = _under(model, under, loading)
    how = asdict(tasks)
    with lm.under(*changes), terminal.err.status("asking lm-eval's questions"):
        found = evaluate(lm, how.pop("lm_eval"), **how)
    terminal.frame(found.metrics)
    _noted(found.notes)
    return found.samples


def _origins(items: str, options: dict[str, Any]) -> None:
    """What the files of items are, by their content."""
    from broca.stimuli.benchmarks import sources
    from broca.stimuli.published.sources import origin

    for found in map(origin, sources(items, options)):
        terminal.facts([(found.name, f"SHA-256 {found.sha256[:16]}{f', {found.known}' if found.known else ''}")])
        _noted([found.note] if found.note else [])


def _noted(notes: Sequence[str]) -> None:
    for note in notes:
        terminal.out.print(f"! {note}", style="yellow", markup=False)


def _rows(lm: LM, answering: Answering, items: Sequence[Item]) -> pl.DataFrame:
    from broca.scoring import Generation, Sampled

    if answering.how in (None, "likelihood"):
        return _likelihoods(lm, items)
    reader = Generation(answering.tokens, match=answering.match)
    if answering.how == "generation":
        return reader(lm, items)
    sampled = Sampled(reader, answering.temperature, answering.top_p, answering.repetitions, answering.seed)
    return sampled.repeated(lm, items)


def _likelihoods(lm: LM, items: Sequence[Item]) -> pl.DataFrame:
    from broca.scoring import Likelihood
    from broca.studies.guards import joins

    scorer = Likelihood()
    found = scorer(lm, items)
    for guard in joins(lm, items, scorer):
        terminal.facts([(guard.name, guard.text)])
    return found


def _served(url: str, model: str | None, timeout: float, answering: Answering, items: Sequence[Item]) -> pl.DataFrame:
    from broca.scoring import Generation
    from broca.scoring.server import Served, Server

    if answering.how == "likelihood":
        raise SpecError(
            "A server gives texts and no likelihoods. Use --how generation or sampled, or score without --server."
        )
    sampled = answering.how == "sampled"
    scorer = Served(
        Server(url, model, timeout),
        Generation(answering.tokens, match=answering.match),
        answering.temperature if sampled else 0.0,
        answering.top_p,
        answering.repetitions if sampled else 1,
        answering.seed,
    )
    with terminal.err.status(f"asking {url}"):
        found = scorer.repeated(items)
    if not sampled:
        return found.drop("repetition")
    if answering.repetitions > 1 and found.select("id", "text").n_unique() == len(items):
        _noted(["All repetitions are the same text: this server may leave the temperature out of account."])
    return found


def _shown(items: Sequence[Item], rows: pl.DataFrame) -> None:
    """Accuracies beside the best shortcut, and cells beside the reporters."""
    import polars as pl

    from broca.scoring import summarise
    from broca.stimuli.baselines import baselines
    from broca.stimuli.cells import accuracies, is_cell
    from broca.stimuli.flags import flags

    best = (
        baselines(items).sort("accuracy", descending=True, maintain_order=True).group_by("ability", maintain_order=True)
    )
    shortcut = best.agg(shortcut=pl.col("baseline").first(), scores=pl.col("accuracy").first())
    terminal.frame(summarise(rows).join(shortcut, on="ability", how="left", maintain_order="left"))
    _noted(flags(items))
    cells = [item for item in items if is_cell(item)]
    if cells:
        terminal.out.print()
        terminal.frame(accuracies(cells, rows, by=["repetition"] if "repetition" in rows.columns else []))


def _writer(path: Path | None) -> Any:
    """What writes a table to such a file; known before anything is scored."""
    import polars as pl
    import polars.selectors as cs

    kinds = {
        ".parquet": lambda rows, to: rows.write_parquet(to),
        ".csv": lambda rows, to: rows.with_columns(
            cs.by_dtype(pl.List(pl.Float64)).list.eval(pl.element().cast(pl.String)).list.join(" ")
        ).write_csv(to),
        ".jsonl": lambda rows, to: rows.write_ndjson(to),
    }
    if path is None:
        return None
    if path.suffix not in kinds or not path.parent.is_dir():
        raise SpecError(f"Rows cannot be written to {path}. Give a .parquet, .csv or .jsonl in a folder that exists.")
    return kinds[path.suffix]
