"""What the model does with the items of one ability under each condition of a trial, as arrays: what the rungs are functions of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.evidence.effects import clusters, matches, rows_of
from broca.items import Item
from broca.stats.balance import balanced_weights
from broca.stats.specificity import FLOOR, Drops

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AbilityScores:
    """Right answers and margins of the items of an ability, in the order of the items."""

    name: str
    items: Sequence[Item]
    groups: NDArray[np.int64]
    """(item,) What resampling draws."""
    intact: Floats
    """(item,) 1 where the answer is right."""
    intact_margin: Floats
    """(item,) Log-probability of the answer minus that of the best other choice, in nats; NaN where nothing tells."""
    fills: tuple[str, ...]
    lesioned: Floats
    """(fill, item)"""
    lesioned_margin: Floats
    """(fill, item)"""
    predicted: NDArray[np.int64]
    """(item,) The choice under the claim's lesion; -1 where none can be read."""
    sizes: Mapping[str, Floats]
    """(item,) Under selections of other sizes, by what they are called."""
    draws: Floats
    """(draw, item) Under matched draws, in the order in which they were drawn."""

    @classmethod
    def of(
        cls,
        name: str,
        items: Sequence[Item],
        table: pl.DataFrame,
        *,
        lesions: Sequence[Mapping[str, Any]],
        sizes: Sequence[Mapping[str, Any]] = (),
        draws: Mapping[str, Any] | None = None,
    ) -> AbilityScores:
        """The scores of an ability.

        Args:
            name: of the ability.
            items: its items, in the order of the table.
            table: rows of all conditions, one an item and condition.
            lesions: what finds the rows of the lesion under each fill, the claim's first.
            sizes: what finds those of selections of other sizes.
            draws: what finds those of matched draws; by default the claim's address, under random draws.
        """
        rows = table.filter(pl.col("ability") == name)
        intact = rows_of(rows, {"condition": "intact"})
        under = [rows_of(rows, dict(labels)) for labels in lesions]
        random = rows.filter(matches(dict(draws or {**lesions[0], "condition": "random"}), skip=("seed",)))
        return cls(
            name,
            items,
            clusters(intact),
            _right(intact),
            _margins(intact),
            tuple(str(labels["fill"]) for labels in lesions),
            np.stack([_right(each) for each in under]),
            np.stack([_margins(each) for each in under]),
            under[0]["predicted"].to_numpy(),
            {f"{labels['dose']:g} %": _right(rows_of(rows, dict(labels))) for labels in sizes},
            _right(random).reshape(-1, len(intact)),
        )

    @cached_property
    def chance(self) -> Floats:
        """(item,) What guessing gets right."""
        return np.array([1 / len(item.choices) for item in self.items])

    @cached_property
    def positions(self) -> list[int]:
        """(item,) Where the right answer stands among the choices."""
        return [item.answer for item in self.items]

    @cached_property
    def classes(self) -> list[str]:
        """(item,) The right answer."""
        return [item.choices[item.answer].strip() for item in self.items]

    @cached_property
    def weights(self) -> Floats:
        """(item,) Under which positions, and classes of answers, count equally."""
        return balanced_weights(self.positions, self.classes)

    @property
    def is_balanced(self) -> bool:
        """Whether the weights change anything."""
        return bool(np.ptp(self.weights) > 1e-6)

    @cached_property
    def drops(self) -> Drops:
        """What the lesion takes from each item under each fill."""
        return Drops.of(
            self.intact, self.lesioned, self.intact_margin, self.lesioned_margin,
            chance=self.chance, groups=self.groups, weights=self.weights,
        )  # fmt: skip

    @cached_property
    def headroom(self) -> float:
        """What the intact model has above chance."""
        return max(float(np.average(self.intact - self.chance, weights=self.weights)), FLOOR)

    def loss_of(self, right: Floats) -> float:
        """What is lost where these answers, (item,), are right."""
        return float(np.average(self.intact - right, weights=self.weights))

    def part(self, kept: NDArray[np.bool_]) -> Drops:
        """The drops of some of the items, as of an ability of their own."""
        return Drops.of(
            self.intact[kept], self.lesioned[:, kept], self.intact_margin[kept], self.lesioned_margin[:, kept],
            chance=self.chance[kept], groups=self.groups[kept], weights=self.weights[kept],
        )  # fmt: skip

    @property
    def loss(self) -> float:
        """What the claim's lesion takes from the accuracy, answers balanced."""
        return self.loss_of(self.lesioned[0])

    @property
    def draw_losses(self) -> Floats:
        """(draw,) The same of each draw."""
        return np.average(self.intact - self.draws, axis=1, weights=self.weights) if len(self.draws) else np.zeros(0)

    @property
    def as_costly(self) -> NDArray[np.bool_]:
        """(draw,) Whether a draw costs at least as much: a tie counts against the selection."""
        return self.draw_losses >= self.loss - 1e-9


def _right(rows: pl.DataFrame) -> Floats:
    return rows["correct"].cast(pl.Float64).to_numpy()


def _margins(rows: pl.DataFrame) -> Floats:
    return rows["score"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
