"""The way of the residual stream through a block, found from what was recorded on a few texts, by values alone.

From what goes into the block to what comes out there must be a chain of *steps*: ``next = carry * here + sum(scale *
written)``, where what is written are outputs of modules, and a step may end in a norm (post-norm blocks, as in BERT). Names
play no part: modules are tried by how few are needed, then in the order given.

Every number of the stream is rounded when it is written, so each equation is weighted by the rounding step of its place (least
squares with weights; Aitken, 1936): where a channel holds 25,000 it says nothing about writers of 10, and where one holds 0.1 it
says all. A chain is proved when what is left over is rounding and nothing else, whatever the dtype.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import torch
from torch import Tensor

from broca.models.wiring.rounding import LEFT, Equations, Fit, Judge

_LEAST_CARRY = 0.01
"""Below this share the stream is not carried on: what looks like a writer contains it."""
_GAIN = 4.0
"""Where more than rounding is left over, a further writer is real if it makes the error smaller by this factor."""
_MOST, _TRIPLES = 48, 16
"""Modules tried in one block; those of which three together are tried."""
_DEPTH = 8
_SURE = 5.0
"""Standard errors within which a constant may be another one."""
_FINE = 1e-6
"""In dtypes with finer steps than this, nothing that is written is lost."""
_SHORTLIST = 2
"""Sets of each size that are fitted to the last digit."""


@dataclass(frozen=True, slots=True)
class Step:
    """``carry * here + sum(scale * output)``, then a norm where one is named."""

    writers: tuple[tuple[str, float], ...]
    """Modules and their scales."""
    carry: float
    norm: str | None
    error: float
    """Relative to what is written, in rounding steps of each place."""
    unseen: tuple[str, ...] = ()
    """Modules that may write here too: the stream's rounding is too coarse to tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One block on a few texts, one after the other; tensors ``(token, channel)`` of the stream's size only."""

    pre: Tensor
    post: Tensor
    outputs: Mapping[str, Tensor]
    """By module, relative to the block; of equal ones the first counts."""
    inputs: Mapping[str, Tensor]
    norms: Sequence[str]
    """Modules that may stand between two steps."""
    dtype: torch.dtype
    """In which the stream is written."""
    parts: frozenset[str] = frozenset()
    """Modules that may write to the stream even where it cannot be seen: the block's own, with weights; norms, if behind one."""


def steps(
    record: Record, tolerance: float | None, *, constant: bool = False, channels: bool = False
) -> tuple[Step, ...] | None:
    """The chain of steps from `pre` to `post`; None where there is none.

    Args:
        record: what was seen.
        tolerance: largest relative error of a step; None asks that nothing but rounding be left over.
        constant: let each step add a vector that is the same for every token, as biases outside modules do.
        channels: let each channel have scales of its own.
    """
    known = torch.finfo(record.dtype)
    judge = Judge(known.eps, known.smallest_normal, constant, channels)
    parts = record.parts if known.eps > _FINE else frozenset()
    points = {name: record.inputs[name] for name in record.norms if name in record.inputs and name in record.outputs}
    writers: dict[str, Tensor] = {}
    for name, x in record.outputs.items():
        known_already = any(map(x.equal, (record.post, *points.values(), *writers.values())))
        if len(writers) < _MOST and x.any() and x.isfinite().all() and not known_already:
            writers[name] = x
    normed = {name: record.outputs[name] for name in points}
    # A close fit is sought first: where one writer outweighs the others, a loose one would do without them.
    close = () if tolerance is None else (tolerance / (100 if tolerance < 1e-2 else 5),)
    for limit, most in product((*close, tolerance), (2, 3)):
        search = _Search(writers, points, normed, record.post, judge, limit, parts)
        found = search.walk(record.pre, most, _DEPTH, frozenset())
        if found is not None:
            return _without_writers(found)
    return None


def follows(record: Record, known: Sequence[Step]) -> bool:
    """Whether these steps, with their very constants, lead from `pre` to `post` and leave nothing but rounding."""
    half, most = torch.finfo(record.dtype).eps / 2, LEFT * (1 + len(known))
    here = size = record.pre
    names = {name for step in known for name in (*(each for each, _ in step.writers), *filter(None, (step.norm,)))}
    if not names <= record.outputs.keys():
        return False
    for i, step in enumerate(known):
        there = step.carry * here + sum(
            (scale * record.outputs[name] for name, scale in step.writers), torch.zeros_like(here)
        )
        size = torch.maximum(size.abs(), there.abs())
        goal = record.inputs.get(step.norm) if step.norm else record.post if i == len(known) - 1 else None
        if goal is not None:
            unit = (
                torch.maximum(size, size.median(-1, keepdim=True).values).clamp(min=torch.finfo(record.dtype).tiny)
                * half
            )
            if float(((there - goal).abs() > most * unit).double().mean()) > 0.1:
                return False
            size = goal
        here = record.outputs[step.norm] if step.norm else there
    return here.equal(record.post) or not known[-1].norm


def _without_writers(found: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps; what is seen to write in one of them is not unseen in another."""
    known = {name for step in found for name, _ in step.writers if name not in step.unseen}
    return tuple(replace(step, unseen=tuple(name for name in step.unseen if name not in known)) for step in found)


def is_blurred(record: Record) -> bool:
    """Whether rounding alone explains the block in too many ways, so that its wiring is neither proved nor wrong."""
    known = torch.finfo(record.dtype)
    equations = Equations(
        Judge(known.eps, known.smallest_normal), record.pre, list(record.outputs.values()), record.post
    )
    fits = (_best(equations, n) for n in range(1, min(3, len(record.outputs)) + 1))
    return known.eps > _FINE and any(fit is not None and fit.rounding for fit in fits)


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    writers: Mapping[str, Tensor]
    points: Mapping[str, Tensor]
    """What goes into each norm."""
    normed: Mapping[str, Tensor]
    post: Tensor
    judge: Judge
    tolerance: float | None
    parts: frozenset[str]

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
                    return (replace(step, norm=norm), *rest)
        return None

    def step(self, here: Tensor, there: Tensor, most: int, used: frozenset[str]) -> Step | None:
        """The fewest writers, other than those used, that lead from one point of the stream to another."""
        names = [name for name in self.writers if name not in used]
        equations = Equations(self.judge, here, [self.writers[name] for name in names], there)
        best = [fit for n in range(1, min(most, len(names)) + 1) if (fit := _best(equations, n)) is not None]
        for i, fit in enumerate(best):
            if not self._holds(fit) or any(self._better(more, fit) for more in best[i + 1 :]):
                continue
            chosen = [names[i - 1] for i in fit.chosen]
            # Whatever else the block computes, these alone are in the equations now.
            alone = Equations(self.judge, here, [self.writers[name] for name in chosen], there)
            last = alone.fit(tuple(range(1, len(chosen) + 1)))
            if self._holds(last):
                return replace(self._name_step(last, chosen), unseen=self._unseen(equations, last, names, chosen))
        return None

    def _unseen(self, equations: Equations, fit: Fit, names: Sequence[str], chosen: Sequence[str]) -> tuple[str, ...]:
        """Parts of the block that rounding hides, or hides half of."""
        scales = dict(zip(chosen, fit.weights[1:], strict=True))
        places = {name: i for i, name in enumerate(names, 1)}
        like = sum(scales.values()) / len(scales)

        def is_hidden(name: str) -> bool:
            if not equations.felt(places[name], scales.get(name, like)):
                return True
            others = [places[each] for each in chosen]
            if name in scales or not equations.apart(places[name], others):
                return False
            more = equations.fit((*others, places[name]))
            # Of what is hardly more than rounding a half may be lost, and nothing of it is certain.
            return abs(more.weights[-1] - like) <= max(_SURE * more.doubt[-1], abs(like) / 2)

        return tuple(name for name in places if name in self.parts and is_hidden(name))

    def _holds(self, fit: Fit) -> bool:
        return fit.rounding and fit.is_resolved if self.tolerance is None else fit.error < self.tolerance

    def _better(self, more: Fit, fit: Fit) -> bool:
        return more.mends(fit) if self.tolerance is None else fit.error > _GAIN * more.error + 1e-5

    def _name_step(self, fit: Fit, names: Sequence[str]) -> Step:
        doubts = [5 * doubt if self.tolerance is None else 2 * fit.error for doubt in fit.doubt]
        carry, *scales = (_plain(x, doubt) for x, doubt in zip(fit.weights, doubts, strict=True))
        return Step(tuple(zip(names, scales, strict=True)), carry, None, float(f"{fit.error:.1e}"))


def _plain(x: float, doubt: float) -> float:
    """A constant without the digits that rounding made: they depend on the machine."""
    if abs(x - 1) <= doubt + 1e-9:
        return 1.0
    known = 6 if doubt <= 0 else int(-math.log10(doubt / max(abs(x), 1e-12)))
    return float(f"{x:.{min(6, max(2, known))}g}")


def _best(equations: Equations, count: int) -> Fit | None:
    """The best of all sets of `count` writers; of those that fit alike the one that is listed first."""
    likely = sorted(_errors(equations, count))[:_SHORTLIST]
    fits = [
        equations.fit(chosen) for error, chosen in likely if error < float("inf") and error <= 2 * likely[0][0] + 1e-5
    ]
    # Rounding makes equal fits differ in the last digits.
    return min(fits, key=lambda fit: float(f"{fit.squares:.3g}"), default=None)


def _errors(equations: Equations, count: int) -> Iterator[tuple[float, tuple[int, ...]]]:
    """The error of every set of `count` writers, from inner products alone."""
    gram = equations.gram
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
    errors = (left / equations.moved).sqrt()
    errors[(weights[..., 0] + 1).abs().mean(0) < _LEAST_CARRY] = float("inf")
    errors[(weights[..., 1:].abs().amax(0) < 1e-6).any(-1)] = float("inf")
    # Rounding makes equal fits differ in the eighth digit: of those the set that was listed first counts.
    yield from ((round(error, 6), chosen) for error, chosen in zip(errors.tolist(), sets, strict=True))
