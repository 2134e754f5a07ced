"""What a localizer costs: its stimuli, once on the model and on each twin, those of further contrasts, and its arrangements."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from broca.cache.cache import no_cache, silent
from broca.capture.activations import pooled_shards
from broca.evidence import resampling
from broca.evidence.features import feature_phases
from broca.evidence.stimuli import TokenizedSide, tokenize_contrast
from broca.evidence.trial_cost import no_twins
from broca.instruments.localize.run import places
from broca.instruments.localize.spec import Localize
from broca.models.lm import LM
from broca.models.pool import Pool
from broca.sites import Site
from broca.specs.cost import Phase, Plan, Sample, times, typical
from broca.specs.savings import Saving

TRIED = 40
"""Arrangements that are timed."""


def cost(spec: Localize, lm: LM) -> Plan:
    """Readings of all stimuli, and the time of arrangements."""
    where, _ = places(spec, lm)
    sides = _sides(spec, lm)
    tokens = [each for side in sides for each in side.tokens]
    look = Phase("localizing", sum(map(len, tokens)))
    each_time = [look, *feature_phases(tokens, where)]
    phases = [*each_time]
    if spec.permutations:
        phases.append(Phase("shuffling", seconds=lambda: _shuffling(spec, lm, sides, where)))
    for name in spec.also:
        other = _sides(spec.alone.model_copy(update={"contrast": name, "options": {}}), lm)
        shown = [each for side in other for each in side.tokens]
        once = [Phase("", sum(map(len, shown))), *feature_phases(shown, where)]
        phases += times(once, 1, name="localizing with other stimuli")
    if spec.twins:
        # Beside untrained twins there is one with its weights in disorder.
        phases += times(each_time, spec.enough_twins(spec.twins) + 1, name="localizing in untrained twins", twins=True)
    some = [tokens[i] for i in typical([len(each) for each in tokens])]
    pool = Pool(spec.pool, spec.bos, spec.sinks or 0, spec.magnitude, spec.images)
    return Plan(tuple(phases), Sample(sum(map(len, some)), lambda: [*pooled_shards(lm, some, where, pool=pool)]))


def _sides(spec: Localize, lm: LM) -> tuple[TokenizedSide, TokenizedSide]:
    return tokenize_contrast(spec.stimuli, lm, chat=spec.chat, truncate=spec.truncate, seed=spec.seed)


def _shuffling(spec: Localize, lm: LM, sides: tuple[TokenizedSide, TokenizedSide], where: Sequence[Site]) -> float:
    """Seconds of all arrangements at all sites, by a few of them at one, of random numbers."""
    site, draw = where[0], np.random.default_rng(0)
    values = [{site: draw.normal(size=(len(side.tokens), lm.anatomy.width(site)))} for side in sides]
    heads = {site: lm.anatomy.head_width(site)} if spec.grain == "head" else None
    start = perf_counter()
    resampling.shuffle(
        lm, sides, (values[0], values[1]), heads, covariates=None, n=TRIED, seed=spec.seed, alpha=0.5, cache=no_cache,
        progress=silent,
    )  # fmt: skip
    return (perf_counter() - start) * len(where) * spec.permutations / TRIED


def savings(spec: Localize, lm: LM) -> tuple[Saving, ...]:  # noqa: ARG001 - as every one has it
    """Further contrasts and twins: what else it reads, it needs."""
    also = (Saving("also", (spec.also, ()), "further contrasts"),) if spec.also else ()
    return (*also, *no_twins(spec.twins))
