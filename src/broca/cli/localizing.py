"""The commands that localize an ability and lesion what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from broca.cli import terminal
from broca.cli.commands import Setting
from broca.cli.execute import executed, options_for, study_of
from broca.cli.options import RUNS, Loading, Looking, Options, Ranking, Target, Testing, Working, given, refuse
from broca.errors import RunError, SelectionError, SpecError
from broca.page.shell import command, flag, items_for

if TYPE_CHECKING:
    from broca.models.lm import LM
    from broca.runs import Run
    from broca.units import UnitMask

ContrastOptions = Annotated[
    dict[str, str] | None,
    Parameter(
        help="Options of the contrast alone, where its name for one is that of the items: --contrast-options.n 40."
    ),
]

_MANY = 1 << 20
"""More units or heads than any site has: a selection is read before the model that says how many there are."""


def localize(
    model: str,
    *,
    contrast: str = "belief",
    options: Options = None,
    looking: Looking = Looking(),
    ranking: Ranking = Ranking(),
    loading: Loading = Loading(),
    working: Working = Working(),
    out: Path = RUNS,
) -> None:
    """Rank every unit, or head, by a contrast, and select.

    Args:
        model: Directory, hub id or shipped organism.
        contrast: Name of a contrast (belief, language, multiple-demand, multiple-demand-matched, pain), or a CSV, JSONL or
            Parquet file with columns text,label or positive,negative, or a folder of tomloc, langloc or pain files.
        out: Folder of runs.
    """
    from broca.stimuli.contrasts import option_types

    own = options_for(options, option_types(contrast))
    study = study_of({"kind": "localize", "contrast": contrast, "options": own, **looking.fields, **ranking.fields})
    setting = Setting(model, loading, working, out)
    executed(study, setting, lambda run: [_lesion_of(run, setting, contrast, looking)])


def _lesion_of(run: Run, setting: Setting, contrast: str, looking: Looking) -> str:
    """The command that lesions what a run selected."""
    from broca.registry import ORGANISMS

    shown = {**items_for(contrast, organism=setting.model in ORGANISMS), "chat": looking.chat}
    return command("lesion", setting.model, options={"localizer": run.path, **shown, **setting.kept()})


def lesion(
    model: str,
    *,
    target: Target = Target(),
    options: Options = None,
    contrast_options: ContrastOptions = None,
    looking: Looking = Looking(),
    testing: Testing = Testing(),
    loading: Loading = Loading(),
    working: Working = Working(),
    out: Path = RUNS,
) -> None:
    """Lesion a selection, score abilities against matched random lesions, and climb the ladder.

    --options.X goes to the contrast and to each of the items that take an option X.

    Args:
        model: Directory, hub id or shipped organism.
        out: Folder of runs.
    """
    named = given(**asdict(target))
    if len(named) > 1:
        raise SpecError(
            f"{' and '.join(map(flag, named))} were given. Give one of --contrast, --localizer, --units and --heads."
        )
    (which, what) = next(iter(named.items()), ("contrast", "belief"))
    if which != "contrast":
        looks = asdict(looking) | {"contrast_options": contrast_options}
        refuse({name: value for name, value in looks.items() if name != "chat"}, "--contrast", beside=flag(which))
    shown = _dealt(str(what) if which == "contrast" else None, testing, options, contrast_options)
    chat = {} if looking.chat is None else {"scorer": {"kind": "likelihood", "chat": looking.chat}}
    fields = {"kind": "causal", **testing.fields, **shown.of_items, **chat}
    setting = Setting(model, loading, working, out)
    if which == "contrast":
        local = {"contrast": str(what), **shown.of_contrast, **looking.fields}
        study_of({"kind": "localize", **local})
        executed(study_of({**fields, "localizer": local}), setting)
    elif which == "localizer":
        again = _Again.of(Path(what), testing)
        study = study_of({**fields, **again.fields, "localizer": again.spec})
        executed(study, setting, finish=again.applied)
    else:
        study = study_of({**fields, "selection": read_mask(which, str(what))})
        executed(
            study,
            setting,
            finish=lambda study, lm: study.model_copy(update={"selection": selection_of(lm, which, str(what))}),
        )


@dataclass(frozen=True)
class _Dealt:
    """Options by what they are of, as fields of the test and of its localizer."""

    of_items: dict[str, Any]
    of_contrast: dict[str, Any]


def _dealt(
    contrast: str | None, testing: Testing, options: dict[str, str] | None, alone: dict[str, str] | None
) -> _Dealt:
    """The options dealt to the contrast, where one is shown, and to the items."""
    from broca.stimuli.benchmarks import option_types as types_of_items
    from broca.stimuli.contrasts import option_types as types_of_contrast
    from broca.stimuli.options import deal

    if options is None and alone is None:
        return _Dealt({}, {})
    items = ["beliefs/false-belief" if testing.items is None else testing.items, *(testing.others or [])]
    takes = [(name, types_of_items(name)) for name in items]
    kinds = [types for _, types in takes]
    if contrast is None:
        return _Dealt({"options": options_for(options, *kinds)}, {})
    own = types_of_contrast(contrast)
    mine = options_for(alone, own)
    first, *_ = deal(options or {}, [(contrast, {n: t for n, t in own.items() if n not in mine}), *takes])
    asked = {name: text for name, text in (options or {}).items() if any(name in types for types in kinds)}
    of_contrast = options_for({name: str(text) for name, text in first.items()}, own) | mine
    return _Dealt({"options": options_for(asked, *kinds)}, {"options": of_contrast})


@dataclass(frozen=True)
class _Again:
    """A finished localize run whose ranking is lesioned: its maps are read from it where they are the ones that are asked for."""

    run: Run
    spec: Mapping[str, Any]
    fields: dict[str, Any]

    @classmethod
    def of(cls, path: Path, testing: Testing) -> _Again:
        """Of the run at a path, which says what is lesioned where the command does not.

        Raises:
            RunError: if there is no finished localize run.
        """
        from broca.runs import open_run

        run = open_run(path)
        kind = run.manifest["kind"]
        if kind != "localize":
            raise RunError(
                f"{path} is a run of {kind}, and --localizer takes one of localize. To lesion what that run selected: --units {path}."
            )
        spec = run.spec["study"]
        chosen = spec.get("select", {})
        fields: dict[str, Any] = {}
        if testing.dose is None and chosen.get("percent") is not None:
            fields["dose"] = chosen["percent"]
        elif testing.dose is None:
            fields["dose"] = _percent(run.result["selection"]["k"], run.result["selection"]["n_alive"])
        if testing.sides is None and chosen.get("side") is not None:
            fields["sides"] = [chosen["side"]]
        # What is selected is said by dose and sides, so that the same test has one name, however it was asked for.
        kept = {name: value for name, value in chosen.items() if name not in ("percent", "count", "side")}
        return cls(run, {**spec, "select": kept}, fields)

    def applied(self, test: Any, lm: LM) -> Any:
        """The test with what the run found, or as it is where this model, data or selection is another."""
        from broca.instruments.localize.result import Localization
        from broca.runs.spec import Identity

        found = self.run.restore(Localization)
        study: Any = found.spec
        known = test.knowing(found) if Identity.of(study, lm).hash == self.run.manifest["hash"] else None
        if known is None:
            terminal.err.print(
                f"! {self.run.path} is of another model, data or selection than this test asks for: it is localized anew.",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )
        return known or test


def _percent(count: int, of: int) -> float:
    """A percentage that is so many of so many units: 1, or the least one. Fractions of a unit are cut off."""
    from math import inf, nextafter

    from broca.units.selection import share

    if share(of, 1.0) == count:
        return 1.0
    percent = 100 * count / of
    while share(of, percent) < count:
        percent = nextafter(percent, inf)
    return percent


def read_mask(which: str, text: str) -> UnitMask:
    """A selection as far as it can be read without the model: its file, or its form.

    Raises:
        SelectionError: if there is no such file, or the text is of another form.
    """
    from broca.units import UnitMask

    if which == "heads":
        return UnitMask.heads(text, n_heads=_MANY)
    return UnitMask.parse(text, n=lambda *_: _MANY) if _is_written(text) else _stored(text)


def _is_written(text: str) -> bool:
    import os

    if not text.strip():
        raise SelectionError("--units names nothing. Give a mask file, a run, or units such as '3.mlp_act:0,2'.")

    return ":" in text and not os.path.exists(text)  # noqa: PTH110 - unlike Path.exists, never raises on an overlong name


def _stored(text: str) -> UnitMask:
    """The mask of a file, or what a run selected."""
    from broca.runs import open_run
    from broca.units import UnitMask

    return open_run(text).units() if Path(text).is_dir() else UnitMask.load(text)


def selection_of(lm: LM, which: str, text: str) -> UnitMask:
    """Heads or units that were given, of this model.

    Raises:
        SelectionError: if the text is of another form, or a head does not exist.
        SiteUnavailable: if the model has no such site.
    """
    from broca.units import UnitMask

    if which == "heads":
        return UnitMask.heads(text, n_heads=lm.anatomy.n_heads, n_layers=lm.anatomy.n_layers)
    return mask_of(lm, text)


def mask_of(lm: LM, text: str) -> UnitMask:
    """The mask of a file, of what a run selected, or of what is written.

    Raises:
        SelectionError: if it is none of these.
        SiteUnavailable: if the model has no such site.
    """
    from broca.units import UnitMask

    return UnitMask.parse(text, n=lm.anatomy.choices) if _is_written(text) else _stored(text)
