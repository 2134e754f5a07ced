"""A circuit from a file of any kind that is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from broca.compat.circuits import interpbench, mib
from broca.errors import SelectionError
from broca.models.circuit.parts import circuit_parts
from broca.units.edge_choices import EdgeRanking

if TYPE_CHECKING:
    from broca.models.lm import LM


def read_circuit(path: str | Path, lm: LM | None = None) -> EdgeRanking:
    """Read scores of edges, and which of them are a circuit: MIB's entries (.json, .pt), or InterpBench's true edges (.pkl).

    Args:
        path: of the file.
        lm: the model that it is of. Edges into keys and values that its heads share are summed up, as one edge is here what is one for
            each head there. Without one, an entry has the shape that it says; InterpBench's edges say none.

    Raises:
        SelectionError: if the file is missing, damaged, of another kind, or of a model of another shape.
        SiteUnavailable: if the model's edges cannot be told apart.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        raise SelectionError(f"There is no circuit at {place}. Check the path.")
    graph = None if lm is None else circuit_parts(lm).graph
    if place.suffix in (".json", ".pt"):
        found = mib.read_entry(place)
        return found if graph is None else found.share(graph)
    if place.suffix == ".pkl":
        if graph is None:
            raise SelectionError(f"{place} does not say how many layers and heads its model has. Give the model.")
        truth = interpbench.read_edges(place, graph)
        return EdgeRanking(truth.on.astype("float64"), truth)
    raise SelectionError(f"{place.name} ends in {place.suffix!r}. Circuits are read from .json, .pt and .pkl.")
