"""What a reader sees of a circuit: its graph, what it keeps and costs, its edges, and what was shown."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl

from broca.evidence.blocks import facts, interval, table
from broca.evidence.lesion_blocks import baselines, flipped_blocks, matrix
from broca.instruments.circuit import charts
from broca.instruments.circuit.tables import AREAS, EDGES, NODES, PATHS
from broca.page.blocks import Block, Chart, Facts, Heading, Quote, Quotes, Text, Title, section
from broca.page.graph import Edge, Graph, Node
from broca.page.record import Record
from broca.page.words import count, number

DRAWN = 60
"""Edges in the picture, the highest of the circuit: more of them hide each other."""
LISTED, FEW = 40, 8
"""Edges in the table, and in the summary."""


def blocks(record: Record) -> list[Block]:
    """The page of a study of a circuit."""
    edges = record.tables.get("edges")
    pairs = facts(record).pairs
    if edges is not None:
        n, total = int(edges["circuit"].sum()), edges.height
        pairs += (("edges of the circuit", f"{number(n)} of {number(total)}"),)
    pairs += _counts(record.part("pairs"))
    parts = (
        _graph(record),
        _paths(record),
        _curves(record),
        _edges(record),
        matrix(record),
        baselines(record),
        flipped_blocks(record),
        _texts(record),
    )
    title = Title("Circuit", str(record.study.get("items") or ""))
    return [title, Facts(pairs, summary=True), *(block for part in parts for block in part)]


def _counts(pairs: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """How many pairs there are, and items that have none, by why."""
    if not pairs:
        return ()
    found = [("pairs", f"{number(pairs['chose'])} chose, {number(pairs['tested'])} tested")]
    for name, left in pairs.get("left_out", {}).items():
        found.append((f"left out of {name}", "; ".join(f"{number(n)}: {why}" for why, n in left.items())))
    return tuple(found)


def _graph(record: Record) -> list[Block]:
    edges = record.tables.get("edges")
    if edges is None:
        return []
    inside = edges.filter(pl.col("circuit"))
    own = inside.filter(pl.col("effective"))
    shown = own.sort(pl.col("score").abs(), descending=True, maintain_order=True).head(DRAWN)
    if shown.is_empty():
        return []
    left = f"; the {number(own.height - DRAWN)} weaker ones are not drawn" if own.height > DRAWN else ""
    if loose := inside.height - own.height:
        left += f", nor {number(loose)} that {'is' if loose == 1 else 'are'} on no way from the input to the logits"
    caption = (
        f"The {count(shown.height, 'strongest edge')} of the circuit{left}. Width: what the margin loses when the edge is patched; orange "
        "supports the answer, blue opposes it. Point at an edge to read it."
    )
    picture = picture_of(shown, record.tables.get("nodes"), caption)
    return section("circuit", "The circuit", picture)


def picture_of(edges: pl.DataFrame, nodes: pl.DataFrame | None, caption: str) -> Graph:
    """Some edges as a graph: the input below, then heads and MLP of each layer, the logits on top."""
    largest = float(edges["score"].abs().max() or 1.0) or 1.0  # type: ignore[arg-type]
    scores = {} if nodes is None else dict(zip(nodes["node"], nodes["score"], strict=True))
    n_layers = int(edges["reader_layer"].max() or 0)  # type: ignore[arg-type]
    drawn: dict[str, Node] = {}
    made: list[Edge] = []
    for row in edges.iter_rows(named=True):
        end = row["reader"].partition("<")[0]
        for name, layer in ((row["writer"], row["writer_layer"]), (end, row["reader_layer"])):
            said = f"{name}: {number(scores[name])} logits as a whole" if name in scores else name
            drawn.setdefault(name, Node(name, _level(name, layer, n_layers), said))
        at = f", most of it at {row['token']!r}" if row.get("token") else ""
        made.append(Edge(row["writer"], end, row["score"] / largest, f"{row['edge']}: {row['score']:.3g} logits{at}"))
    levels = ["input"]
    for layer in range(n_layers + 1):
        levels += [f"heads {layer}", f"MLP {layer}"]
    levels.append("logits")
    ordered = sorted(drawn.values(), key=lambda node: (node.level, len(node.name), node.name))
    return Graph("circuit", caption, tuple(levels), tuple(ordered), tuple(made))


def _level(name: str, layer: int, n_layers: int) -> int:
    if name == "input":
        return 0
    return 2 * n_layers + 3 if name == "logits" else 1 + 2 * layer + name.startswith("m")


def _curves(record: Record) -> list[Block]:
    curves = record.tables.get("curves")
    if curves is None:
        return []
    kept = curves.filter((pl.col("ranking") == "absolute") & (pl.col("share") < 1))
    words = (
        "Circuits of rising size kept alone, with every other edge patched: 1 is what the whole model does, 0 what is left with every edge "
        "patched. Beside them random circuits of the same size in the same layers."
    )
    caption = "Faithfulness by share of edges. " + "; ".join(
        f"{row['share']:.1%}: {number(row['faithfulness'])}" for row in kept.sort("share").iter_rows(named=True)
    )
    shown = table(
        AREAS, record.rows("areas"), "Area under the curve", ("ranking", "ranking"), ("cpr", "CPR", "column"), ("cmd", "CMD", "column"),
        caption="As MIB takes them, over nine sizes and the whole; published tables rank edges as signed for CPR and by size for CMD",
        summary=("ranking", "cpr", "cmd"),
    )  # fmt: skip
    return section(
        "curves",
        "What the circuit keeps",
        Text(words),
        Chart("faithfulness", caption, partial(charts.faithfulness, curves)),
        shown,
    )


def _edges(record: Record) -> list[Block]:
    rows = record.rows("edges")
    settings = (("edge", "edge"), ("score", "score", "column"), ("first", "chose", "column"), ("second", "tested", "column"),
                ("exact", "exact", "column"), ("t", "t", "column"), ("p_max", "p (max-T)", "p"), ("left_out", "left out", "column"))  # fmt: skip
    own = [row for row in rows if row.get("circuit")]
    shown = table(EDGES, own[:LISTED], "Edges of the circuit, the highest first", *settings, strong=("score",))
    nodes = table(
        NODES, record.rows("nodes")[:LISTED], "Parts", ("node", "part"), ("score", "score", "column"), ("circuit", "edges that leave it")
    )  # fmt: skip
    brief = _brief(own)
    return section("edges", "Its edges", brief, shown, Heading("What each part carries"), nodes)


def _paths(record: Record) -> list[Block]:
    rows = [{**row, "within": interval(row["low"], row["high"], number)} for row in record.rows("paths")]
    settings = (("path", "path"), ("loss", "loss", "column"), ("within", "interval"), ("share", "share", "column"))
    caption = "What the margin loses when a path alone is patched, in pairs that did not choose the circuit; as a share of what all edges cost"
    shown = table(
        PATHS, rows[:LISTED], "Paths", *settings, strong=("loss",), caption=caption, summary=("path", "loss", "within")
    )
    return section("paths", "Paths", shown) if shown else []


def _brief(own: list[dict[str, Any]]) -> Facts | None:
    names = ", ".join(str(row["edge"]) for row in own[:FEW])
    return Facts((("highest edges", names),), summary=True) if names else None


def _texts(record: Record) -> list[Block]:
    rows = record.rows("shown")
    quotes = tuple(
        Quote(
            str(row["text"]),
            "shown",
            facts=(
                ("counterfactual", str(row["counterfactual"])),
                ("margin", f"{row['right']!r} over {row['wrong']!r}"),
            ),
        )
        for row in rows
    )
    return section("stimuli", "What was shown", Quotes(quotes) if quotes else None)
