"""The way of the residual stream through a block, found from what was recorded in one forward pass, by values alone.

From what goes into the block to what comes out there must be a chain of *steps*: ``next = carry * here + sum(scale *
written)``, where what is written are outputs of modules, and a step may end in a norm (post-norm blocks, as in BERT). Names
play no part: modules are tried by how few are needed, then in the order given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import torch
from torch import Tensor

_LEAST_CARRY = 0.01
"""Below this share the stream is not carried on: what looks like a writer contains it."""
_GAIN = 4.0
"""A further writer is real if it makes the error smaller by this factor."""
_MOST, _TRIPLES = 48, 16
"""Modules tried in one block; those of which three together are tried."""
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Step:
    """``carry * here + sum(scale * output)``, then a norm where one is named."""

    writers: tuple[tuple[str, float], ...]
    """Modules and their scales."""
    carry: float
    norm: str | None
    error: float
    """Relative to what is written."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One block in one forward pass; tensors of the stream's size only, wherever they were made."""

    pre: Tensor
    post: Tensor
    outputs: Mapping[str, Tensor]
    """By module, relative to the block; of equal ones the first counts."""
    inputs: Mapping[str, Tensor]
    norms: Sequence[str]
    """Modules that may stand between two steps."""


def steps(
    record: Record, tolerance: float, *, constant: bool = False, channels: bool = False
) -> tuple[Step, ...] | None:
    """The chain of steps from `pre` to `post`; None where there is none.

    Args:
        record: what was seen.
        tolerance: largest relative error of a step.
        constant: let each step add a vector that is the same for every token, as biases outside modules do.
        channels: let each channel have scales of its own.
    """
    width = record.pre.shape[-1]

    def flat(x: Tensor) -> Tensor:
        x = x.to(record.pre.device, torch.float64).reshape(-1, width)
        x = x - x.mean(0) if constant else x
        return x.T.contiguous() if channels else x.reshape(1, -1)

    post = flat(record.post)
    points = {name: flat(record.inputs[name]) for name in record.norms if name in record.inputs}
    points = {name: x for name, x in points.items() if name in record.outputs}
    streams = [post, *points.values()]
    writers: dict[str, Tensor] = {}
    for name, output in record.outputs.items():
        x = flat(output)
        if len(writers) < _MOST and x.any() and not any(map(x.equal, (*streams, *writers.values()))):
            writers[name] = x
    # A close fit is sought first: where one writer outweighs the others, a loose one would do without them.
    for close, most in product((tolerance / (100 if tolerance < 1e-2 else 5), tolerance), (2, 3)):
        search = _Search(writers, points, {n: flat(record.outputs[n]) for n in points}, post, close)
        found = search.walk(flat(record.pre), most, _DEPTH, frozenset())
        if found is not None:
            return found
    return None


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    writers: Mapping[str, Tensor]
    points: Mapping[str, Tensor]
    """What goes into each norm."""
    normed: Mapping[str, Tensor]
    post: Tensor
    tolerance: float

    def walk(self, here: Tensor, most: int, depth: int, seen: frozenset[str]) -> tuple[Step, ...] | None:
        """The steps from `here` to the end of the block."""
        if here.equal(self.post):
            return ()
        direct = self.step(here, self.post, most, seen)
        if direct is not None:
            return (direct,)
        if not depth:
            return None
        for name, point in self.points.items():
            if name in seen:
                continue
            same = here.equal(point)
            step = Step((), 1.0, None, 0.0) if same else self.step(here, point, most, seen)
            if step is None:
                continue
            ways = [(self.normed[name], name)] if same else [(point, None), (self.normed[name], name)]
            for there, norm in ways:
                gone = {name, *(writer for writer, _ in step.writers)}
                rest = self.walk(there, most, depth - 1, seen | gone)
                if rest is not None:
                    return (Step(step.writers, step.carry, norm, step.error), *rest)
        return None

    def step(self, here: Tensor, there: Tensor, most: int, used: frozenset[str]) -> Step | None:
        """The fewest writers, other than those used, that lead from one point of the stream to another."""
        names = [name for name in self.writers if name not in used]
        rows = torch.stack([here, *(self.writers[name] for name in names), there], 1)
        gram = rows @ rows.transpose(1, 2)
        none: tuple[float, tuple[int, ...]] = (float("inf"), ())
        best = [min(self._fits(gram, count), default=none) for count in range(1, min(most, len(names)) + 1)]
        for i, (error, chosen) in enumerate(best):
            if error < self.tolerance and error <= _GAIN * min(other for other, _ in best[i:]) + 1e-5:
                return self._step(rows, names, chosen)
        return None

    def _fits(self, gram: Tensor, count: int) -> Iterator[tuple[float, tuple[int, ...]]]:
        """The error of every set of `count` writers, from inner products alone."""
        among = gram.shape[-1] - 2 if count < 3 else min(_TRIPLES, gram.shape[-1] - 2)
        sets = list(combinations(range(1, among + 1), count))
        if not sets:
            return
        index = torch.tensor(sets, device=gram.device)
        index = torch.cat([torch.zeros(len(index), 1, dtype=torch.long, device=gram.device), index], 1)
        small = gram[:, index[:, :, None], index[:, None, :]]
        right = gram[:, index, -1]
        size = small.diagonal(dim1=-2, dim2=-1).amax(-1)[..., None, None].clamp(min=1e-300)
        ridge = torch.eye(small.shape[-1], dtype=gram.dtype, device=gram.device) * size * 1e-14
        weights = torch.linalg.solve(small + ridge, right)
        left = (gram[:, -1, -1, None] - (weights * right).sum(-1)).clamp(min=0).sum(0)
        moved = (gram[:, -1, -1] - 2 * gram[:, 0, -1] + gram[:, 0, 0]).sum().clamp(min=1e-300)
        errors = (left / moved).sqrt()
        errors[weights[..., 0].abs().mean(0) < _LEAST_CARRY] = float("inf")
        errors[(weights[..., 1:].abs().amax(0) < 1e-6).any(-1)] = float("inf")
        # Rounding makes equal fits differ in the eighth digit: of those the set that was listed first counts.
        yield from ((round(error, 6), chosen) for error, chosen in zip(errors.tolist(), sets, strict=True))

    def _step(self, rows: Tensor, names: Sequence[str], chosen: tuple[int, ...]) -> Step:
        there = rows[:, -1]
        used = rows[:, [0, *chosen]].transpose(1, 2)
        weights = torch.linalg.lstsq(used, there[..., None]).solution[..., 0]
        written = there - weights[:, :1] * rows[:, 0]
        error = float((torch.einsum("cnk,ck->cn", used, weights) - there).norm() / written.norm())
        mean = weights.mean(0).tolist()
        return Step(tuple(zip((names[i - 1] for i in chosen), mean[1:], strict=True)), mean[0], None, error)
