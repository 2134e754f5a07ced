"""What a self-test costs: the reference texts, once for each unit that is planted or ablated, and the stimuli, for each method."""

from __future__ import annotations

from broca.capture.metrics import metric_values
from broca.instruments.selftest.spec import Selftest
from broca.instruments.selftest.truth import set_up
from broca.models.lm import LM
from broca.organisms.planting import ROUNDS
from broca.specs.cost import Phase, Plan, Sample
from broca.specs.savings import Saving, steps

RIVALS = 28
"""The fewest that a budget leaves."""
METHODS, BRIEF = 10, 4
"""Passes over both sides of the stimuli that the methods take in all, and those of the power surface; a backward pass counts as two."""


def cost(spec: Selftest, lm: LM) -> Plan:
    """Readings of the reference texts and of the stimuli."""
    ground = set_up(spec, lm)
    reference = sum(map(len, ground.reference))
    trials = 1 + len([d for d in spec.ds if d != spec.d])
    ablated = 8 * spec.pairs + spec.rivals
    shown = sum(map(len, (*ground.positive, *ground.negative)))
    both = shown / len(ground.positive)
    phases = [
        Phase("planting units", reference, trials * ROUNDS * (4 * spec.pairs + 1)),
        Phase("ablating units", reference, (trials + 1) * ablated),
        Phase("ranking units", round(both * spec.n), METHODS),
    ]
    if spec.ds or spec.ns:
        sizes = sum(spec.ns or (spec.n,))
        phases.append(Phase("ranking for the power surface", round(both * sizes), BRIEF * max(1, len(spec.ds))))
    return Plan(tuple(phases), Sample(reference, lambda: metric_values(lm, ground.reference, ground.metric)))


def savings(spec: Selftest, lm: LM) -> tuple[Saving, ...]:  # noqa: ARG001 - as every one has it
    """The power surface, and rivals."""
    ds, ns = ((name, getattr(spec, name)) for name in ("ds", "ns"))
    return (
        *(Saving(name, (values, ()), f"{name} of the power surface") for name, values in (ds, ns) if values),
        *((Saving("rivals", steps(spec.rivals, RIVALS), "rivals", fine=True),) if spec.rivals > RIVALS else ()),
    )
