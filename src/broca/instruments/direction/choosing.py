"""Which layer is steered, at which dose, and what that moves answers towards: chosen on some groups of items, tested on the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from broca.errors import StimulusError
from broca.evidence.conditions import Condition, LesionScorer
from broca.evidence.ledger import group_digest
from broca.evidence.steering import (
    ANSWER,
    RANGE,
    Fluency,
    SteerBy,
    both_signs,
    common_choices,
    fluent_dose,
    log_odds,
    places_of,
)
from broca.items import Item, Stimulus
from broca.models.lm import LM
from broca.scoring import chat_of
from broca.sites import Site
from broca.stats.axes import Axis
from broca.stimuli.texts import PLAIN, texts
from broca.units.direction import Direction

if TYPE_CHECKING:
    from broca.instruments.direction.spec import DirectionTest
    from broca.instruments.direction.work import Work

UNKNOWN = 0.05
"""Share of unknown tokens in our plain texts from which on a model does not know their words."""
FEWEST_GROUPS = 4
"""Groups of items below which none can be spared for choosing."""
TRIED = {
    "site": pl.String,
    "layer": pl.Int64,
    "dose": pl.Float64,
    "effect": pl.Float64,
    "toward": pl.String,
    "chosen": pl.Boolean,
}
"""One row a layer that was tried."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Items of the own ability by what they are for."""

    choosing: tuple[Item, ...]
    testing: tuple[Item, ...]
    groups: tuple[str, ...]
    """Digests of the groups that choose."""

    @classmethod
    def of(cls, items: Sequence[Item], seed: int) -> Parts:
        """Half of the groups choose, half test; answers stay as mixed as the groups allow.

        Raises:
            StimulusError: if there are too few groups to part, or a choice is the word that stands for the right one.
        """
        if ANSWER in common_choices(items):
            raise StimulusError(
                f'Every item has the choice "{ANSWER}", which as `toward` means the right one. Write the choice in another way, as '
                f'"{ANSWER.title()}".'
            )
        clusters = list(dict.fromkeys(item.cluster for item in items))
        if len(clusters) < FEWEST_GROUPS:
            raise StimulusError(
                f"The items have {len(clusters)} groups, and half of them choose the layer, the other half test it. Give items of "
                f"{FEWEST_GROUPS} groups or more."
            )
        # Groups of one answer lie together before they are dealt in turn, so that both parts have each answer.
        answer = {
            cluster: next(i.choices[i.answer].strip() for i in items if i.cluster == cluster) for cluster in clusters
        }
        order = [clusters[i] for i in np.random.default_rng([seed, 7]).permutation(len(clusters))]
        order.sort(key=lambda cluster: answer[cluster])
        first = set(order[::2])
        choosing = tuple(item for item in items if item.cluster in first)
        testing = tuple(item for item in items if item.cluster not in first)
        return cls(choosing, testing, tuple(sorted(group_digest(cluster) for cluster in first)))


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What is steered, and what came of every layer that was tried."""

    site: Site
    axis: Axis
    direction: Direction
    """At the site, fitted without the groups of the items that test it."""
    dose: float | None
    """The largest of either sign at which text stays fluent; None where there is none."""
    used: float
    """That dose, or the smallest that was tried."""
    toward: str
    orientation: int
    """1 where positive doses move answers towards that, -1 where they move away."""
    tried: pl.DataFrame

    def beside(self, vector: np.ndarray, family: str) -> Direction:
        """A random direction at the same site."""
        return replace(self.direction, vectors={self.site: vector}, readers={}, about={"name": family})


def fluency_of(spec: DirectionTest, lm: LM) -> Fluency:
    """The texts of which perplexities are taken.

    Raises:
        StimulusError: if there are none.
    """
    if spec.text is not None:
        found = texts(spec.text)[: spec.n_text]
        return Fluency(tuple(found))
    plain = texts(PLAIN, n=spec.n_text)
    unknown = getattr(lm.tokenizer, "unk_token_id", None)
    ids = [i for tokens in lm.tokenize([each.text for each in plain]) for i in tokens.ids]
    if unknown is None or ids.count(unknown) <= UNKNOWN * len(ids):
        return Fluency(tuple(plain))
    prompts = list(dict.fromkeys(item.prompt for items in spec.abilities.values() for item in items))
    some = [prompts[i] for i in np.unique(np.linspace(0, len(prompts) - 1, min(spec.n_text, len(prompts))).astype(int))]
    return Fluency(tuple(Stimulus(str(i), text) for i, text in enumerate(some)))


def candidates(spec: DirectionTest, sites: Sequence[Site], n_layers: int) -> list[Site]:
    """The sites among which one is chosen, evenly spread; those of the last layer, behind which only the head is computed, left out."""
    if spec.layer is not None:
        return [site for site in sites if site.layer == spec.layer]
    inner = [site for site in sites if site.layer < n_layers - 1] or list(sites)
    places = (
        np.linspace(0, len(inner) - 1, min(spec.tries, len(inner)) + 2)[1:-1]
        if len(inner) > spec.tries
        else range(len(inner))
    )
    return [inner[i] for i in sorted({round(float(place)) for place in places})]


def choose(work: Work, items: Sequence[Item]) -> Chosen:
    """The layer at whose largest fluent dose steering moves answers furthest.

    Args:
        work: the study.
        items: those that choose.

    Raises:
        StimulusError: if `toward` is no choice of the items.
        InterventionError: if the largest dose leaves no numbers.
    """
    spec, lm = work.spec, work.lm
    bench = LesionScorer(lm, items, spec.scorer, chat_of(spec.scorer), work.cache)
    tried: list[dict[str, Any]] = []
    among = candidates(spec, list(work.axes), lm.anatomy.n_layers)
    for turn, site in enumerate(among):
        work.progress("choosing a layer", turn, len(among))
        direction = work.whole.at(site)
        dose = fluent_dose(work.fluency, lm, direction, most=spec.most, limit=spec.perplexity_limit, cache=work.cache)
        used = dose or spec.most / RANGE
        plus, minus = bench.tables(both_signs([Condition("lesion", direction, dose=100.0)]), SteerBy(used))
        toward, effect = _shift(spec, plus, minus, items)
        tried.append({"site": str(site), "layer": site.layer, "dose": dose, "effect": effect, "toward": toward})
    work.progress("choosing a layer", len(among), len(among))
    fluent = [row for row in tried if row["dose"] is not None]
    best = max(fluent or tried, key=lambda row: abs(row["effect"]))
    site = Site.parse(best["site"])
    work.fluency.check(lm, work.whole.at(site), spec.most, work.cache)
    table = pl.DataFrame([row | {"chosen": row is best} for row in tried], schema=TRIED)
    return Chosen(
        site,
        work.axes[site],
        work.whole.at(site),
        best["dose"],
        best["dose"] or spec.most / RANGE,
        best["toward"],
        1 if best["effect"] >= 0 else -1,
        table,
    )


def _shift(spec: DirectionTest, plus: pl.DataFrame, minus: pl.DataFrame, items: Sequence[Item]) -> tuple[str, float]:
    """What positive doses move answers towards, and by how much, in nats: half the difference between a dose and its negative."""
    words = common_choices(items)
    if spec.toward is not None:
        if spec.toward != ANSWER and (places_of(items, spec.toward) < 0).any():
            known = ", ".join(words) or "the items have no choices in common"
            raise StimulusError(
                f'toward = {spec.toward!r} is not a choice of every item ({known}). Give one, or "answer".'
            )
        words = () if spec.toward == ANSWER else (spec.toward,)
    found = {
        word: float(np.mean(log_odds(plus, items, word) - log_odds(minus, items, word)) / 2)
        for word in words or (ANSWER,)
    }
    # Of two choices one rises as the other falls: what is moved towards is the one that rises.
    toward = max(found, key=lambda word: found[word])
    return toward, found[toward]
