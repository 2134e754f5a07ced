"""What each sample, by itself, says about a few chosen weights: for tests that need a value a sample."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.capture.objectives import AnsweredQuestion, Objective
from broca.capture.samples import Sums, Work
from broca.capture.weight_gradients import asking
from broca.models.lm import LM
from broca.models.weight_matrices import Matrix
from broca.units.weights import WeightSet


@dataclass
class _Look(Work):
    """A pass that adds nothing up: of each sample it keeps the squares at chosen places, and the sum of all squares."""

    places: dict[str, Tensor] = field(default_factory=dict)
    found: dict[str, Tensor] = field(default_factory=dict)
    total: float = 0.0

    def add(self, path: str, gradient: Tensor) -> None:
        self.reached.add(path)
        squares = gradient.double().square()
        self.total += self.weight * float(squares.sum())
        if path in self.places:
            self.found[path] = self.found.get(path, 0) + self.weight * squares.flatten()[self.places[path]].cpu()


def chosen_shares(
    lm: LM, samples: Sequence[AnsweredQuestion], objective: Objective, matrices: Sequence[Matrix], weights: WeightSet
) -> NDArray[np.float64]:
    """How many times its even share of a sample's squared gradient each chosen weight has, ``(sample, weight)``.

    1 is what a weight would have if all weights of `matrices` had the same; weights stand in the order of their matrices'
    names, then of their indices.
    """
    look = _Look(lm, objective, matrices, Sums((), (), {}))
    order: dict[str, list[Any]] = {}
    for matrix in matrices:
        if matrix.name in weights.at:
            shape = tuple(lm.model.get_parameter(matrix.parameter).shape)
            order.setdefault(matrix.parameter, []).append((matrix.name, matrix.places(weights.at[matrix.name], shape)))
    for path, parts in order.items():
        device = lm.model.get_parameter(path).device
        look.places[path] = torch.tensor(np.concatenate([places for _, places in parts]), device=device)
    n = sum(matrix.address.size for matrix in matrices)
    rows = []
    with ExitStack() as stack:
        stack.enter_context(asking(lm, {m.parameter for m in matrices}))
        stack.enter_context(look.accumulating())
        for i, asked in enumerate(samples):
            look.found, look.total = {}, 0.0
            look.one(0, [objective.rows(asked)], [i])
            rows.append(_row(look, order, weights) * n / look.total if look.total else np.zeros(weights.count))
    return np.stack(rows)


def _row(look: _Look, order: dict[str, list[Any]], weights: WeightSet) -> NDArray[np.float64]:
    by_matrix = {}
    for path, parts in order.items():
        values = look.found[path].numpy() if path in look.found else np.zeros(sum(len(at) for _, at in parts))
        cuts = np.cumsum([len(at) for _, at in parts])[:-1]
        by_matrix |= {name: part for (name, _), part in zip(parts, np.split(values, cuts), strict=True)}
    return np.concatenate([by_matrix[name] for name in weights.at])
