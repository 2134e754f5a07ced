"""A layered graph as a picture: the first level at the bottom, edges as wide as they are strong, their tips for the pointer.

Colours are told by sign: orange supports, blue opposes. Every text may be a stranger's, and is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from broca.page.charts import INK
from broca.page.graph import Edge, Graph, Node
from broca.page.words import visible
from broca.reports.drawing import Figure

ROW, COLUMN, LEFT, HALF = 46, 56, 78, 9
"""Height of a level, width of a node's place, width of the levels' names, and half the height of a node."""
LETTER = 6.4
"""Width of a letter of a node's name, on average."""
THIN, THICK = 0.7, 6.0
"""Width of the weakest and of the strongest edge."""

Place = tuple[float, float]


def graph_picture(graph: Graph) -> Figure:
    """The picture of a graph; edges of nodes that are not there are left out."""
    rows = sorted({node.level for node in graph.nodes})
    widest = max((sum(node.level == row for node in graph.nodes) for row in rows), default=1)
    width, height = LEFT + COLUMN * max(widest, 6) + 16, ROW * len(rows) + 24
    places: dict[str, Place] = {}
    for at, row in enumerate(rows):
        own = [node for node in graph.nodes if node.level == row]
        step = (width - LEFT - 16) / len(own)
        y = height - 12 - ROW * (at + 0.5)
        places |= {node.name: (LEFT + step * (i + 0.5), y) for i, node in enumerate(own)}
    marks = [_level(graph.levels[row], height - 12 - ROW * (at + 0.5)) for at, row in enumerate(rows)]
    known = [edge for edge in graph.edges if edge.start in places and edge.end in places]
    marks += [_edge(edge, places) for edge in sorted(known, key=lambda edge: abs(edge.weight))]
    marks += [_node(node, places[node.name]) for node in graph.nodes]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'font-family="Helvetica, Arial, sans-serif">{"".join(marks)}</svg>'
    )
    caption = visible(graph.caption)
    return Figure(graph.name, caption, caption, {}, svg)


def _level(name: str, y: float) -> str:
    return f'<text x="{LEFT - 10}" y="{y + 4:g}" font-size="11" text-anchor="end" fill="{INK["soft"]}">{_safe(name)}</text>'


def _edge(edge: Edge, places: Mapping[str, Place]) -> str:
    (x, y), (to_x, to_y) = places[edge.start], places[edge.end]
    start, end = y - HALF, to_y + HALF
    middle = (start + end) / 2
    strength = min(1.0, abs(edge.weight))
    colour = INK["accent"] if edge.weight >= 0 else INK["second"]
    return (
        f'<path d="M{x:g} {start:g} C{x:g} {middle:g} {to_x:g} {middle:g} {to_x:g} {end:g}" fill="none" stroke="{colour}" '
        f'stroke-width="{THIN + (THICK - THIN) * strength:.2f}" stroke-opacity="{0.35 + 0.55 * strength:.2f}">'
        f"<title>{_safe(edge.tip or f'{edge.start} to {edge.end}')}</title></path>"
    )


def _node(node: Node, place: Place) -> str:
    x, y = place
    wide = max(24.0, LETTER * len(node.name) + 10)
    return (
        f'<g><title>{_safe(node.tip or node.name)}</title><rect x="{x - wide / 2:g}" y="{y - HALF:g}" width="{wide:g}" height="{2 * HALF}" '
        f'rx="4" fill="{INK["line"]}" stroke="{INK["soft"]}"/><text x="{x:g}" y="{y + 4:g}" font-size="11" text-anchor="middle" '
        f'fill="{INK["ink"]}">{_safe(node.name)}</text></g>'
    )


def _safe(text: str) -> str:
    return escape(visible(text))
