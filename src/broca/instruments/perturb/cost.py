"""What a study of perturbations costs: every text asked, pairs compared, and as many cases patched as there may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from time import perf_counter

from broca.errors import StimulusError
from broca.evidence.conditions import CHUNK
from broca.evidence.trial_cost import fewer_draws, no_twins
from broca.instruments.perturb.cases import CLASSES
from broca.instruments.perturb.grid import KINDS
from broca.instruments.perturb.selection import ENOUGH_CASES
from broca.instruments.perturb.spec import Perturb
from broca.instruments.perturb.stimuli import StudyTexts, Way, source_of, way_for
from broca.instruments.perturb.unit_effects import SITE
from broca.items import Item, Pair, Text
from broca.models.lm import LM
from broca.scoring import Likelihood
from broca.scoring.costs import count_tokens, sample_items
from broca.sites import Site
from broca.specs.cost import BACKWARD, Phase, Plan, Sample, typical
from broca.specs.savings import Saving, steps
from broca.stats.stopping import operation, stopping_rule

ENOUGH, LEAST, COMPARED_LEAST = 60, 20, 8
"""Texts that a budget takes nothing else away for, the fewest that it leaves, and the fewest pairs that are compared."""
MASSIVE = 8
"""Clean texts of each kind in which massive coordinates are looked for."""
TRIED = 4
"""Texts whose controls are timed."""
PART = 0.5
"""Share of the layers that a patch reruns, on average over those of a model."""
DONORS = 2
"""Passes over all cases that a grid of patches begins with: of the run that is patched, and of the one that gives."""
LOOKS = 5
"""Passes at most over texts whose features are measured and quoted: see `broca.evidence.features.feature_phases`."""
COMPARED = 4.0
"""Weight of a pass of which every site and all attention are compared, measured on a small model."""


def cost(spec: Perturb, lm: LM) -> Plan:
    """Readings of all texts; of patches at most, since nobody knows yet which answers turn."""
    texts = spec.texts(None)
    way: Way = way_for(texts) if spec.answers == "auto" else spec.answers
    clean = [pair.clean for pair in texts.clean.values()]
    lengths = [*map(len, lm.tokenize([pair.perturbed for pair in texts.pairs], chat=spec.chat))]
    if way == "choices":
        asked, sample = _by_choices(spec, lm, texts)
    else:
        asked, sample = _by_generation(spec, lm, [*clean, *(pair.perturbed for pair in texts.pairs)])
    # A control for each pair is about as long as the pair's perturbed text.
    phases = [Phase("asking", asked), Phase("asking controls", sum(lengths) * spec.controls)]
    if spec.compare:
        kinds = [[n for n, pair in zip(lengths, texts.pairs, strict=True) if pair.kind == kind] for kind in texts.kinds]
        compared = 2 * sum(sum(some[: spec.compare]) for some in kinds)
        phases.append(Phase("comparing runs", compared, 1, COMPARED))
        phases.append(Phase("looking for massive coordinates", compared, 0.5 * min(1, MASSIVE / spec.compare)))
    if spec.probes:
        phases.append(Phase("probing", 2 * sum(lengths)))
    if spec.cases and lengths:
        n = min(spec.cases, len(lengths))
        behind = sum(map(_share_behind, texts.pairs)) / len(lengths)
        phases += _Patching(spec, lm, n, round(n * sum(lengths) / len(lengths)), behind, asked).phases
        phases.append(Phase("reading tokens", sum(sorted(lengths)[-spec.examples :]) if spec.examples else 0, 2))
    if spec.controls and spec.rewriter is None:
        phases.insert(0, Phase("making texts and controls", seconds=lambda: _making(spec, lm, len(clean))))
    return Plan(tuple(each for each in phases if each.tokens or each.seconds), sample)


def _share_behind(pair: Pair) -> float:
    """Share of a text from its first edit on."""
    clean, perturbed = str(pair.clean), str(pair.perturbed)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(clean, perturbed, strict=False)))
    return 1 - same / max(1, len(clean))


def _making(spec: Perturb, lm: LM, n: int) -> float:
    """Seconds of finding controls for n texts, by a few of them; 0 where none of these can have any."""
    few, start = min(TRIED, n), perf_counter()
    try:
        spec.model_copy(update={"n_items": few}).texts(lm)
    except StimulusError:  # so few may have no word to edit
        return 0.0
    return (perf_counter() - start) * n / few


def _by_choices(spec: Perturb, lm: LM, texts: StudyTexts) -> tuple[int, Sample]:
    clean = [*texts.items.values()]
    turned = [replace(texts.items[source_of(pair)], id=pair.id, prompt=pair.perturbed) for pair in texts.pairs]
    items: list[Item] = [*clean, *turned]
    scorer = Likelihood(chat=spec.chat)
    return count_tokens(lm, items, scorer, cell=CHUNK), sample_items(lm, items, scorer)


def _by_generation(spec: Perturb, lm: LM, prompts: Sequence[Text]) -> tuple[int, Sample]:
    lengths = [len(tokens) + spec.max_new_tokens - 1 for tokens in lm.tokenize(prompts, chat=spec.chat)]
    chosen = typical(lengths)
    some = [prompts[i] for i in chosen]

    def generate() -> object:
        return lm.generate(some, max_new_tokens=spec.max_new_tokens, chat=spec.chat)

    return sum(lengths), Sample(sum(lengths[i] for i in chosen), generate)


@dataclass(frozen=True, slots=True)
class _Patching:
    """Patches of so many cases."""

    spec: Perturb
    lm: LM
    cases: int
    tokens: int
    """Of all of them."""
    behind: float
    """Share of the tokens from the edited word on."""
    asked: int
    """Tokens of all texts, which each untrained twin is asked anew."""

    @property
    def phases(self) -> list[Phase]:
        """Grid, patterns and the choice."""
        layers = self.lm.anatomy.n_layers
        cells = len(KINDS) * layers * len(CLASSES)
        # back, from other texts, and elsewhere: two classes of tokens, two, and one
        beside = 5 * layers
        itself = cells * min(1.0, 16 / self.cases)
        # A patch is rerun from its first token on: that of the prefix from the beginning, those of other classes from the edit.
        part = PART * (1 + (len(CLASSES) - 1) * self.behind) / len(CLASSES)
        grid = part * (cells + beside + itself) + 4 * DONORS
        differentiated = len(CLASSES) + 1
        return [
            Phase("patching", self.tokens, grid),
            Phase("estimating patches", self.tokens, differentiated, BACKWARD),
            *self._patterns(layers),
            *self._choice(),
        ]

    def _patterns(self, layers: int) -> list[Phase]:
        each = {"none": 0, "layers": 1, "heads": 1 + (self.lm.anatomy.n_heads or 0)}[self.spec.patterns]
        return [Phase("patching attention", self.tokens, PART * layers * each + DONORS)] if each else []

    def _choice(self) -> list[Phase]:
        """What is done to choose heads, neurons or features, and to test the choice on the half of the cases that did not choose."""
        spec, anatomy, half = self.spec, self.lm.anatomy, self.tokens // 2
        here = sum(anatomy.has(Site(layer, SITE[spec.select])) for layer in range(anatomy.n_layers))
        if not here or self.cases < ENOUGH_CASES:
            return []
        heads = anatomy.n_layers * (anatomy.n_heads or 0)
        patched = spec.select == "heads" and spec.rank == "patched"
        found = [Phase("patching heads", self.tokens, PART * heads + DONORS)] if patched else []
        if twins := spec.enough_twins(spec.twins or 0):
            found.append(Phase("asking untrained twins", self.asked, twins, models=twins))
            found.append(
                Phase("patching untrained twins", self.tokens, (PART * heads + DONORS if patched else BACKWARD) * twins)
            )
        if spec.select == "features":  # of both texts; where draws are, once more of the half that tests
            found.append(
                Phase("measuring features", 2 * here * (LOOKS * self.tokens + LOOKS * half * bool(spec.draws)))
            )
        if spec.draws:
            draws = spec.enough_draws(spec.draws)
            usual = operation(stopping_rule(spec.level, draws=draws)).draws or draws
            found.append(Phase("patching random choices", half, 2 + draws, 1.0, 2 + usual))
        return found


def savings(spec: Perturb, lm: LM) -> tuple[Saving, ...]:  # noqa: ARG001 - as every one has it
    """Probes, pairs compared, patterns, draws, texts that are patched, twins, texts."""
    n = min(spec.n_items, len(spec.texts(None).clean))
    return (
        *((Saving("probes", (spec.probes, 0), "pairs that are probed"),) if spec.probes else ()),
        *(
            (Saving("compare", (spec.compare, COMPARED_LEAST), "pairs compared"),)
            if spec.compare > COMPARED_LEAST
            else ()
        ),
        *(_of_cases(spec) if spec.cases else ()),
        *((Saving("n_items", steps(n, LEAST), "texts", ("causal",), fine=True, enough=ENOUGH),) if n > LEAST else ()),
    )


def _of_cases(spec: Perturb) -> tuple[Saving, ...]:
    """Of what is done to the texts that are patched."""
    cases = [each for each in (spec.cases, 64, 32, ENOUGH_CASES) if each <= spec.cases]
    by_head = spec.patterns == "heads"
    return (
        *((Saving("patterns", ("heads", "none"), "patching of attention patterns"),) if by_head else ()),
        *fewer_draws(spec.draws, spec.alpha, what="random choices"),
        *((Saving("cases", tuple(cases), "texts that are patched", ("causal", "reliable")),) if len(cases) > 1 else ()),
        *no_twins(spec.twins or 0),
    )
