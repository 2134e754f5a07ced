"""What a sensitivity study costs: gradients of its samples, then items and texts under every mask."""

from __future__ import annotations

from dataclasses import replace

from broca.cache.cache import no_cache, silent
from broca.capture.objectives import OBJECTIVES, Against, AnsweredQuestion, Objective
from broca.evidence.conditions import CHUNK
from broca.evidence.trial_cost import fewer_draws, fewer_items, first_fill, no_twins, trial_phases, trial_power
from broca.instruments.sensitivity.findings import PROFILED
from broca.instruments.sensitivity.held_out import HELD_OUT
from broca.instruments.sensitivity.samples import Samples, of_items, of_texts
from broca.instruments.sensitivity.spec import Sensitivity
from broca.instruments.sensitivity.work import Work
from broca.models.lm import LM
from broca.scoring.costs import count_tokens, sample_items
from broca.specs.cost import BACKWARD, Phase, Plan, times
from broca.specs.savings import Saving

PRICED = 2.5
"""Weight of a pass in which every token is priced, measured on a small model."""
ALONE = 3.0
"""By how much a gradient that is kept for itself takes longer than one of many that are summed, likewise."""
FEWEST_READ = 10
"""Texts by which perplexities with a mask and without are still compared."""


def cost(spec: Sensitivity, lm: LM) -> Plan:
    """Readings of samples, items and texts; of random masks at most, and as a rule."""
    work = Work(spec, lm, no_cache, silent)
    items = tuple(item for group in work.scored_items.values() for item in group)
    fractions = len(work.fractions)
    texts = sum(len(tokens) for _, tokens in spec.reading.cut(lm, spec.texts[1]))
    swept, draws = fractions - 1, spec.enough_draws(spec.draws)
    lesions = len(spec.edits) + len(spec.sizes) + swept * (1 + spec.sweep_draws) + (len(spec.nulls) - 1) * draws
    intact, *rest = trial_phases(
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
    held, answers = _held_out(work)
    phases = [
        intact,
        *gradients,
        Phase("choosing", count_tokens(lm, work.parts[1], spec.scorer, cell=CHUNK), 1 + fractions),
        *rest,
        Phase("predicting texts", texts, 1 + fractions + draws, PRICED),
        held,
        # The model is looked at once more where twins are.
        replace(answers, passes=1 + bool(spec.twins)),
        _profile(work),
    ]
    if spec.twins:
        once = [*gradients, held, answers]
        read = round(sum(each.read for each in once))
        weight = sum(each.read * max(each.weight, ALONE * BACKWARD) for each in once) / max(1, read)
        twin = Phase("scoring untrained twins", read, 1, weight)
        phases += times([twin], spec.enough_twins(spec.twins) + 1, twins=True)
    return Plan(tuple(phases), sample_items(lm, items, spec.scorer))


def _samples(work: Work) -> list[Samples]:
    """Everything that weights are scored by."""
    spec, lm = work.spec, work.lm
    controls = [of_items(spec, lm, items, spec.n_score, name) for name, items in spec.control_items.items()]
    return [work.task, of_texts(spec, lm, spec.texts[0]), *controls]


def _scoring(spec: Sensitivity, samples: Samples) -> Phase:
    return Phase(f"scoring weights by {samples.name}", _tokens(samples), spec.layer_groups, BACKWARD)


def _held_out(work: Work) -> tuple[Phase, Phase]:
    """Gradients of held-out items and texts, and of every answer of the items."""
    spec, lm = work.spec, work.lm
    held = of_items(spec, lm, work.own_items[:HELD_OUT], HELD_OUT, "held-out items")
    texts = of_texts(spec.model_copy(update={"windows": "start"}), lm, spec.texts[1][:HELD_OUT])
    several = all(len(asked.question.options) > 1 for asked in held.asked)
    every = [_rows(asked, Against()) for asked in held.asked] if several else []
    # One pass for all options of an item, and a backward pass for each.
    passes = sum(
        tokens * (1 + (BACKWARD - 1) * len(asked.question.options))
        for tokens, asked in zip(every, held.asked, strict=False)
    )
    return (
        Phase("looking at held-out gradients", _tokens(held) + _tokens(texts), 1, ALONE * BACKWARD),
        Phase("looking at gradients of every answer", sum(every), 1, ALONE * passes / max(1, sum(every))),
    )


def _tokens(samples: Samples) -> int:
    """That are read of samples once."""
    return sum(_rows(asked, OBJECTIVES[samples.objective]) for asked in samples.asked)


def _rows(asked: AnsweredQuestion, objective: Objective) -> int:
    """Tokens of what an objective reads of a question."""
    return sum(len(row.ids) for row in objective.rows(asked))


def _profile(work: Work) -> Phase:
    """What becomes of queries, keys and attention sinks, with the mask and without."""
    texts = [text.text for text in work.spec.texts[1][:PROFILED]]
    return Phase("looking at what is masked", sum(map(len, work.lm.tokenize(texts, truncate=work.spec.window))), 5)


def savings(spec: Sensitivity, lm: LM) -> tuple[Saving, ...]:  # noqa: ARG001 - as every one has it
    """Random masks at other fractions, texts to predict, random masks, twins, items, families of random masks, edits."""
    abilities, tested = [*spec.abilities.values()], spec.shares[2] / sum(spec.shares)
    swept = (
        (Saving("sweep_draws", (spec.sweep_draws, 0), "random masks of other fractions"),) if spec.sweep_draws else ()
    )
    joined = spec.perplexity_source is not None and spec.reading.texts == "joined"  # then all texts are read
    read = (
        (Saving("n_read", (spec.n_read, FEWEST_READ), "texts to predict", ("specific",)),)
        if spec.n_read > FEWEST_READ and not joined
        else ()
    )
    return (
        *swept,
        *read,
        *fewer_draws(spec.draws, spec.alpha, what="random masks of each family"),
        *no_twins(spec.twins),
        *fewer_items(abilities[0], max(map(len, abilities)), spec.level, share=tested),
        *first_fill(spec.nulls, field="nulls", what="families of random masks"),
        *first_fill(spec.edits, field="edits", what="edits"),
    )


def power(spec: Sensitivity, lm: LM) -> float:
    """See `trial_power`: of the items that test."""
    abilities = Work(spec, lm, no_cache, silent).scored_items
    draws = spec.enough_draws(spec.draws)
    return trial_power(abilities, alpha=spec.alpha, claims=spec.claims, draws=draws, fills=len(spec.edits))
