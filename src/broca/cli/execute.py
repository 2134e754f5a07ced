"""What several commands do: load a model, read a study, run it, and print where the result is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broca import terminal
from broca.cli.options import Loading, Looking, Target, Working, given
from broca.errors import SpecError

if TYPE_CHECKING:
    from broca.engines import Engine
    from broca.models.lm import LM
    from broca.runs import Run
    from broca.units import UnitMask


def loaded(name: str, how: Loading) -> LM:
    """The model, with its wiring proved."""
    from broca.models.lm import LM
    from broca.models.load import announcement, quiet

    quiet()
    said, tight = announcement(name, how.dtype, how.device)
    if tight:
        terminal.err.print(f"! {said}", style="yellow", markup=False)
    with terminal.err.status(f"loading {said or name}"):
        return LM.load(name, **asdict(how))


def engine_of(how: Working) -> Engine:
    """The engine, before anything heavy is done.

    Raises:
        SpecError: if an option does not fit, naming it.
        EngineError: if Ray is not installed.
    """
    from broca.engines import Local, Ray

    if how.engine == "ray":
        return Ray(how.workers, how.address, how.threads)
    if how.address is not None:
        raise SpecError(f"--address {how.address} is for the engine ray. Add --engine ray, or leave it out.")
    return Local(1 if how.workers is None else how.workers, how.threads)


def executed(study: Any, lm: LM, out: Path, *then: str, engine: Engine | None = None) -> Run:
    """Run a study into a directory, write its report, print the verdict, where things are, and what to type then.

    RUN in a command stands for the run's directory.
    """
    from broca.reports.build import report as build
    from broca.runs import run as execute

    with terminal.progress() as tell:
        done = execute(study, lm, out=out, progress=tell, **given(engine=engine))
    page = build(done)
    terminal.out.print(f"\n{done.result['claim']}\n", markup=False, soft_wrap=False)
    if "methods" in done.tables:
        terminal.frame(done.tables["methods"].rename(_SHORT))
    if study.kind == "probe":
        from broca.studies.probe_findings import summary

        terminal.frame(summary(done.tables["scores"]))
    if study.kind == "sensitivity":
        terminal.frame(done.tables["sweep"].select("m", "nominal", "realised", "dev_accuracy", "perplexity_ratio"))
    if study.kind == "perturb":
        from broca.studies.perturb.told import recovered, summary

        terminal.frame(summary(done.tables["kinds"]))
        terminal.frame(recovered(done.tables["recovery"]), "recovery of the lost logit difference, largest first")
    terminal.ladder(done.result["verdict"])
    marked = [guard for guard in done.result["guards"] if guard["state"] == "marked"]
    for text in (*(f"{guard['name']}: {guard['text']}" for guard in marked), *done.result["warnings"]):
        terminal.out.print(f"! {text}", style="yellow", markup=False)
    terminal.following(
        {"run": str(done.path), "report": str(page)},
        *(each.replace("RUN", str(done.path)) for each in then or (f"broca runs {out}",)),
    )
    return done


_SHORT = {"auroc": "AUROC", "average_precision": "AP", "precision_at_k": "P@k", "recall_at_1_percent": "R@1%"}


def study_of(fields: dict[str, Any]) -> Any:
    """A study from its fields; what pydantic has against them is told in one line each.

    Raises:
        UnknownName: if there is no such study.
        SpecError: if a field is wrong.
    """
    from pydantic import ValidationError

    from broca.studies import STUDIES

    kind = fields.get("kind", "")
    study = STUDIES[kind]
    try:
        return study(**fields)
    except ValidationError as error:
        known = ", ".join(study.model_fields)
        told = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or kind}: {e['msg']} (given {e['input']!r:.80})" for e in error.errors()
        )
        raise SpecError(f"{told}. The fields of {kind!r} are {known}.") from error


def target_of(lm: LM, target: Target, looking: Looking) -> dict[str, Any]:
    """What to lesion, as fields of the causal test, from the one option that says so.

    Raises:
        SpecError: if several do.
    """
    from broca.runs import open_run
    from broca.units import UnitMask

    named = given(**asdict(target))
    if len(named) > 1:
        raise SpecError(
            f"--{' and --'.join(named)} were given. Give one of --contrast, --localizer, --units and --heads."
        )
    match named:
        case {"units": text}:
            return {"selection": mask_of(lm, text)}
        case {"heads": text}:
            return {"selection": UnitMask.heads(text, n_heads=lm.anatomy.n_heads)}
        case {"localizer": path}:
            return {"localizer": open_run(path).spec["study"]}
        case _:
            return {"localizer": {"contrast": named.get("contrast", "belief"), **looking.fields}}


def mask_of(lm: LM, text: str) -> UnitMask:
    """The mask of a file, or of what is written.

    Raises:
        SelectionError: if it is neither.
    """
    from broca.units import UnitMask

    written = ":" in text and not Path(text).exists()
    return UnitMask.written(text, n=lm.anatomy.choices) if written else UnitMask.load(text)


def parsed(given: dict[str, str] | None) -> dict[str, Any]:
    """Numbers and booleans as such, anything else as text."""

    def value(text: str) -> Any:
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text

    return {name: value(text) for name, text in (given or {}).items()}
