"""The conditions of a causal test, and what the model scores under each: one cell a condition and chunk of items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.cache.cache import Cache, Part, Progress, silent
from broca.cache.mapping import map_cached
from broca.evidence.features import FeatureStatistics, feature_sites, measure
from broca.evidence.fills import LAST, MEANS, donors_at, fills_of, moments_at
from broca.evidence.maps import cell
from broca.interventions.displace import Displace
from broca.interventions.lesion import Fill, Lesion, Positions
from broca.interventions.weights import WeightMask
from broca.items import Item, fingerprint
from broca.models.force import Intervention
from broca.models.lm import LM
from broca.models.pool import Pool
from broca.models.tokens import Tokens
from broca.sites import Site
from broca.specs.fields import FillName
from broca.units import Grain, UnitMask

CHUNK = 64
"""Items a cell: what a killed run loses at most."""

DONORS = 64
"""Prompts that a resample fill draws from."""


EQUAL = "equal change"
"""What conditions are called, as their localizer, that move tokens as far as a lesion of features does, and in random directions."""


class Chosen(Protocol):
    """Some of a model's parts: units, heads or weights."""

    @property
    def count(self) -> int:
        """How many."""
        ...


C_co = TypeVar("C_co", bound=Chosen | None, covariant=True)
C = TypeVar("C", bound=Chosen | None)


@dataclass(frozen=True, slots=True)
class Condition(Generic[C_co]):
    """What is in force while items are scored, and what it is called in the tables."""

    name: Literal["intact", "lesion", "random"]
    mask: C_co
    localizer: str = ""
    side: str = ""
    dose: float = 0.0
    """Percent of the units, or of the weights."""
    fill: str = ""
    seed: int = -1

    @property
    def address(self) -> dict[str, Any]:
        """What finds the condition's rows in the tables."""
        names = ("localizer", "side", "dose", "fill", "seed")
        return {"condition": self.name} | {name: getattr(self, name) for name in names}

    @property
    def labels(self) -> dict[str, Any]:
        """The address, and how many units or weights are chosen."""
        return self.address | {"k": 0 if self.mask is None else self.mask.count}


INTACT = Condition("intact", UnitMask({Site(0, "resid_post"): np.zeros(1, dtype=bool)}))
"""The condition in which no unit is chosen."""


def leave_intact(condition: Condition[Any], /) -> tuple[Intervention, ...]:  # noqa: ARG001 - as every force has it
    """What the intact condition puts in force: nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Lesioning:
    """What a condition on units puts in force: its units under its fill."""

    fills: Mapping[str, Fill]
    positions: Positions

    def __call__(self, condition: Condition[UnitMask], /) -> tuple[Intervention, ...]:
        if condition.name == "intact":
            return ()
        lesion = Lesion(condition.mask, self.fills[condition.fill], self.positions)
        return (Displace(lesion, condition.seed) if condition.localizer == EQUAL else lesion,)


@dataclass(frozen=True, slots=True)
class WeightMasking:
    """What a condition on weights puts in force: a mask is an intervention, and the intact condition has none."""

    def __call__(self, condition: Condition[Any], /) -> tuple[WeightMask, ...]:
        return (condition.mask,) if isinstance(condition.mask, WeightMask) else ()


@dataclass(frozen=True, slots=True)
class Scoring(Generic[C]):
    """The task of scoring a chunk of items, by where it starts, under a condition."""

    items: tuple[Item, ...]
    scorer: Any
    force: Callable[[Condition[C]], tuple[Intervention, ...]]
    """What a condition puts in force."""

    def key(self, lm: LM, part: tuple[Condition[C], int], /) -> dict[str, Any]:
        condition, start = part
        return {
            "cell": "score",
            "items": fingerprint([item.fingerprint for item in self.items[start : start + CHUNK]]),
            "scorer": repr(self.scorer),
            "condition": [*lm.condition, *(each.fingerprint for each in self.force(condition))],
        }

    def __call__(self, lm: LM, part: tuple[Condition[C], int], /) -> pl.DataFrame:
        condition, start = part
        with lm.under(*self.force(condition)):
            return self.scorer(lm, self.items[start : start + CHUNK])

    def tables(
        self,
        lm: LM,
        conditions: Sequence[Condition[C]],
        cache: Cache,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[pl.DataFrame]:
        """Under each condition, one row an item: the labels, then the scorer's columns."""
        starts = range(0, len(self.items), CHUNK)
        parts = [(condition, start) for condition in conditions for start in starts]
        scored = map_cached(self, parts, lm, cache, progress)
        return [concat_with_labels([next(scored) for _ in starts], condition) for condition in conditions]


def concat_with_labels(parts: Sequence[Part], condition: Condition[Any]) -> pl.DataFrame:
    """The parts of a condition's table as one, with its labels before their columns."""
    rows = pl.concat([part for part in parts if isinstance(part, pl.DataFrame)])
    return rows.select([pl.lit(value).alias(name) for name, value in condition.labels.items()] + [pl.all()])


@dataclass(frozen=True, slots=True)
class LesionScorer:
    """A model with the items it is to answer, how they are scored, and the cache of what was answered before."""

    lm: LM
    items: Sequence[Item]
    scorer: Any
    chat: Any
    cache: Cache
    progress: Progress = silent

    def tables(
        self,
        conditions: Sequence[Condition[Any]],
        force: Callable[[Condition[Any]], tuple[Intervention, ...]] = leave_intact,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[pl.DataFrame]:
        """Under each condition, one row an item.

        Args:
            conditions: of the table.
            force: what each puts in force.
            progress: told how many cells are done, of how many.
        """
        task = Scoring(tuple(self.items), self.scorer, force)
        return task.tables(self.lm, conditions, self.cache, progress)

    def fills(self, names: Sequence[FillName], sites: Sequence[Site], seed: int) -> dict[str, Fill]:
        """The fills asked for, measured on the items' own prompts with the model intact.

        Mean and noise use each unit's mean over all tokens (special tokens left out); resample its value at the last
        token of another prompt.
        """
        return fills_of(
            names,
            sites,
            seed,
            lambda: self._activations("moments", sites, MEANS, len(self.items)),
            lambda: self._activations("gather", sites, LAST, DONORS),
        )

    def sizes(self, sites: Sequence[Site], grain: Grain) -> dict[Site, NDArray[np.float64]]:
        """Root mean square of every unit's mean over a prompt's tokens; a head's, or a group's, is that of its units.

        Of features it is what tells which are alike: see `broca.evidence.features.likeness`.
        """
        plain = [site for site in sites if site.kind != "feature"]
        found = self._activations("moments", plain, MEANS, len(self.items)) if plain else {}
        squares = {site: found[f"{site}"][0] ** 2 + found[f"{site}"][1] for site in plain}
        if grain != "unit":
            several = {site: self.lm.anatomy.members(site, grain) for site in squares}
            squares = {site: row.reshape(-1, several[site]).mean(1) for site, row in squares.items()}
        return {site: np.sqrt(row) for site, row in squares.items()} | self.feature_statistics(sites).likeness

    def feature_statistics(self, sites: Sequence[Site]) -> FeatureStatistics:
        """What the dictionaries among some sites make of the prompts."""
        tokens = self.tokens if feature_sites(sites) else []
        return measure(self.lm, tokens, sites, cache=self.cache, progress=self.progress)

    @property
    def tokens(self) -> list[Tokens]:
        """The prompts, as the model is shown them."""
        return self.lm.tokenize([item.content for item in self.items], chat=self.chat)

    def _activations(self, what: str, sites: Sequence[Site], pool: Pool, n: int) -> dict[str, NDArray[Any]]:
        """Moments (mean, variance) or values of the prompts' activations, spread over the whole item list."""
        chosen = np.unique(np.linspace(0, len(self.items) - 1, min(n, len(self.items))).astype(int))
        tokens = self.lm.tokenize([self.items[i].content for i in chosen], chat=self.chat)

        def report(done: int, total: int) -> None:
            self.progress("measuring activations", done, total)

        def compute() -> dict[str, NDArray[Any]]:
            report(0, len(tokens))
            read = donors_at if what == "gather" else moments_at
            return dict(read(self.lm, tokens, sites, progress=report))

        found = self.cache(cell(f"fill {what}", self.lm, tokens, sites, pool), compute)
        assert isinstance(found, dict)
        return found
