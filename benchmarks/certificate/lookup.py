"""Claims about every head and many pairs of heads of shipped models: each is scored once, and thousands of claims look it up.

What a place carries is known from other items: its own lesion there, zero fill.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from broca.cache.cache import no_cache
from broca.evidence.ability_scores import AbilityScores
from broca.evidence.conditions import INTACT, Condition, Lesioning, LesionScorer
from broca.items import Item
from broca.models.lm import LM
from broca.scoring import Likelihood, chat_of
from broca.stats.intervals import codes
from broca.stimuli.benchmarks import benchmark
from broca.units import UnitMask
from certificate.parts import NOMINAL, Kept
from certificate.rows import Row, share
from certificate.studies import FILLS, climb

MODELS = ("routed", "beliefs")
ABILITIES = ("false-belief", "photograph", "reality", "memory")
PAIRS, CLAIMED = 60, 20
"""Pairs by lot that are scored, and those of them that claims are about."""
NOTHING, EVERYTHING = 0.05, 0.4
"""Accuracy lost on other items, below which a place carries nothing of an ability, and from which it carries it."""
Place = tuple[tuple[int, int], ...]
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Model:
    """A shipped model with its items, and what keeps its scores."""

    name: str
    n_items: int
    kept: Kept

    @cached_property
    def lm(self) -> LM:
        """Loaded once."""
        return LM.load(self.name)

    def items(self, seed: int) -> dict[str, list[Item]]:
        """Of each ability."""
        return {a: list(benchmark(f"beliefs/{a}", n=self.n_items, seed=seed, detail=0.0)) for a in ABILITIES}

    @cached_property
    def places(self) -> dict[str, list[Place]]:
        """Heads, and pairs by lot."""
        anatomy = self.lm.anatomy
        heads = [(layer, head) for layer in range(len(anatomy.blocks)) for head in range(anatomy.n_heads)]
        pairs = np.random.default_rng(0).permutation(np.array(list(combinations(heads, 2))))[:PAIRS]
        return {
            "head": [(head,) for head in heads],
            "pair": [tuple((int(layer), int(head)) for layer, head in pair) for pair in pairs],
        }

    def claimed(self, grain: str) -> list[Place]:
        """The places that claims are about."""
        return self.places[grain][: CLAIMED if grain == "pair" else None]

    def _scores(self, seed: int, place: Place | None, fills: Sequence[str]) -> dict[str, Arrays]:
        """By ability: right, margin and predicted, (fill, item)."""
        named = "intact" if place is None else " ".join(f"{layer}.{head}" for layer, head in place)
        name = f"scores {self.name} {self.n_items} {seed} {named} {len(fills)}"
        if name not in self._known:
            (self._known[name],) = self.kept(name, 1, lambda _: self._scored(seed, place, fills))
        types = {"right": float, "margin": float, "predicted": int}
        arrays = {column: np.array(self._known[name][column], dtype=types[column]) for column in types}
        each = self.n_items
        return {a: {k: v[:, i * each : (i + 1) * each] for k, v in arrays.items()} for i, a in enumerate(ABILITIES)}

    @cached_property
    def _known(self) -> dict[str, dict[str, list[Any]]]:
        return {}

    def _scored(self, seed: int, place: Place | None, fills: Sequence[str]) -> dict[str, list[Any]]:
        bench, force = self._bench(seed)
        conditions: list[Condition[Any]] = [INTACT]
        if place is not None:
            conditions = [Condition("lesion", self._mask(place), fill=fill) for fill in fills]
        tables = bench.tables(conditions, force)
        columns = {"right": "correct", "margin": "score", "predicted": "predicted"}
        return {name: [table[column].to_list() for table in tables] for name, column in columns.items()}

    def _bench(self, seed: int) -> tuple[LesionScorer, Lesioning]:
        if seed not in self._benches:
            items = [item for some in self.items(seed).values() for item in some]
            bench = LesionScorer(self.lm, items, Likelihood(), chat_of(Likelihood()), no_cache)
            sites = list(self.lm.anatomy.sites("z"))
            self._benches[seed] = bench, Lesioning(bench.fills(FILLS, sites, 0), "all")
        return self._benches[seed]

    @cached_property
    def _benches(self) -> dict[int, tuple[LesionScorer, Lesioning]]:
        return {}

    def _mask(self, place: Place) -> UnitMask:
        by_site: dict[str, list[int]] = {}
        for layer, head in place:
            by_site.setdefault(f"{layer}.z", []).append(head)
        return UnitMask.of(by_site, n=self.lm.anatomy.n_heads, grain="head")

    def losses(self, place: Place) -> dict[str, float]:
        """Accuracy that a place costs each ability on other items."""
        intact, under = self._scores(7, None, ()), self._scores(7, place, FILLS[:1])
        return {a: float((intact[a]["right"] - under[a]["right"]).mean()) for a in ABILITIES}

    def scores(self, grain: str, place: Place) -> dict[str, AbilityScores]:
        """What the rungs are given about a place: the draws are the others of its kind, in an order by lot."""
        every = self.places[grain]
        order = np.random.default_rng([*place[0], *place[-1]]).permutation(len(every))
        others = [every[i] for i in order if every[i] != place]
        intact, under = self._scores(0, None, ()), self._scores(0, place, FILLS)
        drawn = [self._scores(0, other, FILLS if self._whole(grain, other) else FILLS[:1]) for other in others]
        found = {}
        for ability, items in self.items(0).items():
            lesioned, groups = under[ability], codes(np.array([item.cluster for item in items]))
            found[ability] = AbilityScores(
                ability, items, groups, intact[ability]["right"][0], intact[ability]["margin"][0], FILLS,
                lesioned["right"], lesioned["margin"], lesioned["predicted"][0], {},
                np.stack([each[ability]["right"][0] for each in drawn]),
            )  # fmt: skip
        return found

    def _whole(self, grain: str, place: Place) -> bool:
        return place in self.claimed(grain)


def truth_of(losses: Mapping[str, float], own: str, others: Sequence[str]) -> str:
    """What a place is to a claim, by other items."""
    mine, theirs = losses[own], [losses[other] for other in others]
    if mine < NOTHING:
        return "carries nothing of it"
    if max(theirs) >= mine - NOTHING:
        return "carries another as much"
    return "carries it alone" if mine >= EVERYTHING and max(theirs) < NOTHING else "between"


def claims(model: Model, grain: str, place: Place) -> Iterator[tuple[str, str]]:
    """What each place is, and the state of the claim, for each ability against each other one and against all."""
    scores, losses = model.scores(grain, place), model.losses(place)
    for own in ABILITIES:
        rest = [other for other in ABILITIES if other != own]
        for others in (*([other] for other in rest), rest):
            found = climb(scores[own], [scores[other] for other in others], len(model.places[grain]) - 1)
            yield truth_of(losses, own, others), found.place


def rows(kept: Kept, n_items: int) -> list[Row]:
    """Each claim by what the place is."""
    found: list[Row] = []
    for name in MODELS:
        model = Model(name, n_items, kept)
        for grain in ("head", "pair"):
            places = model.claimed(grain)
            told = kept(
                f"{name} {grain}s of {PAIRS}, {n_items} items",
                len(places),
                lambda k: list(claims(model, grain, places[k])),  # noqa: B023
            )
            by_truth: dict[str, list[str]] = {}
            for truth, state in (claim for of_place in told for claim in of_place):
                by_truth.setdefault(truth, []).append(state)
            for truth in ("carries nothing of it", "carries another as much", "between", "carries it alone"):
                if states := by_truth.get(truth):
                    bound = {"bound": NOMINAL} if truth.startswith(("carries nothing", "carries another")) else {}
                    found.append(share("lookup", f"{name}, {grain} that {truth}" if truth != "between" else f"{name}, {grain} in between", states, claim="causal and specific", **bound))  # fmt: skip
    return found
