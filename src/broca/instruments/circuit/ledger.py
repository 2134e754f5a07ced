"""What a study of a circuit tried, and what its edges were chosen on."""

from __future__ import annotations

from collections.abc import Sequence

from broca.evidence.ledger import DataChoice, Ledger, group_digests, look
from broca.instruments.circuit.spec import Circuit
from broca.items import Item


def ledger(spec: Circuit, choosing: Sequence[Item]) -> Ledger:
    """The ledger of a study.

    Args:
        spec: the study.
        choosing: the items that chose.
    """
    looks = (
        look("methods", (spec.method,)),
        look("rankings", (spec.ranking, "signed" if spec.ranking == "absolute" else "absolute"), spec.ranking),
        look("sizes of the circuit", (_size(spec),)),
    )
    chosen = DataChoice(
        "the edges", "half of the groups of items", "the other half", apart=True, groups=group_digests(choosing)
    )
    return Ledger.of(spec, looks, [chosen])


def _size(spec: Circuit) -> str:
    if spec.edges is not None:
        return f"{spec.edges} edges"
    if spec.percent is not None:
        return f"{spec.percent:g} percent"
    return f"the smallest that keeps {spec.faithful:.0%} of the margin"
