"""A run made into one HTML file: read, drawn, written, offline.

The same run gives the same bytes. Nothing is fetched, now or when the page is opened: its own content security policy
forbids it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from broca.page.blocks import Block, Facts, Title
from broca.page.record import Record
from broca.registry import unknown
from broca.reports.contents import contents, works_of
from broca.reports.drawing import FORMATS, Figure, convert
from broca.reports.glance import glance
from broca.reports.html import Renderer, page
from broca.reports.works import bibliography
from broca.runs.opening import version_note
from broca.runs.record import read_record
from broca.storage import inside, sweep, write, writing

_log = logging.getLogger(__name__)

PAGE, FIGURES, BIBLIOGRAPHY = "report.html", "figures", "references.bib"


TITLE = "Broca: localisation of abilities in language models, with controls"
"""As in ``CITATION.cff``."""


class HasPath(Protocol):
    """A run that knows its directory."""

    @property
    def path(self) -> Path:
        """The run's directory."""
        ...


def report(run: Path | str | HasPath, *, interactive: bool = False, figures: Sequence[str] = ()) -> Path:
    """Write ``report.html``, ``references.bib`` and ``figures/`` into a run's directory.

    Args:
        run: a finished run, or its directory.
        interactive: put Vega into the page (0.9 MB), so that charts answer to the pointer; still offline.
        figures: further formats of each figure, beside SVG: "pdf", "png" (three pixels a point).

    Returns:
        The path of the page.

    Raises:
        RunError: if the run is unfinished, or one of its files is missing or damaged.
        UnknownName: if there is no such format.
    """
    forms = _forms(figures)
    path = Path(run) if isinstance(run, str | Path) else Path(run.path)
    record, blocks = _read(path)
    if note := version_note(path, record.manifest):
        _log.warning("%s", note)
    for doubt in record.doubts.values():
        _log.warning("unverified: %s", doubt)
    renderer = Renderer(blocks)
    folder = inside(path, FIGURES)
    with writing(folder):
        folder.mkdir(exist_ok=True)
        for each in (path, folder):
            sweep(each)
    for figure in renderer.figures:
        _write_figure(folder, figure, forms)
    write(path / BIBLIOGRAPHY, bibliography(works_of(record), _software(record)).encode("utf-8"))
    html = page(_frame(record, blocks), renderer, interactive=interactive)
    write(path / PAGE, html.encode("utf-8"))
    return path / PAGE


def _read(path: Path) -> tuple[Record, list[Block]]:
    """What the page says; of what does not match its checksum, as much as has the shape that it should have."""
    record = read_record(path)
    try:
        return record, contents(record)
    except Exception as error:
        if not record.doubts:
            raise
        _log.debug("%s: what is doubted is left out", path, exc_info=error)
    record = read_record(path, trust=False)
    return record, contents(record)


def _frame(record: Record, blocks: list[Block]) -> dict[str, Any]:
    """What stands above the sections."""
    title = next(block for block in blocks if isinstance(block, Title))
    of, model = title.of, record.model_name
    return {
        "instrument": title.instrument,
        "heading": f"{of[:1].upper()}{of[1:]} in {model}" if of else f"{title.instrument} of {model}",
        "run": record.path.name,
        "doubts": [f"{name} {doubt_text(why)}" for name, why in record.doubts.items()],
        "glance": glance(record),
        "facts": [block for block in blocks if isinstance(block, Facts)],
        "blocks": [block for block in blocks if not isinstance(block, Title | Facts)],
    }


def _forms(figures: Sequence[str]) -> tuple[str, ...]:
    for each in figures:
        if each not in FORMATS:
            raise unknown("format of figures", each, FORMATS)
    return tuple(dict.fromkeys(figures))


def _write_figure(folder: Path, figure: Figure, forms: Sequence[str]) -> None:
    """A figure as SVG, with the specification that drew it, and in further formats."""
    if figure.svg:
        write(folder / f"{figure.name}.svg", figure.svg.encode("utf-8"))
    if figure.spec:
        write(folder / f"{figure.name}.vl.json", figure.vl_json.encode("utf-8"))
    for form in forms:
        if (drawn := convert(figure, form)) is not None:
            write(folder / f"{figure.name}.{form}", drawn)


def _software(record: Record) -> dict[str, str]:
    """Of the entry of broca itself: the version that made the run."""
    made = str(record.manifest.get("broca") or "")
    return {"author": "The Broca developers", "title": TITLE, "version": made}


def doubt_text(why: str) -> str:
    """What is wrong with a file, in few words."""
    return (
        "is missing." if "is missing" in why else "is a link." if "is a link" in why else "does not match its checksum."
    )
