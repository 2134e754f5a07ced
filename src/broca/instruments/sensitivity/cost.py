"""What a sensitivity study costs: gradients of its samples, then items and texts under every mask."""

from __future__ import annotations

from collections.abc import Sequence

from broca.cache.cache import no_cache, silent
from broca.capture.objectives import OBJECTIVES, AnsweredQuestion
from broca.evidence.conditions import CHUNK
from broca.evidence.trial_cost import trial_phases
from broca.instruments.sensitivity.held_out import HELD_OUT
from broca.instruments.sensitivity.samples import Samples, of_items, of_texts
from broca.instruments.sensitivity.spec import Sensitivity
from broca.instruments.sensitivity.work import Work
from broca.models.lm import LM
from broca.scoring.costs import count_tokens, sample_items
from broca.specs.cost import BACKWARD, Phase, Plan, times

PRICED = 2.5
"""Weight of a pass in which every token is priced, measured on a small model."""
ALONE = 3.0
"""By how much a gradient that is kept for itself takes longer than one of many that are summed, likewise."""


def cost(spec: Sensitivity, lm: LM) -> Plan:
    """Readings of samples, items and texts; of random masks at most, and as a rule."""
    work = Work(spec, lm, no_cache, silent)
    items = tuple(item for group in work.scored_items.values() for item in group)
    fractions = len(work.fractions)
    texts = sum(len(tokens) for _, tokens in spec.reading.cut(lm, spec.texts[1]))
    swept, draws = fractions - 1, spec.enough_draws(spec.draws)
    lesions = len(spec.edits) + len(spec.sizes) + swept * (1 + spec.sweep_draws) + (len(spec.nulls) - 1) * draws
    intact, masked, *random = trial_phases(
        lm,
        items,
        spec.scorer,
        lesions=lesions,
        rewordings=work.rewordings,
        claimed=len(spec.edits),
        draws=draws,
        alpha=spec.level,
    )
    gradients = [] if spec.published is not None else [_scoring(spec, each) for each in _samples(work)]
    held = _held_out(work)
    phases = [
        intact,
        *gradients,
        Phase("choosing", count_tokens(lm, work.parts[1], spec.scorer, cell=CHUNK), 1 + fractions),
        masked,
        *random,
        Phase("predicting texts", texts, 1 + fractions + draws, PRICED),
        held,
    ]
    if spec.twins:
        once = Phase(
            "scoring untrained twins", round(sum(each.read for each in (*gradients, held))), 1, ALONE * BACKWARD
        )
        phases += times([once], spec.enough_twins(spec.twins) + 1, twins=True)
    return Plan(tuple(phases), sample_items(lm, items, spec.scorer))


def _samples(work: Work) -> list[Samples]:
    """Everything that weights are scored by."""
    spec, lm = work.spec, work.lm
    controls = [of_items(spec, lm, items, spec.n_score, name) for name, items in spec.control_items.items()]
    return [work.task, of_texts(spec, lm, spec.texts[0]), *controls]


def _scoring(spec: Sensitivity, samples: Samples) -> Phase:
    objective = OBJECTIVES[samples.objective]
    tokens = sum(len(row.ids) for asked in samples.asked for row in objective.rows(asked))
    return Phase(f"scoring weights by {samples.name}", tokens, spec.layer_groups, BACKWARD)


def _held_out(work: Work) -> Phase:
    """Gradients of held-out items and texts, and of every answer of the items."""
    spec, lm = work.spec, work.lm
    held = of_items(spec, lm, work.tested[:HELD_OUT], HELD_OUT, "held-out items")
    texts = of_texts(spec.model_copy(update={"windows": "start"}), lm, spec.texts[1][:HELD_OUT])
    once = _rows(held.asked) + sum(len(asked.question.shared) for asked in texts.asked)
    # One pass for all options of an item, and a backward pass for each.
    each = sum(_rows([asked]) * (1 + (BACKWARD - 1) * len(asked.question.options)) / BACKWARD for asked in held.asked)
    return Phase("looking at held-out gradients", round(once + each), 1, ALONE * BACKWARD)


def _rows(asked: Sequence[AnsweredQuestion]) -> int:
    """Tokens of questions, each option behind its own copy of the prompt."""
    return sum(len(one.question.shared) + len(option) - 1 for one in asked for option in one.question.options)
