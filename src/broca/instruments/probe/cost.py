"""What a probe costs: its trees read by the model and by each untrained network, classifiers, and what is lesioned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from time import perf_counter

import numpy as np

from broca.capture.head_features import features
from broca.evidence.abilities import abilities
from broca.evidence.conditions import CHUNK
from broca.evidence.trial import Conduct
from broca.evidence.trial_cost import fewer_draws, no_twins, trial_phases
from broca.instruments.probe.scores import CHUNK as LABELLINGS
from broca.instruments.probe.scores import TARGETS, How, Target
from broca.instruments.probe.spec import Probe
from broca.instruments.probe.statements import Statements, is_linear
from broca.items import Tree
from broca.models.attention import check_tap
from broca.models.lm import LM
from broca.scoring import Likelihood
from broca.scoring.costs import count_tokens
from broca.specs.cost import BACKWARD, Phase, Plan, Sample, typical
from broca.specs.pooling import pooling
from broca.specs.savings import Saving, steps
from broca.stats.probing import shuffle_within

ENOUGH, LEAST = 128, 32
"""Trees that a budget takes nothing else away for, and the fewest that it leaves."""
CONTROLS = 4
"""Classifiers of each network beside the score itself: torn folds, permuted labels, the control task, another theory's tree."""


def cost(spec: Probe, lm: LM) -> Plan:
    """Readings of trees, those set aside too, and the time of classifiers."""
    shown, held = spec.split_trees(lm)
    lengths = [*map(len, lm.tokenize([tree.text for tree in shown], chat=spec.chat))]
    scorer = Likelihood(chat=spec.chat)
    wanted, tokens = pooling(spec.pooling), sum(lengths)
    reads = 1 if wanted.heads == "kept" or is_linear(wanted) else 2
    twins = spec.enough_twins(spec.twins)
    phases = [
        Phase("looking at attention", tokens, reads),
        Phase("looking at untrained twins", tokens, reads * twins, models=twins),
        Phase(
            "answering", count_tokens(lm, [tree.item for tree in shown], scorer, cell=CHUNK), 1 + len(spec.corruptions)
        ),
        *_classifying(spec, lm, Statements.of(shown)),
        *(_lesions(spec, lm, held) if held else []),
    ]
    if spec.published:
        phases.append(Phase("looking at attention as published", tokens, 1 + twins))
    some = [shown[i] for i in typical(lengths)]
    plan = tuple(each for each in phases if each.passes or each.seconds)
    return Plan(plan, Sample(sum(lengths[i] for i in typical(lengths)), lambda: _look(spec, lm, some)))


def _look(spec: Probe, lm: LM, some: Sequence[Tree]) -> object:
    return features(
        lm,
        [tree.text for tree in some],
        [tree.statements for tree in some],
        queries=[tree.query for tree in some],
        pooling=replace(pooling(spec.pooling), heads="kept", scale="none"),
        chat=spec.chat,
    )


def _classifying(spec: Probe, lm: LM, statements: Statements) -> list[Phase]:
    """Classifiers of scores, and of maps, by the time of one of random features."""
    layers = len(check_tap(lm).layers)
    places = layers * (2 + (lm.anatomy.n_heads or 0)) if spec.maps else 0
    seconds = cache(lambda: _seconds(spec, statements, places))
    return [
        Phase("probing", seconds=lambda: seconds()[0]),
        Phase("mapping layers and heads", seconds=lambda: seconds()[1]),
    ]


def _seconds(spec: Probe, statements: Statements, places: int) -> tuple[float, float]:
    """Of all scores, and of the maps of so many places."""
    how = How(spec.classifier, spec.layers, spec.folds, spec.permutations, spec.n_bootstrap, spec.seed)
    own = np.random.default_rng(0).normal(size=(len(statements.text), 1, 1))
    scores, maps, networks = 0.0, 0.0, 1 + spec.enough_twins(spec.twins)
    for name in TARGETS:
        target = Target(name, statements, own, (), how)
        if target.why_undefined is not None:
            continue
        once, labelling = _time(target)
        scores += networks * (CONTROLS * once + spec.permutations * labelling)
        maps += places * (networks * once + spec.permutations * labelling)
    return scores, maps


def _time(target: Target) -> tuple[float, float]:
    """Seconds of a classifier with its own labels, and of each further labelling."""
    mixed = shuffle_within(target.y, target.text, n=LABELLINGS, seed=0)
    start = perf_counter()
    votes = target.votes(target.own)
    target.f1(votes, target.y[None])
    once = perf_counter() - start
    target.f1(votes, mixed)
    return once, (perf_counter() - start - once) / LABELLINGS


def _lesions(spec: Probe, lm: LM, held: Sequence[Tree]) -> list[Phase]:
    """What is done to the trees that are set aside."""
    items, scorer, found = [tree.item for tree in held], Likelihood(chat=spec.chat), []
    tokens = count_tokens(lm, items, scorer, cell=CHUNK)
    if spec.pruning is not None:
        curve = len(spec.pruning.orders) * len(spec.pruning.fills) + spec.pruning.draws
        points = len(spec.pruning.modes) * len(spec.pruning.levels)
        gradient = "gradient" in spec.pruning.orders
        found += [Phase("attributing", tokens, 1, BACKWARD)] if gradient else []
        found.append(Phase("pruning heads", tokens, 1 + points * curve))
    if spec.edges:
        found.append(Phase("cutting edges", tokens, 3))
    if spec.draws:
        others = abilities(spec.others, {}, None) if spec.others else {}
        every = [*items, *(item for group in others.values() for item in group)]
        fills = Conduct().fills
        found += trial_phases(
            lm, every, scorer, lesions=len(fills), draws=spec.enough_draws(spec.draws), alpha=spec.level, fills=fills
        )
    return found


def savings(spec: Probe, lm: LM) -> tuple[Saving, ...]:
    """Corruptions, draws, trees; twins last, since a score means nothing without them."""
    shown, held = spec.split_trees(lm)
    few = tuple(n for n in steps(len(shown), LEAST) if n >= 2)
    return (
        *((Saving("corruptions", (spec.corruptions, ()), "corruptions"),) if spec.corruptions else ()),
        *(fewer_draws(spec.draws, spec.alpha) if held else ()),
        *(
            (Saving("n", few, "trees", ("selective", "reliable"), fine=True, enough=ENOUGH),)
            if len(shown) > LEAST
            else ()
        ),
        *no_twins(spec.twins),
    )
