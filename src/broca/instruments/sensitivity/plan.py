"""What a sensitivity study masks: which items and texts have which part, the sweep, and the masks of every condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from broca.errors import SelectionError
from broca.evidence.conditions import Condition
from broca.evidence.draws import matched_weights
from broca.instruments.sensitivity.conditions import Masked
from broca.instruments.sensitivity.ranking import Ranking
from broca.interventions.weights import Edit, WeightMask
from broca.items import Item
from broca.models.lm import LM
from broca.models.weight_matrices import Matrix
from broca.page.words import count
from broca.units.weight_draws import Match
from broca.units.weight_ranking import Ties, topped_up, without
from broca.units.weights import WeightSet


def automatic(every: Sequence[Matrix]) -> tuple[float, ...]:
    """Fractions, each twice the one before: from 2 weights of the smallest matrix (at least 1e-6), twelve or up to 7 %."""
    # Three digits read better than sixteen; rounded up, so that 2 stay 2.
    low = max(1e-6, float(f"{2.01 / min(m.address.size for m in every):.3g}"))
    return tuple(float(f"{low * 2**i:.5g}") for i in range(12) if low * 2**i <= 0.07)


def shared_out(items: Sequence[Item], shares: Sequence[float], seed: int) -> tuple[list[Item], ...]:
    """Items in parts of these relative sizes; those of a group stay together.

    Raises:
        SelectionError: if there are too few groups for so many parts.
    """
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.cluster, []).append(item)
    names = sorted(groups)
    if len(names) < len(shares):
        raise SelectionError(
            f"{count(len(items), 'item')} in {count(len(names), 'group')} cannot be shared out into {len(shares)} parts, to score by, choose on and "
            f"test on. Give {len(shares)} groups."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    parts: tuple[list[Item], ...] = tuple([] for _ in shares)
    last = len(shares) - 1
    wanted = np.cumsum(shares) / sum(shares) * len(items)
    part, placed = 0, 0
    for left, at in zip(range(len(names), 0, -1), order, strict=True):
        own = groups[names[at]]
        full = placed + len(own) / 2 > wanted[part] and parts[part]
        if part < last and (full or left <= last - part):
            part += 1
        parts[part].extend(own)
        placed += len(own)
    return parts


@dataclass(frozen=True, slots=True)
class Chooser:
    """How a mask follows from rankings and a fraction."""

    task: Ranking
    controls: tuple[Ranking, ...]
    control: float | None
    """The controls' own fraction; None: the same as the task's."""
    ties: Ties
    top_up: bool
    about: dict[str, Any]
    """What is written into the mask's file."""

    def weights(self, mask_fraction: float, half: int | None = None) -> WeightSet:
        """The task's top fraction that is in no control's top; by one half of all samples, or by all."""
        task, *controls = (r.whole if half is None else r.halves[half] for r in (self.task, *self.controls))
        q = mask_fraction if self.control is None else self.control
        found = (
            topped_up(task, controls, mask_fraction, q)
            if self.top_up
            else without(task, controls, mask_fraction, q, ties=self.ties)
        )
        return WeightSet(found.at, found.addresses, {**self.about, "mask_fraction": mask_fraction})

    def sizes(self, mask_fraction: float) -> dict[str, Any]:
        """What a fraction means here: nominal and realised sizes, overlap, rows and columns."""
        task = self.task.whole.top(mask_fraction, ties=self.ties)
        q = mask_fraction if self.control is None else self.control
        union = None
        for control in self.controls:
            top = control.whole.top(q, ties=self.ties)
            union = top if union is None else union | top
        shared = task.overlap(union) if union is not None else None
        weights = self.weights(mask_fraction)
        table = weights.by_matrix()
        return {
            "mask_fraction": mask_fraction,
            "nominal": self.task.whole.nominal(mask_fraction),
            "smallest_k": self.task.whole.smallest(mask_fraction),
            "task": task.count,
            "control": union.count if union is not None else 0,
            "shared": shared.shared if shared else 0,
            "shared_by_chance": shared.expected if shared else 0.0,
            "realised": weights.count,
            "percent": 100 * weights.count / weights.total,
            "rows": int(table["n_rows"].sum()),
            "columns": int(table["n_columns"].sum()),
        }

    def condition(self, mask_fraction: float, edit: Edit, label: str) -> Masked | None:
        """The mask of a fraction; None where it is empty."""
        weights = self.weights(mask_fraction)
        if not weights.count:
            return None
        return Condition("lesion", WeightMask(weights, edit), label, "top", 100 * mask_fraction, edit.name)

    def randoms(self, lm: LM, like: Masked, n: int, match: Match, seed: int, *, label: str) -> list[Masked]:
        """Random masks that share `match` with one that was chosen; fewer than n where they repeat themselves."""
        general = self.controls[0].whole if self.controls else None
        return matched_weights(lm, like, n, match, seed, label=label, general=general)
