"""What a probe tried, and what its heads were chosen on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from broca.evidence.abilities import abilities
from broca.evidence.ledger import DataChoice, Ledger, group_digests, look
from broca.evidence.overlap import OtherData
from broca.evidence.pilot import pilot_choice, pilot_data
from broca.instruments.probe.scores import TARGETS
from broca.instruments.probe.spec import Probe
from broca.items import Tree
from broca.models.lm import LM
from broca.page.words import count


def other_data(spec: Probe, held: Sequence[Tree], lm: LM) -> tuple[OtherData, OtherData]:
    """The items of each ability that could test the heads, the own one first; and those of them that were not looked at before.

    Args:
        spec: the probe.
        held: the trees that were set aside for lesions.
        lm: the model.
    """
    own = held[0].item.ability or spec.task
    asked = {own: tuple(replace(tree.item, ability=own) for tree in held)}
    data = OtherData(asked | (abilities(spec.others, {}, None) if spec.others else {}))
    return data, data.without(pilot_data([tree.item for tree in spec.pilot_trees(lm)]))


def ledger(
    spec: Probe,
    shown: Sequence[Tree],
    held: Sequence[Tree],
    layers: Sequence[int],
    data: tuple[OtherData, OtherData] | None,
) -> Ledger:
    """The ledger of a probe.

    Args:
        spec: the probe.
        shown: the trees that were probed.
        held: those that were set aside for lesions.
        layers: the layers that were read.
        data: see `other_data`; None where nothing is lesioned.
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
    beforehand = pilot_choice(spec.pilot, chosen.tested_on, *data) if data else []
    return Ledger.of(spec, looks, [chosen, *beforehand] if spec.draws else [])
