"""What one point of the residual stream owes to another one and to what modules wrote, in steps of rounding.

A number of the stream is rounded when it is written, by half a unit in the last place at most. Equations are divided by that, so
that what is left over of a right fit is about a half everywhere, in any dtype, however large a channel is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LEFT, LEFT_HIGH = 1.0, 3.0
"""Half units in the last place that rounding leaves over at most: in one place of two, and in nine of ten."""
RESOLVED = 0.3
"""Share of the movement that may be left over: more of it, and hardly anything was seen to be written."""
_SURE = 5.0
"""Standard errors within which a constant may be another one."""
_SEEN = 0.8
"""Share of the squares of a writer that must lie in places where it is more than half a unit."""
_REAL = 48.0
"""By how much, as an F of one number more, a further writer has to mend a fit that chance cannot."""
_FELT = 0.05
"""Half units in the last place (root mean square) that a further writer must make a difference of."""


@dataclass(frozen=True, slots=True)
class Judge:
    """How equations are weighted and what else they leave open."""

    eps: float
    """Of the stream's dtype."""
    tiny: float = 0.0
    """The smallest normal number of the dtype: below it, steps do not shrink."""
    constant: bool = False
    """Each step may add a vector that is the same for every token, as biases outside modules do."""
    channels: bool = False
    """Each channel may have scales of its own."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The best constants of one set of writers."""

    chosen: tuple[int, ...]
    """Places among the writers, from 1."""
    weights: tuple[float, ...]
    """Of what was there before, and of each writer; the mean over channels where these have their own."""
    doubt: tuple[float, ...]
    """Their standard errors."""
    squares: float
    """Sum of squares of what is left over, in weighted half units."""
    free: int
    """Numbers that were fitted."""
    n: int
    error: float
    """What is left over, relative to the movement."""
    rounding: bool
    """Whether what is left over is rounding."""

    @property
    def is_resolved(self) -> bool:
        """Whether rounding is small beside what was written, and leaves no doubt that the stream is carried on."""
        return self.error <= RESOLVED and 2 * _SURE * self.doubt[0] <= abs(self.weights[0])

    def mends(self, other: Fit) -> bool:
        """Whether this fit, of more writers, is better than `other` by more than chance and by more than a trifle."""
        gained, more = other.squares - self.squares, max(1, self.free - other.free)
        noise = self.squares / max(1, self.n - self.free)
        return gained / more > (2 + _REAL / more) * noise and gained > self.n * _FELT**2


class Equations:
    """`there` as a combination of `here` and of writers, one equation for each token and channel."""

    def __init__(self, judge: Judge, here: Tensor, writers: Sequence[Tensor], there: Tensor) -> None:
        """Take the equations in.

        Args:
            judge: how they are weighted.
            here: ``(token, channel)``, float64.
            writers: of the same shape.
            there: of the same shape.
        """
        size = torch.maximum(here.abs(), there.abs())
        size = torch.maximum(size, size.median(-1, keepdim=True).values).clamp(min=judge.tiny)
        stream = size.clamp(min=1e-300) * (judge.eps / 2)
        unit = stream
        for written in writers:  # two that cancel each other leave the rounding of what was between
            unit = torch.maximum(unit, written.abs() * (judge.eps / 2))
        rows = torch.stack([here, *writers, there - here])
        if judge.constant:
            share = unit.square().reciprocal()
            rows = rows - (rows * share).sum(1, keepdim=True) / share.sum(0)
        rows = rows / unit
        self._in_units = (unit / stream).T if judge.channels else (unit / stream).reshape(1, -1)
        self.rows = rows.permute(2, 0, 1).contiguous() if judge.channels else rows.reshape(1, len(rows), -1)
        self.gram = self.rows @ self.rows.transpose(1, 2)
        self.moved = float(self.gram[:, -1, -1].sum().clamp(min=1e-300))
        self.held = here.shape[1] if judge.constant else 0

    def felt(self, writer: int, scale: float) -> bool:
        """Whether most of what a writer would add, times `scale`, is more than rounding takes away.

        What is smaller than half a unit in the last place is not added at all, so that constants come out too small.
        """
        size = (scale * self.rows[:, writer] * self._in_units).square()
        return float(size[size > 1].sum()) >= _SEEN * float(size.sum())

    def apart(self, writer: int, chosen: Sequence[int]) -> bool:
        """Whether a writer is anything else than what was there before and what the chosen ones write."""
        index = torch.tensor([0, *chosen], device=self.rows.device)
        with_them, own = self.gram[:, index, writer], self.gram[:, writer, writer]
        among = torch.linalg.pinv(self.gram[:, index[:, None], index], hermitian=True)
        shared = torch.einsum("ci,cij,cj->c", with_them, among, with_them)
        return float((own - shared).sum()) > 1e-3 * float(own.sum())

    def fit(self, chosen: tuple[int, ...]) -> Fit:
        """The best constants of a set of writers, to the last digit."""
        index = torch.tensor([0, *chosen], device=self.rows.device)
        used, goal = self.rows[:, index], self.rows[:, -1]
        gram = self.gram[:, index[:, None], index]
        norm = gram.diagonal(dim1=-2, dim2=-1).sqrt().clamp(min=1e-150)
        inverse = torch.linalg.pinv(gram / (norm[:, :, None] * norm[:, None]), hermitian=True)
        inverse = inverse / (norm[:, :, None] * norm[:, None])
        weights, left = torch.zeros_like(norm), goal
        for _ in range(3):  # the sum of products is good to half of the digits, what it leaves over to the other half
            weights = weights + torch.einsum("cij,cj->ci", inverse, torch.einsum("cin,cn->ci", used, left))
            left = goal - torch.einsum("cin,ci->cn", used, weights)
        squares, n, free = float(left.square().sum()), left.numel(), weights.numel() + self.held
        doubt = (inverse.diagonal(dim1=-2, dim2=-1).clamp(min=0).sum(0) * squares / max(1, n - free)).sqrt() / len(
            weights
        )
        mean = weights.mean(0)
        mean[0] += 1
        # Numbers that were fitted have taken up their share.
        units = (left * self._in_units).abs() * math.sqrt(n / max(1, n - free))
        shares = [float(torch.count_nonzero(units > most)) / n for most in (LEFT, LEFT_HIGH)]
        return Fit(
            chosen=chosen,
            weights=tuple(mean.tolist()),
            doubt=tuple(doubt.tolist()),
            squares=squares,
            free=free,
            n=n,
            error=math.sqrt(squares / self.moved),
            rounding=shares[0] <= 0.5 and shares[1] <= 0.1,
        )
