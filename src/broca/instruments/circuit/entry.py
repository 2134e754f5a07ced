"""A ranking of edges as an entry of MIB's circuit track: one JSON file in a folder that is called after task and model.

Keys and values of shared heads are one edge here and one for each query head there: its score is dealt evenly among them, so that they sum
to it. The file holds every edge, and marks the circuit's as in the graph.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from broca.errors import SpecError
from broca.storage import probe, write_json
from broca.units.graph import EdgeGraph

MODELS = {
    "gpt2": "gpt2",
    "gpt2-small": "gpt2",
    "qwen2.5-0.5b": "qwen2.5",
    "gemma-2-2b": "gemma2",
    "llama-3.1-8b": "llama3",
}
"""MIB's names of the models that its circuit track is about; another of their families is another model."""


def check_entry(study: Any, where: tuple[str, Path]) -> None:
    """Refuse a folder that cannot be written, before anything is computed.

    Raises:
        SpecError: if there is something at the folder that is none.
    """
    del study
    folder = where[1]
    if folder.is_file():
        raise SpecError(f"{folder} is a file. Give a folder for the entry.")
    probe(folder, folder=True)


def write_entry(run: Any, where: tuple[str, Path]) -> dict[str, str]:
    """Write the entry of a finished run; where it is, by name."""
    study, model = run.spec["study"], run.result["model"]
    task = Path(str(study.get("items", "ioi"))).stem.replace("/", "-")
    folder = where[1] / f"{task}_{short_name(str(model['name']))}"
    path = folder / "importances.json"
    write_json(path, entry(run.tables["edges"].to_dicts(), run.result["graph"], int(model["d_model"])))
    return {"entry": str(path)}


def entry(rows: list[dict[str, Any]], shape: Any, width: int) -> dict[str, Any]:
    """The entry of scored edges.

    Args:
        rows: of the table `edges`.
        shape: heads, groups and parallel, as a result of a circuit says them.
        width: of the residual stream.
    """
    graph = EdgeGraph(int(shape["heads"]), int(shape["groups"]), tuple(map(bool, shape["parallel"])))
    share = graph.n_heads // graph.n_groups
    edges: dict[str, dict[str, Any]] = {}
    inside: set[str] = {"input", "logits"}
    for row in rows:
        names = _by_query_head(row["edge"], share)
        for name in names:
            edges[name] = {"score": float(row["score"]) / len(names), "in_graph": bool(row["circuit"])}
            if row["circuit"]:
                writer, _, reader = name.partition("->")
                inside |= {writer, reader.partition("<")[0]}
    return {
        "cfg": {
            "n_layers": graph.n_layers,
            "n_heads": graph.n_heads,
            "parallel_attn_mlp": all(graph.parallel),
            "d_model": width,
        },
        "nodes": {name: {"in_graph": name in inside} for name in (*graph.writers, "logits")},
        "edges": edges,
    }


def _by_query_head(edge: str, share: int) -> list[str]:
    """The edges of query heads that an edge into a shared key or value stands for."""
    start, group, rest = edge.partition(".g")
    if not group:
        return [edge]
    number, _, kind = rest.partition("<")
    return [f"{start}.h{int(number) * share + i}<{kind}" for i in range(share)]


def short_name(name: str) -> str:
    """MIB's name of a model, where it has one; else the last part of its own."""
    last = name.rstrip("/").rpartition("/")[2].lower()
    return MODELS.get(last, last)
