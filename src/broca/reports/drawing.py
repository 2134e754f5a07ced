"""Charts made into files and into parts of a page, without a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

from broca.reports.figures import INK


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

    @property
    def inline(self) -> Markup:
        """The SVG for the page: its colours follow the page's, its size the column's."""
        svg = self.svg[self.svg.index("<svg") :]
        svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg, count=2)
        for name, colour in INK.items():
            svg = re.sub(f'"{colour}"', f'"var(--{name})"', svg, flags=re.IGNORECASE)
        # vl-convert escapes every text of a chart; the marks are ours.
        return Markup(svg)  # noqa: S704

    @property
    def vl_json(self) -> str:
        """The Vega-Lite specification with its data."""
        return json.dumps(self.spec, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def draw(chart: alt.LayerChart, name: str, *, alt_text: str, caption: str) -> Figure:
    """Turn a chart into SVG; the same chart gives the same bytes."""
    # Each part was checked when it was made.
    spec = chart.to_dict(validate=False)
    # A name may hold what a run's table says; a file's name must not.
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    return Figure(name, alt_text, caption, spec, vl_convert.vegalite_to_svg(spec))


def bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script that asks no network for anything."""
    return vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue] - its stub forgets the default
