"""Charts made into files and into parts of a page, without a browser."""

from __future__ import annotations

import json
import logging
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
from markupsafe import Markup

from broca.errors import BrocaError
from broca.page.charts import INK
from broca.storage.child import Child, ChildError

_log = logging.getLogger(__name__)

AGAIN = "Free some memory, and draw it with: broca report RUN."
"""What to do about a chart that could not be drawn."""
_CHILD = Child("broca.reports.drawing_child", seconds=120.0)


_SPOKEN = re.compile(r' (?:role|aria-[a-z]+)="[^"<>]*"')


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart drawn once: a file that stands alone, and the same marks for the page."""

    name: str
    """Of its files, without the ending."""
    alt: str
    """What it shows, for whoever cannot see it."""
    caption: str
    spec: Mapping[str, Any]
    svg: str
    """Nothing if it could not be drawn."""
    fault: str = ""
    """Why it could not be drawn."""

    @property
    def inline(self) -> Markup:
        """The SVG for the page: its colours follow the page's, its size the column's."""
        svg = self.svg[self.svg.index("<svg") :]
        svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg, count=2)
        # What the picture shows is said once, by the frame around it.
        svg = re.sub(r"<[a-z]+ [^<>]*>", lambda tag: _SPOKEN.sub("", tag[0]), svg)
        for name, colour in INK.items():
            svg = re.sub(f'"{colour}"', f'"var(--{name})"', svg, flags=re.IGNORECASE)
        # vl-convert escapes every text of a chart; the marks are ours.
        return Markup(svg)  # noqa: S704

    @property
    def vl_json(self) -> str:
        """The Vega-Lite specification with its data."""
        return json.dumps(self.spec, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def draw(chart: alt.LayerChart, name: str, *, alt_text: str, caption: str) -> Figure:
    """Turn a chart into SVG; the same chart gives the same bytes. One that cannot be drawn is a figure without, and says why."""
    # Each part was checked when it was made.
    spec = chart.to_dict(validate=False)
    # A name may hold what a run's table says; a file's name must not.
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    try:
        answer = _CHILD.ask({"chart": spec})
    except ChildError as error:
        answer = {"error": str(error)}
    if "error" in answer:
        _log.warning("The chart %s could not be drawn: %s. %s", name, answer["error"], AGAIN)
        return Figure(name, alt_text, caption, spec, "", answer["error"])
    return Figure(name, alt_text, caption, spec, answer["text"])


FORMATS = ("pdf", "png")
"""What a figure can be written as, beside SVG."""


def convert(figure: Figure, form: str) -> bytes | None:
    """A figure in another format, drawn from its SVG, so that it looks the same; None where it could not be drawn.

    Args:
        figure: that was drawn.
        form: one of `FORMATS`.
    """
    if not figure.svg:
        return None
    try:
        answer = _CHILD.ask({"svg": figure.svg, "form": form})
    except ChildError as error:
        answer = {"error": str(error)}
    if "error" in answer:
        _log.warning("The figure %s could not be written as %s: %s. %s", figure.name, form, answer["error"], AGAIN)
        return None
    return b64decode(answer["bytes"])


def bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script that asks no network for anything.

    Raises:
        BrocaError: if its process fails.
    """
    try:
        answer = _CHILD.ask({})
    except ChildError as error:
        answer = {"error": str(error)}
    if "error" in answer:
        raise BrocaError(
            f"The scripts of interactive charts could not be had: {answer['error']}. Free some memory, or leave out --interactive."
        )
    return answer["text"]
