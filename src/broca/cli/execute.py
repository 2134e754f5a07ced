"""What several commands do: read a study, load a model, run it, and print where the result is.

Whatever can be wrong without a model is found before one is loaded: fields, options, files of stimuli, the place of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from broca.cli import terminal
from broca.cli.options import RUNS, Dtype, Loading, Working, refuse
from broca.cli.progress import progress
from broca.cli.setting import Setting
from broca.errors import ModelError, SpecError
from broca.page.shell import command, flag

if TYPE_CHECKING:
    from broca.models.lm import LM
    from broca.runs import Run
    from broca.workers import Engine

Next = Callable[["Run"], Sequence[str]]
"""What to type after a run."""


def load_model(name: str, how: Loading, features: Sequence[str] = ()) -> LM:
    """The model, with its wiring proved, held with dictionaries; their files are read before the model is."""
    from broca.compat.dictionaries.read import read_dictionary
    from broca.models.lm import LM
    from broca.models.load import announcement, quiet

    check_model(name, how)
    dictionaries = [*map(read_dictionary, features)]
    quiet()
    said, tight = announcement(name, how.dtype, how.device, how.gguf)
    if tight:
        terminal.err.print(f"! {said}", style="yellow", markup=False)
    with terminal.err.status(f"loading {said or name}"):
        lm = LM.load(name, **asdict(how))
        return lm.with_features(*dictionaries) if dictionaries else lm


def check_model(name: str, how: Loading) -> None:
    """Refuse what names no model, before anything else is done.

    Raises:
        ModelError: if there is no model directory where a path is given.
        SpecError: if a revision is asked of a directory.
    """
    from broca.models.load import locate
    from broca.models.placement import check_device
    from broca.registry import unknown

    if not isinstance(name, str) or not name.strip():
        raise ModelError(
            f"The model is called {name!r}. Give a directory, a GGUF file, a hub id or a shipped organism."
        )
    if how.dtype not in get_args(Dtype):
        raise unknown("dtype", str(how.dtype), get_args(Dtype))
    if (place := Path(locate(name, gguf=how.gguf))).exists():
        kind = "directory" if place.is_dir() else "file"
        refuse({"revision": how.revision}, "a hub id", beside=f"{name}, which is a {kind}")
    check_device(how.device)


def engine_of(how: Working) -> Engine:
    """The engine, before anything heavy is done.

    Raises:
        SpecError: if an option does not fit, naming it.
        EngineError: if Ray, or Slurm with submitit, is not installed.
    """
    from broca.workers import Local, Ray, Slurm

    job = {name: getattr(how, name) for name in ("partition", "hours", "gpus", "memory", "account")}
    refuse(job, "--engine slurm", met=how.engine == "slurm")
    refuse({"address": how.address}, "--engine ray", met=how.engine == "ray")
    if how.engine == "ray":
        return Ray(how.workers, how.address, how.threads)
    if how.engine == "slurm":
        if how.workers is None:
            raise SpecError("How many jobs are to share the work? Give workers (--workers N).")
        return Slurm(how.workers, threads=how.threads, **{name: one for name, one in job.items() if one is not None})
    return Local(1 if how.workers is None else how.workers, how.threads)


def execute_study(
    study: Any,
    setting: Setting,
    then: Next | None = None,
    finish: Callable[[Any, LM], Any] = lambda study, _: study,
    *,
    verbose: bool = False,
    budget: str | None = None,
    dry: str = "",
) -> Run | None:
    """Run a study into a directory, print the verdict, write its report, print where things are and what to type then.

    What it will cost is said before.

    Args:
        study: what to do; its stimuli are read before the model is loaded.
        setting: on which model, by whom, and into which folder.
        then: what to type next.
        finish: what of the study needs the model, such as heads that are to be lesioned.
        verbose: print everything that the report shows, instead of what fits on a screen.
        budget: how long it may take, or how much it may read; see `broca.runs.budget.read_budget`.
        dry: say what it costs and do no more, and that this is what to type to do it; nothing is written, and there is no run.
    """
    from broca.reports.build import report as build
    from broca.runs import forecast
    from broca.runs import run as execute
    from broca.runs.budget import read_budget
    from broca.workers.threads import limit_threads

    engine = engine_of(setting.working)
    check_model(setting.model, setting.loading)
    if budget is not None:
        read_budget(budget)
    if not dry:
        check_out(setting.out)
    with terminal.err.status("reading stimuli"):
        study.read()
    lm = load_model(setting.model, setting.loading, setting.features)
    study = finish(study, lm)
    with limit_threads(engine.threads_each):
        study = _keep_budget(study, lm, budget)
        with terminal.err.status("timing a batch"):
            cost = forecast(study, lm)
    terminal.cost(cost, every=bool(dry))
    if dry:
        terminal.following({}, dry)
        return None
    with progress() as tell:
        done = execute(study, lm, out=setting.out, progress=tell, engine=engine)
    terminal.result(done, verbose=verbose)
    page = build(done)
    following = then(done) if then else ()
    again = command("runs", *([setting.out] if setting.out != RUNS else []))
    terminal.following({"run": str(done.path), "report": str(page)}, *(following or (again,)))
    return done


def _keep_budget(study: Any, lm: LM, budget: str | None) -> Any:
    """The study within its budget, or the one that it is given here, having said what that leaves."""
    from broca.evidence.budget import what_is_left
    from broca.runs import set_budget

    if budget is None and getattr(study, "budget_tokens", None) is None:
        return study
    with terminal.err.status("keeping the budget"):
        study = study if budget is None else set_budget(study, lm, budget)
        study = study.fit_to(lm)
        left = what_is_left(study, lm)
    tokens = f"{study.budget_tokens:,} tokens"
    said = f"! The budget, {tokens}, leaves {left}." if left else f"The budget, {tokens}, leaves everything as it is."
    terminal.err.print(said, style="yellow" if left else None, markup=False, soft_wrap=True)
    return study


def check_expectation(study: Any, run: Run) -> None:
    """End with code 3 where a finished run is otherwise than its spec expected.

    Raises:
        ExpectationError: naming what was otherwise.
    """
    from broca.errors import ExpectationError
    from broca.evidence.expectation import predictions

    expect = study.expect.model_dump() if getattr(study, "expect", None) else None
    missed = [each for each in predictions(expect, run.result) if not each.met]
    if missed:
        told = "; ".join(f"{each.name}: expected {each.predicted}, found {each.found}" for each in missed)
        raise ExpectationError(f"The run is not as its spec expected ({told}). The run is kept.")


def check_out(folder: Path) -> None:
    """Refuse a folder of runs that cannot be written to, or that lies within a run.

    Raises:
        RunError: saying why, and what to do.
    """
    from broca.errors import RunError
    from broca.runs import run_around
    from broca.storage import probe

    probe(folder, folder=True)
    if (around := run_around(folder)) is not None:
        raise RunError(f"{folder} would lie within the run {around}. Give the folder of runs: --out {around.parent}.")


def study_of(fields: Mapping[str, Any], *, commanded: bool = True) -> Any:
    """A study from its fields; what is wrong with them is said in a sentence each.

    Args:
        fields: what was given.
        commanded: by options, each of which must do something; or by a file, where every default is written out.

    Raises:
        UnknownName: if there is no such study.
        SpecError: if a field is wrong, or would do nothing.
    """
    from pydantic import ValidationError

    from broca.instruments import COMMANDS, INSTRUMENTS
    from broca.specs.faults import Path as Place
    from broca.specs.faults import dotted_path, idle_of, sentences

    kind = fields.get("kind", "")
    study, declared = INSTRUMENTS[kind], COMMANDS[kind]
    called = {path: flag(option) for option, path in declared.options.items()}

    def name(path: Place) -> str:
        names = [part for part in path if isinstance(part, str)]
        if not commanded or not names:
            return dotted_path(path)
        if "options" in names[:-1]:
            return f"--options.{names[-1]}"
        return called.get(".".join(names)) or declared.flags.get(names[-1]) or flag(names[-1])

    try:
        made = study.model_validate(fields)
    except ValidationError as error:
        raise SpecError(sentences(error, study, name)) from error
    if commanded:
        for need, names in made.idle(_leaves(fields)):
            context = {"fields": names, "needs": need.on, "why": need.why, "beside": need.beside}
            raise SpecError(idle_of(context, name))
    return made


def _leaves(fields: Mapping[str, Any], before: str = "") -> list[str]:
    """The names of fields that ask for something, those of parts with a dot."""
    from broca.specs.spec import asks

    found: list[str] = []
    for name, value in fields.items():
        if asks(value):
            found.append(before + name)
        if isinstance(value, Mapping):
            found += _leaves(value, f"{before}{name}.")
    return found


def options_for(texts: Mapping[str, str] | None, *types: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a command line has them, read as the types that some source asks for.

    Args:
        texts: what was given, by name.
        types: the options of each source that they may be for, by name.
    """
    from broca.stimuli.options import typed_options

    return typed_options(texts, *types)
