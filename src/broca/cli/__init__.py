"""The command line: parses, calls one thing, prints where the result is and what to type next.

MODEL is everywhere a directory, a GGUF file, a hub id, or the name of a shipped organism or of smollm2. Heavy rooms are imported inside commands, so
that help answers at once.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CoercionError, CycloptsError, MissingArgumentError, Parameter

from broca import __version__
from broca.cli import terminal
from broca.cli.execute import check_expectation, check_out, execute_study, study_of
from broca.cli.explaining import explain
from broca.cli.exporting import export
from broca.cli.folders import diff, runs, verify
from broca.cli.inspecting import inspect
from broca.cli.options import RUNS, Budget, DryRun, Loading, Verbose, Working, given_fields
from broca.cli.organism import organism
from broca.cli.planning import plan
from broca.cli.scoring import score
from broca.cli.selecting import select
from broca.cli.setting import Setting
from broca.cli.sharing import pull, push
from broca.errors import BrocaError, ModelError, RunError, StimulusError
from broca.instruments import COMMANDS
from broca.page.shell import YOUR_CONTRAST, YOURS, command

app = App(
    name="broca",
    help="Find where an ability lives in a language model, take it away reversibly, and learn whether the claim survives.",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help_format="plaintext",
    # A list takes all values after its name; what is no list has no --empty- form.
    default_parameter=Parameter(consume_multiple=(1, None), negative_iterable=()),
)
app.command(inspect)
app.command(organism)
app.command(score)
app.command(export)
app.command(select)
app.command(runs)
app.command(diff)
app.command(push)
app.command(pull)
app.command(verify)
app.command(explain)
app.command(plan)
for _each in COMMANDS.values():
    app.command(f"broca.cli.studies:{_each.name}", name=_each.name, help=_each.help)


@app.command
def demo(
    *,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    working: Working = Working(),
    out: Path = RUNS,
    verbose: Verbose = False,
) -> None:
    """Lesion two heads of a real model, and the belief network of a small one, which was taught to known places. No download.

    With --all three more small models: one says the second smallest number of a list, and the way to it is read from its attention;
    one does sums asked for in words, with and without mistakes in them; the last one's place is anybody's guess, and is asked of
    its heads, then of its weights. Each study ends in a report.

    Args:
        every: Run every study, not the first two.
        out: Folder of runs.
    """
    from broca.cli.demo import DEMO, REAL, REAL_MODEL, ROUTED, TREES, TYPOS, WEIGHTS
    from broca.models.packages import lack_of

    studies: list[tuple[Any, str, str, dict[str, object]]] = [
        (REAL, REAL_MODEL, "score", {"all": True}),
        (ROUTED, "routed", "lesion", {"contrast": YOUR_CONTRAST, "items": YOURS}),
        (TREES, "kth", "probe", {"task": "rules"}),
        (TYPOS, "sums", "perturb", {"items": YOURS}),
        (WEIGHTS, "beliefs", "sensitivity", {"task": YOURS}),
        (DEMO, "beliefs", "lesion", {"contrast": YOUR_CONTRAST, "items": YOURS}),
    ]
    check_out(out)
    chosen = studies if every else studies[:2]
    more = "" if every else f"; broca demo --all runs {len(studies) - len(chosen)} more studies"
    terminal.out.print(f"models: {', '.join(dict.fromkeys(each[1] for each in chosen))}{more}")
    for study, model, following, options in chosen:
        after = command(following, "MODEL", options=options)
        lack = lack_of(model) if model == REAL_MODEL else ""
        try:
            if not lack:
                execute_study(
                    study, Setting(model, Loading(), working, out), lambda _, after=after: [after], verbose=verbose
                )
        except (ModelError, RunError) as error:
            if model != REAL_MODEL:
                raise
            lack = str(error)
        if lack:
            terminal.err.print(f"! {lack} The demo goes on without it.", style="yellow", markup=False, soft_wrap=True)


@app.command
def run(
    spec: str,
    *,
    model: str | None = None,
    loading: Loading = Loading(),
    working: Working = Working(),
    out: Path | None = None,
    verbose: Verbose = False,
    dry_run: DryRun = False,
    budget: Budget = None,
) -> None:
    """Run a study from its spec.toml: a finished run's own, or one that you wrote.

    Args:
        spec: The file, the directory of a run, or a run on the hub: hf://user/name.
        model: Run it on this model instead of the one that it names.
        out: Folder of runs: the one that the run lies in, or else runs.
    """
    typed = {"model": model, "out": out, "budget": budget, **Setting("", loading, working).kept_options()}
    again = command("run", spec, options=typed) if dry_run else ""
    document = _document(spec, model)
    named = document["model"]
    name = model or named.get("name")
    if not name:
        raise RunError(f"{spec} names no model. Give one: broca run {spec} --model MODEL.")
    study = study_of(document["study"], commanded=False)
    if model is None:
        kept = given_fields(revision=loading.revision or named.get("revision"), gguf=loading.gguf or named.get("gguf"))
        if loading.dtype == "auto":
            kept |= given_fields(dtype=named.get("dtype"))
        loading = replace(loading, **kept)
    if loading.dtype == "auto":
        loading = replace(loading, dtype=getattr(study, "dtype", None) or "auto")
    held = tuple(named.get("features", ()))
    setting = Setting(name, loading, working, _folder_around(spec) if out is None else out, held)
    try:
        done = execute_study(study, setting, verbose=verbose, budget=budget, dry=again)
        if done is not None:
            check_expectation(study, done)
    except StimulusError as error:
        if not _relative(document["study"]):
            raise
        where = "Paths in a spec are as they were given: type this in the folder in which the run was started."
        raise StimulusError(f"{error} {where}") from error


def _document(spec: str, model: str | None) -> dict[str, Any]:
    """What a spec says; one from the hub is a stranger's, and may reach for nothing here."""
    from broca.runs import spec_of
    from broca.runs.sharing.address import is_address
    from broca.runs.sharing.pull import pull_spec
    from broca.runs.sharing.strangers import refuse_reaching

    if not is_address(spec):
        return spec_of(Path(spec))
    with tempfile.TemporaryDirectory() as folder:
        document = spec_of(pull_spec(spec, Path(folder)))
    refuse_reaching(document, spec, model=model)
    return document


def _folder_around(spec: str) -> Path:
    """The folder of runs that a run lies in, as it was given: a path from here, and not from the root."""
    from broca.runs import run_around
    from broca.runs.sharing.address import is_address

    around = None if is_address(spec) else run_around(Path(spec))
    if around is None:
        return RUNS
    return around.parent if Path(spec).is_absolute() else Path(os.path.relpath(around.parent))


def _relative(fields: Mapping[str, Any]) -> bool:
    """Whether fields name files by a path from some folder, and this is not that folder."""
    from broca.stimuli.options import looks_like_path
    from broca.stimuli.tables import SUFFIXES

    texts = [each for value in fields.values() for each in (value if isinstance(value, list) else [value])]
    names = [text for text in texts if isinstance(text, str) and looks_like_path(text, suffixes=SUFFIXES)]
    inner = [value for value in fields.values() if isinstance(value, dict)]
    return any(not os.path.isabs(name) and not os.path.exists(name) for name in names) or any(map(_relative, inner))  # noqa: PTH110, PTH117 - these never raise


@app.command
def report(
    run: Path, *, interactive: bool = False, figures: Sequence[Literal["pdf", "png"]] = (), inspect_logs: bool = False
) -> None:
    """Write the report of a finished run: one HTML file that opens offline, and its figures and references beside it.

    Args:
        run: Directory of the run.
        interactive: Embed the interactive charts too (about a megabyte).
        figures: Write each figure in these formats too, beside SVG.
        inspect_logs: Write scored items as logs of inspect_ai too, one for each condition that is no random draw.
    """
    from broca.reports.build import report as build

    where = {}
    if inspect_logs:
        from broca.runs.inspect_logs import write_inspect_logs

        where["logs"] = str(write_inspect_logs(run))
    where["report"] = str(build(run, interactive=interactive, figures=figures))
    terminal.following(where, command("run", run))


def main() -> None:
    """Run the command line; every known failure is one clear message and exit code 1, or 2 for a mistake in usage."""
    sys.excepthook = terminal.traceback
    try:
        with terminal.warnings():
            app(spelled_out(sys.argv[1:]), exit_on_error=False)
    except MissingArgumentError as error:
        if (before := _list_before(error)) is not None:
            terminal.err.print(
                f"{before} takes all values that follow it. Put what stands alone before it.", markup=False
            )
        sys.exit(2)
    except CoercionError as error:
        name = getattr(error.argument, "name", "")
        if name in ("--options", "--contrast-options"):
            terminal.err.print(f"Write {name}.NAME VALUE, as in {name}.seed 1.", markup=False)
        sys.exit(2)
    except CycloptsError:
        sys.exit(2)
    except BrocaError as error:
        terminal.error(type(error).__name__, str(error), error.short)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        terminal.err.print("\nStopped. What is done is kept: the same command goes on from here.")
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read along has gone; what Python would still write at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        terminal.error(
            "OSError", f"{place}{error.strerror or error}. Check that the file and its disk are there and in order."
        )
        sys.exit(1)


def spelled_out(words: Sequence[str]) -> list[str]:
    """What was typed, --chat without a value as --chat always, and --no-chat as --chat never."""
    found: list[str] = []
    for word, after in pairwise((*words, "--")):
        alone = word == "--chat" and after.startswith("-")
        found += ["--chat", "never"] if word == "--no-chat" else ["--chat", "always"] if alone else [word]
    return found


def _list_before(error: MissingArgumentError) -> str | None:
    """The list that may have swallowed what stands alone, where such a thing is missing."""
    words = [word for word in sys.argv[1:] if word.startswith("--")]
    argument = error.argument
    if argument is None or not words or argument.field_info.is_keyword_only:
        return None
    return words[-1]
