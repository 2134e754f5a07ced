"""Blocks as HTML: one macro for each kind of block, in ``templates/blocks.html``."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from broca.page import words
from broca.page.blocks import Block, Chart, Image, Tree, every
from broca.page.charts import INK
from broca.page.graph import Graph
from broca.page.words import visible
from broca.reports.drawing import Figure, bundle, draw
from broca.reports.graphs import graph_picture
from broca.reports.maps import UnitMap, unit_map
from broca.reports.trees import tree_picture

STATES = ("passed", "failed", "undecided", "not tested")


class Renderer:
    """The blocks of one page as HTML; each picture is drawn once."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._drawn: dict[int, Figure | UnitMap] = {}
        self._maps = 0
        for block in every(blocks):
            if drawn := _picture(block):
                self._drawn[id(block)] = drawn
        self._macros = _templates().get_template("blocks.html").make_module({"render": self.render})

    @property
    def figures(self) -> list[Figure]:
        """Every picture that is a file of its own, in order."""
        return [each for each in self._drawn.values() if isinstance(each, Figure)]

    def render(self, blocks: Sequence[Block]) -> Markup:
        """Blocks one below the other; charts, trees and graphs that follow one another side by side."""
        out, pictures = [], []
        for block in blocks:
            if isinstance(block, Chart | Tree | Graph):
                pictures.append(self._drawn[id(block)])
                continue
            out += [*self._charts(pictures), self._one(block)]
            pictures = []
        return Markup("").join([*out, *self._charts(pictures)])

    def _charts(self, figures: Sequence[Any]) -> list[Markup]:
        return [self._macro("charts")(figures)] if figures else []

    def _one(self, block: Block) -> Markup:
        if isinstance(block, Image):
            self._maps += 1
            return self._macro("image")(block, self._drawn[id(block)], self._maps)
        return self._macro(type(block).__name__.lower())(block)

    def _macro(self, name: str) -> Any:
        return getattr(self._macros, name)


def _picture(block: Block) -> Figure | UnitMap | None:
    match block:
        case Chart():
            return draw(block.make(), block.name, alt_text=block.caption, caption=block.caption)
        case Tree():
            return tree_picture(block.rows, block.name)
        case Graph():
            return graph_picture(block)
        case Image():
            return unit_map(block.kind, block.values, block.marks)  # type: ignore[arg-type]
    return None


def page(context: dict[str, Any], renderer: Renderer, *, interactive: bool) -> str:
    """The whole page."""
    scripts = _scripts(renderer.figures) if interactive else {"bundle": "", "charts": ""}
    scripts |= _sorting()
    return _templates().get_template("page.html").render(**context, **scripts, render=renderer.render)


def overview_page(heading: str, lead: str, blocks: Sequence[Block], renderer: Renderer) -> str:
    """A page about many runs."""
    context = {"heading": heading, "lead": lead, "blocks": blocks, "render": renderer.render}
    return _templates().get_template("runs.html").render(**context, **_sorting())


def _sorting() -> dict[str, Markup]:
    """The script that sorts tables, and the digest that allows it."""
    return {"script": Markup(_script()), "script_hash": Markup(f"'sha256-{_digest(_script())}'")}  # noqa: S704 - our own


@cache
def _script() -> str:
    """What sorts tables: the one script of every page, allowed by its digest alone."""
    return (files("broca.reports") / "templates" / "tables.js").read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")


def _scripts(figures: Sequence[Figure]) -> dict[str, Any]:
    # A text that closes the script element would end it early, also inside a string of the script.
    script = bundle().replace("</script", "<\\/script").replace("<!--", "<\\!--")
    specs = {figure.name: dict(figure.spec) for figure in figures if figure.spec}
    return {"bundle": Markup(script), "charts": {"specs": specs, "ink": INK}}  # noqa: S704 - our own bundle


def _legible(value: Any) -> Any:
    """What every expression of a template passes through before it is escaped."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _state(state: str) -> str:
    """The class of a rung's state."""
    return state.replace(" ", "-") if state in STATES else "not-tested"


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("broca.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_legible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell_text": words.cell_text, "number": words.number, "state": _state}
    return environment
