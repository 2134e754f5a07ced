"""What a probe tried, and what its heads were chosen on."""

from __future__ import annotations

from collections.abc import Sequence

from broca.evidence.ledger import DataChoice, Ledger, group_digests, look
from broca.instruments.probe.scores import TARGETS
from broca.instruments.probe.spec import Probe
from broca.items import Tree
from broca.page.words import count


def ledger(spec: Probe, shown: Sequence[Tree], held: Sequence[Tree], layers: Sequence[int]) -> Ledger:
    """The ledger of a probe.

    Args:
        spec: the probe.
        shown: the trees that were probed.
        held: those that were set aside for lesions.
        layers: the layers that were read.
    """
    looks = (
        look("targets", TARGETS, "all of them"),
        look("layers", layers, "all together" if spec.layers == "all" else "those that training rows chose"),
        look("percentages of heads", (spec.percent,)) if spec.draws else None,
        look("orders of pruning", spec.pruning.orders, "none") if spec.pruning else None,
        look("levels of pruning", spec.pruning.levels, "none") if spec.pruning else None,
        look("corruptions", spec.corruptions, "none"),
    )
    chosen = DataChoice(
        "the heads", f"{count(len(shown), 'tree')} that were probed", f"{count(len(held), 'tree')} of other theories", apart=True,
        groups=group_digests(shown),
    )  # fmt: skip
    return Ledger.of(spec, looks, [chosen] if spec.draws else [])
