"""What rankings are held against: stimuli dealt at random, units planted, and what each unit truly is, by measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from broca.cache.cache import Cache, Json, Progress
from broca.capture.metrics import LogitDifference
from broca.errors import SiteUnavailable, StimulusError
from broca.interventions.plant import Plant, output_weights, text_key
from broca.items import fingerprint
from broca.models.lm import LM
from broca.models.tokens import Tokens
from broca.organisms.planting import (
    Cell,
    Design,
    Floats,
    Unit,
    ablation_effects,
    calibrate_gains,
    prepare_bed,
    root_mean_square,
    selectivity,
)
from broca.sites import Kind, Site, sites

if TYPE_CHECKING:
    from broca.instruments.selftest.spec import Selftest

Flags = NDArray[np.bool_]

CHUNK = 32
"""Units ablated in one cell: what a killed run loses at most."""


@dataclass(frozen=True, eq=False)
class SelfTestSetup:
    """A model with the stimuli and the metric of a self-test."""

    lm: LM
    sites: tuple[Site, ...]
    metric: LogitDifference
    answers: tuple[str, str]
    """The metric's two tokens, as text."""
    reference: Sequence[Tokens]
    positive: Sequence[Tokens]
    negative: Sequence[Tokens]

    @property
    def units(self) -> list[Unit]:
        """Every unit, site after site: the order of every row."""
        return [(site, unit) for site in self.sites for unit in range(self.lm.anatomy.width(site))]

    def weight_sums(self) -> list[list[float]]:
        """The sum of each unit's output weights: whether weights are what they were, without a copy of them."""
        return [output_weights(self.lm, site).sum(1, dtype=torch.float64).tolist() for site in self.sites]

    def cell(self, what: str, tokens: Sequence[Tokens], **more: Json) -> dict[str, Json]:
        """The address of what is computed on `tokens` under whatever is in force."""
        return {
            "cell": what,
            "texts": fingerprint([t.ids for t in tokens]),
            "sites": [str(site) for site in self.sites],
            "answers": [self.metric.right, self.metric.foil],  # type: ignore[list-item]
            "condition": list(self.lm.condition),
            **more,
        }


def set_up(spec: Selftest, lm: LM) -> SelfTestSetup:
    """Sites, metric, and stimuli dealt to the reference and to the two sides.

    Raises:
        SiteUnavailable: if the model has no units with output weights of their own at the sites asked for.
        StimulusError: if there are too few distinct stimuli, or the answers begin with the same token.
    """
    where = _sites(spec, lm)
    stimuli = (*spec.stimuli.positive, *spec.stimuli.negative)
    tokens = lm.tokenize([s.content for s in stimuli], chat=spec.chat, truncate=spec.truncate)
    distinct = list({text.ids: text for text in tokens}.values())
    n = max(spec.n, *spec.ns, 0)
    if len(distinct) < spec.reference + 2 * n:
        room = (len(distinct) - spec.reference) // 2
        raise StimulusError(
            f"{spec.stimuli.name} has {len(distinct)} distinct stimuli; {n} a side and {spec.reference} for the reference "
            f"need {spec.reference + 2 * n}. Give n of at most {max(room, 0)}, or a contrast with more stimuli."
        )
    order = np.random.default_rng(spec.seed).permutation(len(distinct))
    dealt = [distinct[i] for i in order[: spec.reference + 2 * n]]
    reference, positive, negative = dealt[: spec.reference], dealt[spec.reference : -n], dealt[-n:]
    ids = _answers(spec, lm, reference)
    words = (lm.tokenizer.decode([ids[0]]), lm.tokenizer.decode([ids[1]]))
    return SelfTestSetup(lm, where, LogitDifference(*ids), words, reference, positive, negative)


def _sites(spec: Selftest, lm: LM) -> tuple[Site, ...]:
    if spec.sites is None:
        kinds: tuple[Kind, ...] = ("mlp_act", "z")
        found: list[Kind] = [k for k in kinds if any(lm.anatomy.has(Site(i, k)) for i in range(lm.anatomy.n_layers))]
        if not found:
            raise SiteUnavailable(
                f"{lm.name} has neither mlp_act nor z as single tensors, so no unit of it has output weights of its own to "
                "plant. Describe its blocks by hand: broca.models.wiring.dissection.dissect(model, parts={'mlp_act': ..., 'z': ...})."
            )
        where = lm.anatomy.sites(found[0])
    else:
        where = sites(spec.sites, lm.anatomy.n_layers)
        where = lm.anatomy.sites(where[0].kind) if spec.sites.startswith("*.") else where
    for site in where:
        output_weights(lm, site)
    return where


def _answers(spec: Selftest, lm: LM, reference: Sequence[Tokens]) -> tuple[int, int]:
    if spec.answers is None:
        total: Any = sum(logits.double().sum(0) for _, logits in lm.each(reference, lm.next_logits))
        first, second = total.topk(2).indices.tolist()
        return first, second
    tokens = lm.tokenize(spec.answers, chat="never")
    first, second = (text.ids[min(text.prefix, len(text) - 1)] for text in tokens)
    if first == second:
        raise StimulusError(
            f"The answers {spec.answers[0]!r} and {spec.answers[1]!r} begin with the same token. Give two that differ."
        )
    return first, second


@dataclass(frozen=True, eq=False)
class PlantedTrial:
    """Units planted at one effect size, and the truth about them and their rivals."""

    ground: SelfTestSetup
    d: float
    plant: Plant
    meant: dict[Unit, Cell]
    units: tuple[Unit, ...]
    """The planted ones, then the model's own."""
    difference: Floats
    """True d of each of `units` between the sides, ``(unit,)``."""
    effect: Floats
    """Root mean square change of the metric when the unit is ablated, in standard deviations of the metric."""
    selective: Flags
    causal: Flags

    @property
    def index(self) -> NDArray[np.int64]:
        """Where `units` stand in a row of all units."""
        place = {unit: i for i, unit in enumerate(self.ground.units)}
        return np.array([place[unit] for unit in self.units])

    def true(self, truth: str) -> Flags:
        """Which of `units` are what `truth` names: selective, causal, or both."""
        return {"selective": self.selective, "causal": self.causal, "both": self.selective & self.causal}[truth]

    @property
    def as_meant(self) -> int:
        """How many planted units measure as what they were planted to be."""
        wanted = np.array([cell in ("both", "selective") for cell in self.meant.values()])
        moving = np.array([cell in ("both", "causal") for cell in self.meant.values()])
        n = len(self.meant)
        return int(((self.selective[:n] == wanted) & (self.causal[:n] == moving)).sum())


def run_trial(spec: Selftest, ground: SelfTestSetup, d: float, cache: Cache, progress: Progress) -> PlantedTrial:
    """Plant, and measure what each planted unit and each rival truly is.

    A unit is selective if its d is at least half of what was planted, causal if ablating it moves the metric by at least
    half of what was planted.
    """
    design = Design(pairs=spec.pairs, d=d, effect=spec.effect, rest=spec.rest, seed=spec.seed)
    sides = {text_key(t.ids): 1 for t in ground.positive} | {text_key(t.ids): -1 for t in ground.negative}
    lm, reference, metric = ground.lm, ground.reference, ground.metric
    progress("planting units", 0, 3)
    bed = prepare_bed(lm, reference, ground.sites, metric, sides=sides, design=design)
    key = ground.cell("gains", reference, design=fingerprint(design), sides=fingerprint(sides))
    progress("planting units", 1, 3)
    gains = _arrays(cache, key, lambda: {"gains": calibrate_gains(lm, bed, reference, metric)})["gains"]
    plant = bed.plant(gains)
    progress("planting units", 2, 3)
    found = _arrays(
        cache,
        ground.cell("selectivity", reference, plant=plant.fingerprint),
        lambda: {str(site): row for site, row in selectivity(lm, plant, reference, ground.sites).items()},
    )
    progress("planting units", 3, 3)
    difference = dict(zip(ground.units, np.concatenate([found[str(site)] for site in ground.sites]), strict=True))
    own = [unit for unit in ground.units if unit not in bed.cell_of]
    drawn = np.random.default_rng(spec.seed).choice(len(own), min(spec.rivals, len(own)), replace=False)
    units = (*bed.cell_of, *(own[i] for i in np.sort(drawn)))
    with lm.under(plant):
        effect = ablations(ground, units, reference, cache, progress) / bed.sd
    row = np.array([difference[unit] for unit in units])
    return PlantedTrial(
        ground,
        d,
        plant,
        bed.cell_of,
        units,
        row,
        effect,
        selective=np.abs(row) >= d / 2,
        causal=effect >= spec.effect / 2,
    )


def ablations(
    ground: SelfTestSetup, units: Sequence[Unit], tokens: Sequence[Tokens], cache: Cache, progress: Progress
) -> Floats:
    """Root mean square change of the metric when a unit alone is held at 0, ``(unit,)``."""
    rows = []
    for start in range(0, len(units), CHUNK):
        progress("ablating units", start, len(units))
        part = units[start : start + CHUNK]
        key = ground.cell("ablated", tokens, units=[f"{site}/{unit}" for site, unit in part])
        found = _arrays(
            cache, key, lambda part=part: {"changes": ablation_effects(ground.lm, tokens, part, ground.metric)}
        )
        rows.append(root_mean_square(found["changes"]))
    progress("ablating units", len(units), len(units))
    return np.concatenate(rows)


def _arrays(cache: Cache, key: dict[str, Json], compute: Callable[[], dict[str, Any]]) -> dict[str, Floats]:
    found = cache(key, compute)
    assert isinstance(found, dict)
    return found
