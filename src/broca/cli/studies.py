"""The commands that run a study: each is made from the fields of its spec when it is first used."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from broca.cli import terminal
from broca.cli.execute import check_expectation, execute_study, study_of
from broca.cli.field_options import Option, options_of
from broca.cli.options import (
    EXAMPLES,
    RUNS,
    TABLE,
    Budget,
    DryRun,
    Features,
    Loading,
    Verbose,
    Working,
    is_own,
    refuse,
)
from broca.cli.selections import read_mask
from broca.cli.setting import Setting
from broca.errors import SpecError
from broca.instruments import COMMANDS, INSTRUMENTS
from broca.page.shell import command, flag
from broca.specs.command import Call, Command
from broca.specs.faults import join_names
from broca.specs.fields import template
from broca.specs.spec import former_name

if TYPE_CHECKING:
    from broca.models.lm import LM
    from broca.runs import Run


def __getattr__(name: str) -> Any:
    """The command of this name, for the command line to find when it is typed."""
    declared = next((each for each in COMMANDS.values() if each.name == name), None)
    if declared is None:
        raise AttributeError(name)
    if not declared.inside:
        return command_of(declared)
    app = App(name=declared.name, help=declared.help)
    app.default(command_of(declared))
    for inner, place in declared.inside.items():
        app.command(place, name=inner)
    return app


def command_of(declared: Command) -> Callable[..., None]:
    """A command as cyclopts takes it: a function whose parameters are the model, an option for each field, and where the work is done."""
    options = {each.name: each for each in options_of(declared)}
    former = {old: each for each in options.values() for old in each.former}

    def call(model: str, **given: Any) -> None:
        typed = _by_names_of_today({name: value for name, value in given.items() if value is not None}, former)
        features = tuple(typed.pop("features", ()))
        groups = (typed.pop("loading", Loading()), typed.pop("working", Working()), typed.pop("out", RUNS))
        how = {name: typed.pop(name, False) for name in ("verbose", "dry_run")} | {"budget": typed.pop("budget", None)}
        extras = {each: typed.pop(each.name) for each in declared.extras if each.name in typed}
        _run(declared, options, Setting(model, *groups, features), typed, extras, **how)

    further = {each.name: Annotated[each.words | None, Parameter(help=each.help)] for each in declared.extras}
    hints = {name: Annotated[each.words | None, Parameter(help=each.help)] for name, each in options.items()} | further
    hints |= {old: Annotated[each.words | None, Parameter(show=False)] for old, each in former.items()}
    own = [_parameter(name, hint, None) for name, hint in hints.items()]
    model = Annotated[str, Parameter(help="Directory, GGUF file, hub id, shipped organism, or smollm2.")]
    groups = [_parameter("loading", Loading, Loading())]
    groups += [_parameter("working", Working, Working())] if declared.works else []
    groups += [_parameter("features", Features, None)] if declared.features else []
    ends = [
        _parameter("out", Annotated[Path, Parameter(help="Folder of runs.")], RUNS),
        _parameter("verbose", Verbose, False),
        _parameter("dry_run", DryRun, False),
        _parameter("budget", Budget, None),
    ]
    first = inspect.Parameter("model", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=model)
    call.__signature__ = inspect.Signature([first, *own, *groups, *ends])  # type: ignore[attr-defined]
    call.__doc__, call.__name__ = declared.help, declared.name
    return call


def _by_names_of_today(typed: dict[str, Any], former: Mapping[str, Option]) -> dict[str, Any]:
    for old in former.keys() & typed.keys():
        new = former[old].name
        if new in typed:
            raise SpecError(
                f"{flag(old)} is the former name of {flag(new)}, and both were given. Leave {flag(old)} out."
            )
        terminal.err.print(f"! {former_name(flag(old), flag(new))}", style="yellow", markup=False, soft_wrap=True)
        typed[new] = typed.pop(old)
    return typed


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)


def _run(
    declared: Command,
    options: Mapping[str, Option],
    setting: Setting,
    given: Mapping[str, Any],
    extras: Mapping[Any, Any],
    *,
    verbose: bool,
    dry_run: bool,
    budget: str | None,
) -> None:
    from broca.runs import open_run

    runs = {name: open_run(given[name]) for name, each in options.items() if each.read == "run" and name in given}
    call = Call(setting, given, runs, budget=budget)
    study = _study(declared, options, call)
    if setting.loading.dtype == "auto" and getattr(study, "dtype", None):
        setting = replace(setting, loading=replace(setting.loading, dtype=study.dtype))
        call = replace(call, setting=setting)
    setting, call = _with_features(study, setting, call)
    for extra, value in extras.items():
        _resolve(extra.check)(study, value)

    def finish(study: Any, lm: LM) -> Any:
        for run in runs.values():
            study = _again(study, run, lm)
        return study

    beside = {each.name: value for each, value in extras.items()}
    typed = {**given, **beside, **call.kept_options, **({"verbose": True} if verbose else {})}
    done = execute_study(
        study,
        setting,
        lambda run: study.following(replace(call, run=run)),
        finish,
        verbose=verbose,
        budget=budget,
        dry=command(declared.name, setting.model, options=typed) if dry_run else "",
    )
    if done is None:
        return
    for extra, value in extras.items():
        terminal.following(_resolve(extra.done)(done, value))
    check_expectation(study, done)


def _with_features(study: Any, setting: Setting, call: Call) -> tuple[Setting, Call]:
    """The setting with the dictionaries of a run that was named, where the study looks at features and none are given.

    Raises:
        SpecError: if dictionaries are given, and the study looks at no features.
    """
    looks = re.search(r"\.feature\b|'features'", str(study.model_dump(mode="json")))
    refuse({"features": setting.features or None}, "something that looks at LAYER.feature", met=looks)
    held = [run.spec["model"].get("features") or () for run in call.runs.values()]
    if not looks or setting.features or not any(held):
        return setting, call
    setting = replace(setting, features=tuple(next(filter(None, held))))
    return setting, replace(call, setting=setting)


def _study(declared: Command, options: Mapping[str, Option], call: Call) -> Any:
    """The study that was asked for; its masks as far as they can be read without the model."""
    from broca.stimuli.options import typed_options

    spec, given = INSTRUMENTS[declared.kind], call.given
    if len(several := [flag(name) for name in declared.one_of if name in given]) > 1:
        raise SpecError(f"{' and '.join(several)} were given. Give one of {join_names([*map(flag, declared.one_of)])}.")
    made: dict[str, Any] = {"kind": declared.kind}
    for name, each in options.items():
        if name in given and each.read not in ("run", "beside"):
            _put(made, each.path, read_mask(name, given[name]) if each.read == "mask" else each.value(given[name]))
    if chat := next((each for each in options.values() if each.name == "chat"), None):
        _put_template(made, chat.path, given)
    if own := {name: str(given[name]) for name in ("shots", "columns") if name in given}:
        made["options"] = {**made.get("options", {}), **own}
        types = spec.option_types(made)
        refuse({"shots": given.get("shots")}, EXAMPLES, met=not types or any("shots" in each for each in types))
        refuse({"columns": given.get("columns")}, TABLE, met=any(map(is_own, _sources(given))))
    made = spec.command_fields(made, call)
    if "options" in made and (types := spec.option_types(made)):
        made["options"] = typed_options(made["options"], *types)
    for name, part in declared.parts.items():
        if name in made and not call.runs:  # what is wrong with a part is said first, and in its own words
            study_of({"kind": part.kind, **made[name]})
    return study_of(made)


def _again(study: Any, run: Run, lm: LM) -> Any:
    """The study with what a run found, or as it is where this model, data or selection is another."""
    from broca.instruments.parts import result_type

    kind = run.manifest["kind"]
    if kind in COMMANDS and COMMANDS[kind].ranks:
        found: Any = run.restore(result_type(kind))
        known = study.knowing(found) if run.made_on(found.spec, lm) else None
        what = "of another model, data or selection than this test asks for: it is localized anew"
    else:
        known = study if run.made_by(lm) else None
        what = "of another model: its selection is lesioned in this one, and what it says of the map is left out"
    if known is None:
        terminal.err.print(f"! {run.path} is {what}.", style="yellow", markup=False, soft_wrap=True)
    return known or study.elsewhere()


def _resolve(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _sources(given: Mapping[str, Any]) -> Iterator[str]:
    """What was named that may be a file."""
    if path := given.get("options", {}).get("path"):
        yield path
    for name in ("items", "task", "contrast", "others", "controls", "pilot"):
        value = given.get(name, ())
        yield from [value] if isinstance(value, str) else value


def _put_template(made: dict[str, Any], path: tuple[str, ...], given: Mapping[str, Any]) -> None:
    """The field of the chat template: when it is used, with what it is told."""
    told = {name: given[name] for name in ("system", "thinking") if name in given}
    if told:
        _put(made, path, template(given.get("chat", "auto"), **told))


def _put(made: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        made = made.setdefault(part, {})
    made[path[-1]] = value
