"""A run made into one HTML file: read, drawn, written, offline.

The same run gives the same bytes. Nothing is fetched, now or when the page is opened: its own content security policy
forbids it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from broca.page.blocks import Block, Facts, Title
from broca.page.record import Record
from broca.page.words import finite, number, points
from broca.reports.contents import contents
from broca.reports.html import Renderer, page
from broca.runs.reading import version_note
from broca.runs.record import read_record
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
        if figure.svg:
            write(folder / f"{figure.name}.svg", figure.svg.encode("utf-8"))
        if figure.spec:
            write(folder / f"{figure.name}.vl.json", figure.vl_json.encode("utf-8"))
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
        "claim": str(record.result.get("claim") or ""),
        "estimate": estimate(record.result),
        "facts": [block for block in blocks if isinstance(block, Facts)],
        "blocks": [block for block in blocks if not isinstance(block, Title | Facts)],
    }


def estimate(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """The number behind the claim, with its interval; None where the run has none."""
    value = result.get("estimate")
    if not isinstance(value, Mapping) or not finite(value.get("value")):
        return None
    low, high = value.get("low"), value.get("high")
    shares = value.get("unit") == "accuracy"
    show = points if shares else number
    return {
        "value": show(value["value"]),
        "interval": f"{show(low)} to {show(high)}" if finite(low) and finite(high) else "",
        "unit": "points of accuracy" if shares else str(value.get("unit") or ""),
        "n": number(value["n"]) if finite(value.get("n")) else "",
    }


def doubt_text(why: str) -> str:
    """What is wrong with a file, in few words."""
    return (
        "is missing." if "is missing" in why else "is a link." if "is a link" in why else "does not match its checksum."
    )
