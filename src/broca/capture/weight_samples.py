"""What each sample, by itself, says about a few chosen weights: for tests that need a value a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.capture.objectives import Against, AnsweredQuestion, Objective
from broca.capture.samples import Sums, Work
from broca.capture.weight_gradients import asking
from broca.models.lm import LM
from broca.models.weight_matrices import Matrix
from broca.units.weights import WeightSet

Progress = Callable[[int, int], None]
"""Called with (samples done, samples in all)."""


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
    lm: LM,
    samples: Sequence[AnsweredQuestion],
    objective: Objective,
    matrices: Sequence[Matrix],
    weights: WeightSet,
    *,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """How many times its even share of a sample's squared gradient each chosen weight has, ``(sample, weight)``.

    1 is what a weight would have if all weights of `matrices` had the same; weights stand in the order of their matrices'
    names, then of their indices.
    """
    look = _Look(lm, objective, matrices, Sums((), (), {}))
    order: dict[str, list[Any]] = {}
    for matrix in matrices:
        if matrix.name in weights.at:
            order.setdefault(matrix.parameter, []).append((matrix.name, _places_in(lm, matrix, weights)))
    for path, parts in order.items():
        device = lm.model.get_parameter(path).device
        look.places[path] = torch.tensor(np.concatenate([places for _, places in parts]), device=device)
    n = sum(matrix.address.size for matrix in matrices)
    rows = []
    with ExitStack() as stack:
        stack.enter_context(asking(lm, {m.parameter for m in matrices}))
        stack.enter_context(look.accumulating())
        for i, asked in enumerate(samples):
            if progress is not None:
                progress(i, len(samples))
            look.found, look.total = {}, 0.0
            look.one(0, [objective.rows(asked)], [i])
            rows.append(_row(look, order, weights) * n / look.total if look.total else np.zeros(weights.count))
    if progress is not None:
        progress(len(samples), len(samples))
    return np.stack(rows)


def _places_in(lm: LM, matrix: Matrix, weights: WeightSet) -> NDArray[Any]:
    """Where the chosen weights of a matrix stand in its parameter."""
    return matrix.places(weights.at[matrix.name], tuple(lm.model.get_parameter(matrix.parameter).shape))


def _row(look: _Look, order: dict[str, list[Any]], weights: WeightSet) -> NDArray[np.float64]:
    by_matrix = {}
    for path, parts in order.items():
        values = look.found[path].numpy() if path in look.found else np.zeros(sum(len(at) for _, at in parts))
        cuts = np.cumsum([len(at) for _, at in parts])[:-1]
        by_matrix |= {name: part for (name, _), part in zip(parts, np.split(values, cuts), strict=True)}
    return np.concatenate([by_matrix[name] for name in weights.at])


BUCKETS = 8192
"""Coordinates of a sketch: products of gradients are right to about a hundredth of their lengths."""
EXACT = 1 << 21
"""Weights up to which gradients are kept as they are."""


@dataclass
class _Sketch(Work):
    """A pass that keeps each gradient: whole, at chosen places, and as a sketch where it is long (Charikar et al., 2002)."""

    places: dict[str, Tensor] = field(default_factory=dict)
    long: bool = False
    whole: dict[str, Tensor] = field(default_factory=dict)
    chosen: dict[str, Tensor] = field(default_factory=dict)

    def add(self, path: str, gradient: Tensor) -> None:
        self.reached.add(path)
        flat = gradient.detach().flatten().float().cpu()
        self.whole[path] = self.whole.get(path, 0) + self._short(path, flat)
        if path in self.places:
            self.chosen[path] = self.chosen.get(path, 0) + self._short(f"{path} chosen", flat[self.places[path]])

    def _short(self, name: str, values: Tensor) -> Tensor:
        if not self.long:
            return values
        generator = torch.Generator().manual_seed(crc32(name.encode()))
        buckets = torch.randint(2 * BUCKETS, values.shape, generator=generator)
        sketch = torch.zeros(BUCKETS)
        return sketch.index_add_(0, buckets // 2, values * (2 * (buckets % 2) - 1))

    def vectors(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """What was kept of one gradient, which is then forgotten."""
        found = []
        for kept in (self.whole, self.chosen):
            parts = [kept[path] for path in sorted(kept)]
            # Sketches of different names are independent: their sum is a sketch of the whole.
            found.append(np.asarray(sum(parts) if self.long else torch.cat(parts)))
            kept.clear()
        return found[0], found[1]


def answer_gradients(
    lm: LM,
    samples: Sequence[AnsweredQuestion],
    matrices: Sequence[Matrix],
    weights: WeightSet,
    *,
    progress: Progress | None = None,
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Gradients of the log-odds of every option of every sample, over all weights and over the chosen ones: ``(option, coordinate)`` each."""
    parameters = sorted({m.parameter for m in matrices})
    look = _Sketch(lm, Against(), matrices, Sums((), (), {}))
    look.long = sum(lm.model.get_parameter(path).numel() for path in parameters) > EXACT
    places: dict[str, list[NDArray[Any]]] = {}
    for matrix in matrices:
        if matrix.name in weights.at:
            places.setdefault(matrix.parameter, []).append(_places_in(lm, matrix, weights))
    look.places = {path: torch.tensor(np.concatenate(parts)) for path, parts in places.items()}
    found = []
    with ExitStack() as stack:
        stack.enter_context(asking(lm, {*parameters}))
        stack.enter_context(look.accumulating())
        for i, asked in enumerate(samples):
            if progress is not None:
                progress(i, len(samples))
            options = []
            with torch.enable_grad():
                right = [replace(asked, answer=answer) for answer in range(len(asked.question.options))]
                logprobs, _ = look.price_rows([look.objective.rows(right[0])], [i])
                for at in range(len(right)):
                    others = torch.cat([logprobs[:at], logprobs[at + 1 :]])
                    look.reached.clear()
                    (logprobs[at] - others.logsumexp(0)).backward(retain_graph=at + 1 < len(right))
                    look.assert_reached()
                    options.append(look.vectors())
            whole, chosen = zip(*options, strict=True)
            found.append((np.stack(whole), np.stack(chosen)))
    if progress is not None:
        progress(len(samples), len(samples))
    return found
