"""What steering does to text and answers: how fluent text stays, what answers move towards, and steering against the right answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isnan, log
from typing import Any

import numpy as np
import polars as pl

from broca.cache.cache import Cache, Json
from broca.cache.mapping import map_cached
from broca.errors import GuardError, InterventionError
from broca.evidence.conditions import Condition
from broca.evidence.maps import Floats
from broca.interventions.steer import Steer
from broca.items import Item, Stimulus, fingerprint
from broca.models.lm import LM
from broca.scoring.windows import Windows, perplexity, window_rows
from broca.units.direction import Direction

WINDOW = Windows(length=64)
"""How texts are cut for perplexity."""
RANGE, STEPS, NEAR = 64.0, 4, 1.1
"""The largest fluent dose is looked for between the largest dose and this part of it, in so many steps, until it is known to this factor."""
ANSWER = "answer"
"""What is moved towards where no choice is: the right answer of each item."""

Signed = tuple[Direction, float]
"""A direction and a dose."""


@dataclass(frozen=True, slots=True)
class SteerBy:
    """What a condition on a direction puts in force: so many percent of a dose."""

    dose: float

    def __call__(self, condition: Condition[Any], /) -> tuple[Steer, ...]:
        if condition.name == "intact":
            return ()
        return (Steer(condition.mask, self.dose * condition.dose / 100),)


@dataclass(frozen=True)
class Fluency:
    """The task of taking the perplexity of texts under a dose of a direction; 0 is intact."""

    texts: tuple[Stimulus, ...]

    def key(self, lm: LM, part: Signed, /) -> dict[str, Json]:
        direction, dose = part
        texts = fingerprint([each.text for each in self.texts])
        under = [Steer(direction, dose).fingerprint] if dose else []
        return {"cell": "fluency", "texts": texts, "condition": [*lm.condition, *under]}

    def __call__(self, lm: LM, part: Signed, /) -> dict[str, np.ndarray]:
        direction, dose = part
        with lm.under(*([Steer(direction, dose)] if dose else [])):
            return {"perplexity": np.array([perplexity(window_rows(lm, self.texts, WINDOW))])}

    def check(self, lm: LM, direction: Direction, dose: float, cache: Cache) -> None:
        """Refuse a dose at which, or at whose negative, the model has no numbers to say.

        Raises:
            InterventionError: naming it.
        """
        for each in map_cached(self, [(direction, dose), (direction, -dose)], lm, cache):
            if isnan(each["perplexity"][0]):  # type: ignore[index]
                raise InterventionError(
                    f"At a dose of {dose:g} of {direction!r} what the model says is no number: the vector has a norm of "
                    f"{direction.norm[direction.sites[0]]:.3g}, and activations overflow. Give smaller doses, such as --doses=-6:6:2."
                )

    def ratios(self, lm: LM, direction: Direction, doses: Sequence[float], cache: Cache) -> list[float]:
        """Perplexity under each dose, over the intact model's; infinite where it is no number."""
        found = [each["perplexity"][0] for each in map_cached(self, [(direction, d) for d in (0.0, *doses)], lm, cache)]  # type: ignore[index]
        if isnan(found[0]):
            raise GuardError("The intact model's own perplexity is no number. Load it in float32 or bfloat16.")
        return [inf if isnan(value) else float(value / found[0]) for value in found[1:]]


def fluent_dose(
    fluency: Fluency, lm: LM, direction: Direction, *, most: float, limit: float, cache: Cache
) -> float | None:
    """The largest dose, of either sign, at which text stays fluent, as far as a few steps tell; None where all that were tried are too much.

    Args:
        fluency: the texts.
        lm: the model.
        direction: at one site.
        most: the largest dose that is tried.
        limit: of the perplexity, in times the intact model's.
        cache: of the perplexities.
    """

    def ratio(dose: float) -> float:
        return max(fluency.ratios(lm, direction, [dose, -dose], cache))

    low, high = most / RANGE, most
    if (found := ratio(most)) <= limit:
        return most
    at, fluent = most, None
    for _ in range(STEPS):
        # Small doses cost text about as the square of the dose, in the logarithm of its perplexity.
        guess = at * (log(limit) / log(max(found, 1 + 1e-6))) ** 0.5
        at = float(f"{min(max(guess, low), high / NEAR):.4g}")
        found = ratio(at)
        if found <= limit:
            fluent = low = at
        else:
            high = at
        if high <= low * NEAR:
            break
    return fluent


# -- answers ---------------------------------------------------------------------------------------------------------


def common_choices(items: Sequence[Item]) -> tuple[str, ...]:
    """The choices that all items have, in some order, where there are few; none where they differ."""
    first = {choice.strip() for choice in items[0].choices}
    same = all({choice.strip() for choice in item.choices} == first for item in items)
    return tuple(sorted(first)) if same and 2 <= len(first) <= 6 else ()


def places_of(items: Sequence[Item], toward: str) -> np.ndarray:
    """(item,) Which choice is moved towards; -1 where an item has none such."""
    if toward == ANSWER:
        return np.array([item.answer for item in items])
    return np.array([next((i for i, c in enumerate(item.choices) if c.strip() == toward), -1) for item in items])


def log_odds(rows: pl.DataFrame, items: Sequence[Item], toward: str) -> Floats:
    """(item,) How much more likely than the best other choice is the one that is moved towards, in nats.

    Where a scorer tells no likelihoods: 1 where it is the answer, -1 where it is not.
    """
    out = np.zeros(len(items))
    logprobs: list[Any] = rows["logprobs"].to_list() if "logprobs" in rows.columns else [None] * len(rows)
    for i, (at, told, said) in enumerate(
        zip(places_of(items, toward), logprobs, rows["predicted"].to_list(), strict=True)
    ):
        if told and len(told) > 1 and at >= 0 and all(value is not None for value in told):
            out[i] = told[at] - max(value for j, value in enumerate(told) if j != at)
        else:
            out[i] = 1.0 if said == at else -1.0
    return out


def against_signs(items: Sequence[Item], toward: str, orientation: int) -> np.ndarray:
    """(item,) The sign of the dose that moves away from the right answer, 1 or -1.

    Args:
        items: of the own ability.
        toward: a choice, or `ANSWER`.
        orientation: 1 where positive doses move towards it, -1 where they move away.
    """
    right = places_of(items, toward) == [item.answer for item in items]
    return np.where(right, -orientation, orientation)


@dataclass(frozen=True, slots=True)
class Against:
    """Rows of a condition at the dose and at its negative made into those of one: each item steered against its right answer.

    Of a random direction, which has no side of its own, the own ability has the side on which it loses more; so has every other
    ability, of the direction too: what steering can cost it.
    """

    abilities: Mapping[str, Sequence[Item]]
    signs: np.ndarray
    """(item,) Of the own ability's items: see `against_signs`."""

    def rows(self, condition: Condition[Any], plus: pl.DataFrame, minus: pl.DataFrame) -> pl.DataFrame:
        """One row an item, under the labels of the condition."""
        parts = []
        for turn, ability in enumerate(self.abilities):
            up, down = (rows.filter(pl.col("ability") == ability) for rows in (plus, minus))
            signs = self.signs if turn == 0 else np.ones(len(up))
            first, second = _taken(up, down, signs > 0), _taken(up, down, signs < 0)
            free = turn > 0 or condition.name == "random"
            parts.append(second if free and _cost(second) > _cost(first) else first)
        labels = [pl.lit(value).cast(plus.schema[name]).alias(name) for name, value in condition.labels.items()]
        return pl.concat(parts).with_columns(labels)


def _taken(up: pl.DataFrame, down: pl.DataFrame, first: np.ndarray) -> pl.DataFrame:
    at = np.arange(len(up)) + np.where(first, 0, len(up))
    return pl.concat([up, down])[at]


def _cost(rows: pl.DataFrame) -> tuple[float, float]:
    """How much is lost, the share of wrong answers first, then margins."""
    score = rows["score"].cast(pl.Float64).fill_null(0.0).fill_nan(0.0)
    return -float(rows["correct"].cast(pl.Float64).mean()), -float(score.mean())  # type: ignore[arg-type]


def both_signs(conditions: Sequence[Condition[Any]]) -> list[Condition[Any]]:
    """Each condition at its dose, and at its negative."""
    return [replace(each, dose=sign * each.dose) for each in conditions for sign in (1.0, -1.0)]
