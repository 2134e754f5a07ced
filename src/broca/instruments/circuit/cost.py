"""What a study of a circuit costs: every pair scored, circuits kept alone, items under every circuit, and twins."""

from __future__ import annotations

import numpy as np

from broca.evidence.trial_cost import trial_phases
from broca.instruments.circuit.pairs import PairedItems, pair_items
from broca.instruments.circuit.spec import Circuit
from broca.models.circuit.parts import circuit_parts
from broca.models.lm import LM
from broca.scoring.costs import sample_items
from broca.specs.cost import BACKWARD, Phase, Plan
from broca.specs.savings import Saving, steps
from broca.stats.faithfulness import SHARES
from broca.stats.reliability import halves
from broca.stats.stopping import fewest_draws
from broca.units.edge_paths import edge_paths

PATCHED = 2.0
"""Weight of a pass with most edges patched."""
SCORED = BACKWARD * 1.3
"""Weight of a pass with its backward pass, all of whose edges are scored."""
LEAST = 24
"""Pairs of each ability that a budget leaves, the fewest."""


def cost(spec: Circuit, lm: LM) -> Plan:
    """Readings of all texts; of draws and twins at most, and as a rule."""
    paired = {
        name: pair_items(lm, items, spec.counterfactual, spec.scorer, spec.seed, choices=spec.margin == "choices")
        for name, items in spec.abilities.items()
    }
    own, *others = paired.values()
    groups = np.array([item.cluster for item in own.items])
    first, second = (own.part(each) for each in halves(len(groups), seed=spec.seed, groups=groups))
    chosen, tested = _tokens(first), _tokens(second)
    items = (*second.items, *(item for each in others for item in each.items))
    n_edges, draws = circuit_parts(lm).graph.n_edges, spec.enough_draws(spec.draws)
    intact, *trial = trial_phases(
        lm, items, spec.scorer, lesions=4, draws=draws * (2 if others else 1), alpha=spec.level
    )
    phases = [
        intact,
        *_scoring(spec, lm, n_edges, chosen, "scoring edges in the half that chooses"),
        *_scoring(spec, lm, n_edges, tested, "scoring edges in the other half"),
        Phase("scoring the highest edges exactly", chosen, (3 + spec.rescore) * bool(spec.rescore), PATCHED),
        Phase("finding a size", chosen, (3 + len(SHARES)) * (spec.edges is None and spec.percent is None), PATCHED),
        Phase("keeping circuits", tested, 3 + len(SHARES) * (2 + spec.random_curves), PATCHED),
        # Counterfactuals run beside the texts, and are kept where there is room.
        *(_twice(each) for each in trial),
        *_scoring(spec, lm, n_edges, tested, "scoring the circuit's edges pair by pair"),
        Phase("looking where edges act", max(len(pair.clean) for pair in second.pairs), 3, SCORED),
        _paths(spec, lm, tested),
        Phase("taking edges out", tested, 2 + min(spec.minimal, n_edges), PATCHED),
        *_twins(spec, chosen + 2 * tested),
    ]
    return Plan(tuple(phase for phase in phases if phase.passes), sample_items(lm, items, spec.scorer))


def savings(spec: Circuit, lm: LM) -> tuple[Saving, ...]:  # noqa: ARG001 - as every one has it
    """What decides nothing first; then twins, draws and pairs."""
    least, most = fewest_draws(spec.level), max(map(len, spec.abilities.values()))
    found = (
        Saving("random_curves", (spec.random_curves, 0), "random circuits beside each size"),
        Saving("minimal", (spec.minimal, 0), "edges taken out one at a time"),
        Saving("twins", (spec.twins, 0), "untrained twins", ("learned",)),
        Saving("draws", steps(spec.draws, least), "matched random circuits", ("causal", "specific")),
        Saving(
            "n_items",
            steps(most, LEAST),
            "items of each ability",
            ("selective", "reliable", "causal"),
            fine=True,
        ),
    )
    return tuple(each for each in found if each.values[0] > each.values[-1])


def _tokens(paired: PairedItems) -> int:
    return sum(len(pair.clean) for pair in paired.pairs)


def _scoring(spec: Circuit, lm: LM, n_edges: int, tokens: int, name: str) -> list[Phase]:
    """Of every edge: both texts of each pair, then points with their backward passes, or a run an edge."""
    lines = {"eap": 1, "eap-ig": spec.steps, "ig-activations": spec.steps * (2 * lm.anatomy.n_layers + 1)}
    if spec.method == "exact":
        return [Phase(name, tokens, 3 + n_edges, PATCHED)]
    return [Phase(name, tokens, 2), Phase(name, tokens, lines[spec.method], SCORED)]


def _paths(spec: Circuit, lm: LM, tokens: int) -> Phase:
    """Both texts of each pair, the margins as they are, and each path by its runs."""
    runs = [
        path.runs + len(path.steps) * (spec.through == "mlps")
        for path in edge_paths(circuit_parts(lm).graph, spec.paths)
    ]
    return Phase("patching paths", tokens, (4 + sum(runs)) * bool(runs), PATCHED)


def _twice(phase: Phase) -> Phase:
    expected = None if phase.expected is None else 2 * phase.expected
    return Phase(phase.name, phase.tokens, 2 * phase.passes, phase.weight, expected)


def _twins(spec: Circuit, tokens: int) -> list[Phase]:
    """The model and its twins, by the gradient alone."""
    name, twins = "scoring untrained twins", spec.enough_twins(spec.twins)
    if not twins:
        return []
    return [
        Phase(name, tokens, 2 * (1 + twins), models=twins),
        Phase(name, tokens, 1 + twins, SCORED),
    ]
