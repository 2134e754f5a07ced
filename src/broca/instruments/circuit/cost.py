"""What a study of a circuit costs: every pair scored, circuits kept alone, items under every circuit, and twins."""

from __future__ import annotations

from broca.evidence.trial_cost import trial_phases
from broca.instruments.circuit.scores import CHUNK
from broca.instruments.circuit.spec import Circuit
from broca.models.circuit.parts import circuit_parts
from broca.models.lm import LM
from broca.scoring.costs import sample_items
from broca.specs.cost import BACKWARD, Phase, Plan
from broca.stats.faithfulness import SHARES

PATCHED = 2.5
"""Weight of a pass with most edges patched, measured on a model of 12 layers and 12 heads."""
SCORED = 1.3
"""By what scoring every edge makes a backward pass longer, measured there too."""


def cost(spec: Circuit, lm: LM) -> Plan:
    """Readings of all texts; of draws and twins at most, and as a rule."""
    own = next(iter(spec.abilities.values()))
    tokens = sum(map(len, lm.tokenize([item.content for item in own], chat=spec.chat)))
    half = tokens // 2
    items = (*own[len(own) // 2 :], *(item for name in list(spec.abilities)[1:] for item in spec.abilities[name]))
    n_edges = circuit_parts(lm).graph.n_edges
    passes = {
        "eap": 1,
        "eap-ig": spec.steps,
        "ig-activations": spec.steps * (2 * lm.anatomy.n_layers + 1),
        "exact": 0,
    }[spec.method]
    scoring = 2 + passes * BACKWARD * SCORED + (n_edges if spec.method == "exact" else 0)
    sizes = len(SHARES)
    kept = 3 + 2 * sizes + sizes * spec.random_curves + min(spec.minimal, n_edges)
    twins = spec.enough_twins(spec.twins)
    intact, *trial = trial_phases(
        lm, items, spec.scorer, lesions=4, draws=spec.enough_draws(spec.draws), alpha=spec.level
    )
    phases = [
        intact,
        Phase("scoring edges", tokens, scoring),
        Phase("scoring the highest edges exactly", half, spec.rescore),
        Phase("finding a size", half, sizes * PATCHED),
        Phase("keeping circuits", half, kept * PATCHED),
        *(Phase(each.name, each.tokens, each.passes, each.weight * PATCHED, each.expected) for each in trial),
        Phase("scoring the circuit's edges pair by pair", half, scoring),
        Phase("scoring untrained twins", tokens, (1 + twins) * (2 + BACKWARD * SCORED), models=twins),
    ]
    return Plan(tuple(phase for phase in phases if phase.passes), sample_items(lm, items[:CHUNK], spec.scorer))
