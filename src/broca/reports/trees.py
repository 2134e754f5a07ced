"""A reasoning tree as a picture: statements in the order of the text, what leads to what, and where the question looks.

Statements are rows. Arcs on the left lead from a premise to what takes it; the last ones end at the question, below. The badge
is the step. On the right, one cell for each layer: the darker, the more of the question's attention. A useful statement is set
in bold; a cross marks what the probe took for the other kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from broca.page.charts import INK
from broca.page.words import visible
from broca.reports.drawing import Figure

ROW, LEFT, CELL = 22, 76, 13
LETTER, NARROW, WIDE = 7.4, 130, 390
"""Width of a letter on average, and of the column of statements at least and at most."""
LETTERS = 52
"""Of a statement that are shown; the whole is in the row's title."""
MOST_LAYERS = 24
"""Cells side by side; of more layers, as many are drawn, evenly spread."""


def tree_picture(rows: Sequence[Mapping[str, Any]], name: str) -> Figure:
    """The picture of one tree.

    Args:
        rows: its rows of the table `drawn`, in the order of the text.
        name: of the file.
    """
    layers = _spread(rows[0]["layers"])
    longest = max(len(_cut(row["said"], LETTERS)) for row in rows)
    right = LEFT + max(NARROW, min(WIDE, LETTER * longest + 30))
    width, height = right + CELL * len(layers) + 16, ROW * (len(rows) + 2) + 30
    top = 24
    ends = {row["statement"]: top + ROW * i + ROW / 2 for i, row in enumerate(rows)}
    question = top + ROW * (len(rows) + 0.8)
    largest = max((value for row in rows for value in row["attention"]), default=0.0) or 1.0
    marks = [_header(layers, right)]
    for row in rows:
        marks += [_arc(ends[row["statement"]], ends[target]) for target in row["targets"] if target in ends]
        if row["last"]:
            marks.append(_arc(ends[row["statement"]], question, last=True))
        marks.append(_statement(row, ends[row["statement"]], layers, largest, right))
    answer = f"{'✓' if rows[0]['correct'] else '✕'} {_cut(rows[0]['answer'], 20)}"
    marks.append(
        f'<text x="{LEFT}" y="{question + 4:g}" font-size="13" font-style="italic" fill="{INK["ink"]}">'
        f"{_safe(_cut(rows[0]['question'], LETTERS))}</text>"
        f'<text x="{right - 8:g}" y="{question + 4:g}" font-size="13" text-anchor="end" fill="{INK["soft"]}">{_safe(answer)}</text>'
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'font-family="Helvetica, Arial, sans-serif">{"".join(marks)}</svg>'
    )
    return Figure(name, _words(rows), _words(rows), {}, svg)


def _spread(layers: Sequence[int]) -> list[tuple[int, int]]:
    """Where each drawn layer stands among those looked at, and its number."""
    n = len(layers)
    at = range(n) if n <= MOST_LAYERS else [round(i * (n - 1) / (MOST_LAYERS - 1)) for i in range(MOST_LAYERS)]
    return [(i, layers[i]) for i in at]


def _header(layers: Sequence[tuple[int, int]], x: float) -> str:
    step = max(1, -(-len(layers) // 8))
    ticks = "".join(
        f'<text x="{x + CELL * (i + 0.5):g}" y="17" font-size="10" text-anchor="middle" fill="{INK["soft"]}">{layer}</text>'
        for i, (_, layer) in enumerate(layers)
        if i % step == 0
    )
    return f'<text x="{x - 8:g}" y="17" font-size="10" text-anchor="end" fill="{INK["soft"]}">attention in layer</text>{ticks}'


def _arc(start: float, end: float, *, last: bool = False) -> str:
    """From a premise to what takes it, farther out the longer it is, with an arrow's head at its end."""
    x, out = LEFT - 26, min(44.0, 10 + 0.14 * abs(end - start))
    colour = INK["second"] if last else INK["accent"]
    return (
        f'<path d="M{x:g} {start:g} C{x - out:g} {start:g} {x - out:g} {end:g} {x - 2:g} {end:g}" fill="none" stroke="{colour}" '
        f'stroke-width="1.6"/><path d="M{x - 7:g} {end - 4:g} L{x:g} {end:g} L{x - 7:g} {end + 4:g} Z" fill="{colour}"/>'
    )


def _statement(
    row: Mapping[str, Any], y: float, layers: Sequence[tuple[int, int]], largest: float, right: float
) -> str:
    useful = row["height"] > 0
    parts = [f"<g><title>{_safe(row['said'])}</title>"]
    if useful:
        parts.append(
            f'<circle cx="{LEFT - 14}" cy="{y:g}" r="8" fill="{INK["accent"]}" opacity="0.9"/><text x="{LEFT - 14}" y="{y + 4:g}" '
            f'font-size="11" font-weight="700" text-anchor="middle" fill="{INK["ink"]}">{row["height"]}</text>'
        )
    weight, ink = (' font-weight="700"', INK["ink"]) if useful else ("", INK["soft"])
    wrong = "" if bool(row["found_useful"]) == useful else " ✗"
    parts.append(
        f'<text x="{LEFT}" y="{y + 4:g}" font-size="13"{weight} fill="{ink}">{_safe(_cut(row["said"], LETTERS) + wrong)}</text>'
    )
    for i, (at, layer) in enumerate(layers):
        share = max(0.0, min(1.0, row["attention"][at] / largest))
        parts.append(
            f'<rect x="{right + CELL * i:g}" y="{y - ROW / 2 + 2:g}" width="{CELL - 1}" height="{ROW - 4}" rx="2" '
            f'fill="{INK["second"]}" fill-opacity="{0.05 + 0.95 * share:.3f}"><title>layer {layer}: {row["attention"][at]:.3f}</title></rect>'
        )
    return "".join([*parts, "</g>"])


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _safe(text: str) -> str:
    return escape(visible(text))


def _words(rows: Sequence[Mapping[str, Any]]) -> str:
    """The picture in a sentence or two."""
    useful = [row for row in rows if row["height"] > 0]
    found = sum(bool(row["found_useful"]) for row in useful)
    taken = sum(bool(row["found_useful"]) for row in rows) - found
    steps = [row for row in useful if row["found_step"] is not None]
    right = sum(row["found_step"] == row["height"] for row in steps)
    text = (
        f"{rows[0]['id']}: {len(useful)} of {len(rows)} statements are useful; from attention the probe found {found} of them, and took "
        f"{taken} others for useful."
    )
    if steps:
        text += f" It put {right} of {len(steps)} in their step."
    return visible(text + (" The model’s answer is right." if rows[0]["correct"] else " The model’s answer is wrong."))
