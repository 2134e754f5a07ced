"""What the test of a direction costs: its contrast, layers that are tried, items at every dose and under random directions, twins."""

from __future__ import annotations

from broca.evidence.conditions import CHUNK
from broca.evidence.steering import STEPS, WINDOW
from broca.evidence.stimuli import tokenize_contrast
from broca.instruments.direction.choosing import Parts, candidates, fluency_of
from broca.instruments.direction.source import places
from broca.instruments.direction.spec import DirectionTest
from broca.models.lm import LM
from broca.scoring import chat_of
from broca.scoring.costs import count_tokens, sample_items
from broca.specs.cost import Phase, Plan, times
from broca.stats.stopping import operation, stopping_rule


def cost(spec: DirectionTest, lm: LM) -> Plan:
    """Readings of stimuli, texts and items; of random directions at most, and as a rule."""
    own = next(iter(spec.abilities))
    parts = Parts.of(spec.abilities[own], spec.seed)
    others = [item for name, items in spec.abilities.items() if name != own for item in items]
    tested = [*parts.testing, *others]
    where = places(spec, lm)
    layers = len(candidates(spec, where, lm.anatomy.n_layers))
    n = {name: count_tokens(lm, items, spec.scorer, cell=CHUNK) for name, items in
         (("choosing", parts.choosing), ("own", parts.testing), ("tested", tested))}  # fmt: skip
    reading = _reading(spec, lm, parts)
    windows = sum(len(tokens) for _, tokens in WINDOW.cut(lm, fluency_of(spec, lm).texts))
    doses = len({*spec.doses}) + 4
    phases = [
        Phase("scoring the intact model", n["tested"]),
        reading,
        Phase("choosing a layer", n["choosing"], 2 * layers + 1),
        Phase("taking perplexities", windows, 2 * layers * STEPS + layers + doses),
        Phase("steering", n["tested"], 2 * (1 + (1 + spec.fits) * spec.enough_draws(spec.beside))),
    ]
    if draws := spec.enough_draws(spec.draws):
        usual = operation(stopping_rule(spec.level, draws=draws)).draws or draws
        phases.append(Phase("steering by random directions", n["tested"], 2 * draws, expected=2 * usual))
    phases.append(Phase("steering by doses", n["own"], doses + spec.dose_draws * len(spec.doses)))
    if spec.max_new_tokens:
        prompts = len(spec.prompts) or 4
        phases.append(Phase("writing text", prompts * (8 + spec.max_new_tokens), 5))
    if spec.twins and spec.fits:
        # Beside untrained twins there is one with its weights in disorder.
        phases += times([reading], spec.enough_twins(spec.twins) + 1, name="fitting in untrained twins", twins=True)
    return Plan(tuple(phases), sample_items(lm, tested, spec.scorer))


def _reading(spec: DirectionTest, lm: LM, parts: Parts) -> Phase:
    """What is read to fit; or, of a direction that is given, to know how what stands at its sites varies."""
    if not spec.fits:
        prompts = lm.tokenize([item.content for item in parts.choosing], chat=chat_of(spec.scorer))
        return Phase("reading prompts", sum(map(len, prompts)), 2)
    sides = tokenize_contrast(spec.stimuli, lm, chat=spec.chat, truncate=spec.truncate, seed=spec.seed)
    return Phase("reading the contrast", sum(len(each) for side in sides for each in side.tokens), 1.3)
