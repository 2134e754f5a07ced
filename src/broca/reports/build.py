"""A run made into one HTML file: read, drawn, written, offline.

The same run gives the same bytes. Nothing is fetched, now or when the page is opened: its own content security policy
forbids it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from broca.page import words
from broca.page.charts import INK
from broca.page.shell import YOUR_CONTRAST, command, items_for
from broca.page.words import visible
from broca.registry import ORGANISMS
from broca.reports import findings, masks, perturbed, places, probes
from broca.reports.drawing import Figure, bundle
from broca.reports.method import method_text, references, unexplained
from broca.reports.record import Record, read_record
from broca.runs.opened import version_note
from broca.storage import inside, sweep, write, writing

_log = logging.getLogger(__name__)

PAGE, FIGURES = "report.html", "figures"


class HasPath(Protocol):
    """A run that knows its directory."""

    @property
    def path(self) -> Path:
        """The run's directory."""
        ...


def report(run: Path | str | HasPath, *, interactive: bool = False) -> Path:
    """Write ``report.html`` and ``figures/`` into a run's directory.

    Args:
        run: a finished run, or its directory.
        interactive: put Vega into the page (0.9 MB), so that charts answer to the pointer; still offline.

    Returns:
        The path of the page.

    Raises:
        RunError: if the run is unfinished, or one of its files is missing or damaged.
    """
    path = Path(run) if isinstance(run, str | Path) else Path(run.path)
    record, context = _read(path)
    if note := version_note(path, record.manifest):
        _log.warning("%s", note)
    for doubt in record.doubts.values():
        _log.warning("unverified: %s", doubt)
    alone = [context["twins"]] if context["twins"] else []
    charts = [
        *alone,
        *probes.charts(context["probe"]),
        *perturbed.charts(context["perturb"]),
        *masks.charts(context["masks"]),
        *context["doses"],
        *(figure for place in context["places"] for figure in place["figures"]),
    ]
    folder = inside(path, FIGURES)
    with writing(folder):
        folder.mkdir(exist_ok=True)
        for each in (path, folder):
            sweep(each)
    for figure in charts:
        if figure.svg:
            write(folder / f"{figure.name}.svg", figure.svg.encode("utf-8"))
        if figure.spec:
            write(folder / f"{figure.name}.vl.json", figure.vl_json.encode("utf-8"))
    page = (
        _templates()
        .get_template("page.html")
        .render(**context, **(_scripts(charts) if interactive else {"bundle": "", "charts": ""}))
    )
    write(path / PAGE, page.encode("utf-8"))
    return path / PAGE


def _read(path: Path) -> tuple[Record, dict[str, Any]]:
    """What the page says; of what does not match its checksum, as much as has the shape that it should have."""
    record = read_record(path)
    try:
        return record, _context(record)
    except Exception as error:
        if not record.doubts:
            raise
        _log.debug("%s: what is doubted is left out", path, exc_info=error)
    record = read_record(path, trust=False)
    return record, _context(record)


def _context(record: Record) -> dict[str, Any]:
    spec = dict(record.study)
    paragraphs = method_text(spec, record.result)
    return {
        "title": findings.title(record),
        "doubts": [f"{name} {doubted(why)}" for name, why in record.doubts.items()],
        "claim": str(record.result.get("claim") or ""),
        "estimate": findings.estimate(record.result),
        "facts": findings.facts(record),
        "ladder": findings.ladder(record.result),
        "probe": probes.section(record),
        "perturb": perturbed.section(record),
        "masks": masks.section(record),
        "twins": places.twin_figure(record),
        "doses": places.dose_figures(record),
        "matrix": findings.matrix(record),
        "places": places.places(record),
        "reliability": _rows(record.part("reliability")),
        "baselines": findings.baselines(record),
        "flipped": findings.flipped(record),
        "guards": findings.guards(record),
        "warnings": findings.warnings(record),
        "examples": findings.examples(record),
        "paragraphs": paragraphs,
        "own_method": str(record.result.get("method") or ""),
        "fields": unexplained(spec, record.result),
        "references": references(paragraphs, record.entries("citations")),
        "manifest": _rows({k: v for k, v in record.manifest.items() if k not in {"files", "guards", "warnings"}}),
        "files": _files(record.manifest.get("files")),
        "missing": missing(record),
        "repeat": repeat(record),
    }


def doubted(why: str) -> str:
    """What is wrong with a file, in few words."""
    return (
        "is missing." if "is missing" in why else "is a link." if "is a link" in why else "does not match its checksum."
    )


def repeat(record: Record) -> dict[str, str]:
    """The command that does the run again, and in which folder it is typed."""
    place, where = record.place
    model = {} if record.model.get("name") else {"model": record.model_name}
    return {"command": command("run", place, options=model), "where": where}


_MISSING = {
    "layers": "where the selected units lie, layer by layer",
    "doses": "accuracy against the share of units lesioned, beside random draws",
    "matrix": "the effect on each ability, beside random draws",
    "baselines": "what shortcuts would score",
    "flipped": "the items whose answers changed",
}
"""What a page without each table does not show."""


def missing(record: Record) -> dict[str, Any] | None:
    """What the page cannot show, and the command that would produce it; None when nothing is missing."""
    absent = [what for name, what in _MISSING.items() if name not in record.tables]
    if not record.arrays.get("t"):
        absent.insert(0, "the map of t")
    if not absent or record.kind not in ("localize", "causal"):
        return None
    # A causal test of units that were given has no ranking to show: a localizer would make one.
    given = record.kind != "localize" and "localizer" not in record.study and not record.arrays.get("t")
    place, where = record.place
    if record.kind == "localize":
        chat = {} if record.study.get("chat", "auto") == "auto" else {"chat": record.study["chat"]}
        shown = items_for(str(record.study.get("contrast")), organism=record.model_name in ORGANISMS)
        typed = command("lesion", record.model_name, options={"localizer": place, **shown, **chat, **record.loading})
    elif given:
        typed = command("localize", record.model_name, options={"contrast": YOUR_CONTRAST, **record.loading})
    else:
        typed = command("run", place)
    return {"what": absent, "command": typed, "where": where}


def _files(files: Any) -> list[tuple[str, str]]:
    return _rows(files) if isinstance(files, Mapping) else []


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, words.as_text(value)) for name, value in words.leaves(values)]


def _scripts(charts: Sequence[Figure]) -> dict[str, Any]:
    # A text that closes the script element would end it early, also inside a string of the script.
    script = bundle().replace("</script", "<\\/script").replace("<!--", "<\\!--")
    specs = {figure.name: dict(figure.spec) for figure in charts if figure.spec}
    return {"bundle": Markup(script), "charts": {"specs": specs, "ink": INK}}  # noqa: S704 - our own bundle


def _shown(value: Any) -> Any:
    """What every expression of a template passes through before it is escaped."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("broca.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": words.number,
        "percent": words.percent,
        "points": words.points,
        "p": words.p_value,
        "tenths": words.tenths,
        "column": words.column,
    }
    return environment
