"""Blocks that carry several residual streams side by side (hyper-connections, Zhu et al., 2024; AltUp, Baykal et al., 2023).

For each token a block mixes its streams anew and adds what its writers write to each, times numbers that depend on the token. So
the proof is by token: each stream of what comes out is a combination of the streams that went in and of the writers. There are as
many equations as channels, and as many unknowns as streams and writers: a wrong writer does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from operator import itemgetter

import torch
from torch import Tensor

from broca.models.wiring.stream import Step

_GAIN = 4.0
"""A further writer is real if it makes the error smaller by this factor."""
_MOST = 4
_NAN = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """One block in one forward pass."""

    pre: Tensor
    """``(token, stream, channel)``"""
    post: Tensor
    points: Mapping[str, Tensor]
    """What modules inside were given of the same shape."""
    writers: Mapping[str, Tensor]
    """``(token, channel)`` by module, those without modules around them first."""


def several(x: Tensor, width: int, tokens: int) -> Tensor | None:
    """A hidden state of several streams as ``(token, stream, channel)``; None where it is of one stream, or of no known shape."""
    if x.numel() % (tokens * width) or x.numel() == tokens * width:
        return None
    if x.ndim == 4 and x.shape[:2] == (1, tokens) and x.shape[-1] == width:
        return x[0]
    if x.ndim == 4 and x.shape[1:] == (1, tokens, width):
        return x[:, 0].transpose(0, 1)
    return x.reshape(tokens, -1, width) if x.ndim == 3 and x.shape[:2] == (1, tokens) else None


def mixing_steps(seen: Streams, tolerance: float) -> tuple[Step, ...] | None:
    """The steps from `pre` to `post`, through the points inside where there are some; None where there are none."""
    seen = Streams(
        seen.pre.double(),
        seen.post.double(),
        {name: x.double() for name, x in seen.points.items()},
        {name: x.double() for name, x in seen.writers.items()},
    )
    for point in seen.points.values():
        if torch.equal(point, seen.pre):
            continue
        first = _step(seen, seen.pre, point, most=2, tolerance=tolerance)
        if first is None:
            continue
        gone = frozenset(writer for writer, _ in first.writers)
        rest = _step(seen, point, seen.post, most=2, tolerance=tolerance, used=gone)
        if rest is not None:
            return (first, rest)
    direct = _step(seen, seen.pre, seen.post, most=_MOST, tolerance=tolerance)
    return None if direct is None else (direct,)


def _step(
    seen: Streams, here: Tensor, there: Tensor, *, most: int, tolerance: float, used: frozenset[str] = frozenset()
) -> Step | None:
    names = [name for name in seen.writers if name not in used]
    none: tuple[float, tuple[str, ...], float] = (float("inf"), (), float("inf"))
    best = [
        min(_fits(seen, here, there, names, n), key=itemgetter(0), default=none)
        for n in range(1, min(most, len(names)) + 1)
    ]
    for i, (error, chosen, exact) in enumerate(best):
        if error < tolerance and error <= _GAIN * min(other for other, *_ in best[i:]) + 1e-5:
            return Step(tuple((name, _NAN) for name in chosen), _NAN, None, exact)
    return None


def _fits(
    seen: Streams, here: Tensor, there: Tensor, names: list[str], count: int
) -> Iterator[tuple[float, tuple[str, ...], float]]:
    """The error of every set of `count` writers: rounded first, so that of equal fits the set listed first counts."""
    # Each channel counts in its own steps of rounding, as in one stream (`broca.models.wiring.rounding`).
    size = torch.maximum(here.abs(), there.abs()).amax(1, keepdim=True)
    unit = torch.maximum(size, size.median(-1, keepdim=True).values).clamp(min=1e-300)
    here, there = here / unit, there / unit
    moved = (there - here).norm().clamp(min=1e-300)
    for chosen in combinations(names, count):
        used = torch.cat([here, *(seen.writers[name][:, None] / unit for name in chosen)], 1)
        left = there - there @ torch.linalg.pinv(used, rtol=1e-9) @ used
        error = float(left.norm() / moved)
        yield round(error, 6), chosen, error
