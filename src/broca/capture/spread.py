"""How vectors spread, streamed: principal components of many sites at once.

Narrow sites keep their whole comoment, and the components are exact. Of wide ones, whose comoments would fill memory, the
centred rows themselves are kept, up to a few hundred; then the directions that hold most of them (incremental PCA: Ross et
al., 2008). So the first components of few hundred rows are exact there too, and of more very nearly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broca.capture.reduce import Floats, Moments

NARROW = 256
"""Up to how many units the comoment is kept."""
_ROWS = 256
"""How many rows a wide site holds before they are cut down,"""
_KEPT = 64
"""and to how many."""


@dataclass(slots=True)
class Spread:
    """Count, mean and spread of vectors at several sites; add them in the order of the stimuli."""

    moments: Moments = field(default_factory=Moments)
    """Of every unit, ``(site, unit)``."""
    shape: Floats = field(default_factory=lambda: np.zeros(0))
    """``(site, unit, unit)`` comoments, or ``(site, row, unit)`` rows whose product they are."""

    def update(self, values: NDArray[Any]) -> None:
        """Take in ``(stimulus, site, unit)``."""
        if len(values) == 0:
            return
        x = np.asarray(values, np.float64)
        moments = Moments()
        moments.update(x)
        centred = (x - moments.mean).transpose(1, 0, 2)
        narrow = x.shape[2] <= NARROW
        merged = self + Spread(moments, centred.transpose(0, 2, 1) @ centred if narrow else _cut(centred))
        self.moments, self.shape = merged.moments, merged.shape

    def __add__(self, other: Spread) -> Spread:
        a, b = self.moments, other.moments
        if not a.count or not b.count:
            kept = self if a.count else other
            return Spread(kept.moments, kept.shape)
        apart = (b.mean - a.mean) * np.sqrt(a.count * b.count / (a.count + b.count))
        if a.mean.shape[1] <= NARROW:
            shape = self.shape + other.shape + apart[:, :, None] * apart[:, None, :]
        else:
            shape = _cut(np.concatenate([self.shape, other.shape, apart[:, None]], 1))
        return Spread(a + b, shape)

    def result(self, k: int = 5, left_out: NDArray[np.bool_] | None = None) -> Components:
        """The first components.

        Args:
            k: how many.
            left_out: ``(site, unit)`` coordinates to leave out, such as massive ones.
        """
        moments = self.moments
        kept = np.ones_like(moments.mean, dtype=bool) if left_out is None else ~left_out
        total = np.where(kept, moments.m2, 0).sum(1)
        narrow = moments.mean.shape[1] <= NARROW
        shape = self.shape * kept[:, None]
        shape = shape * kept[:, :, None] if narrow else shape @ shape.transpose(0, 2, 1)
        values, vectors = np.linalg.eigh(shape)
        values, first = np.maximum(values[:, ::-1][:, :k], 0), vectors[:, :, -1]
        if not narrow:
            first = np.einsum("sr,sru->su", first, self.shape * kept[:, None])
            size = np.linalg.norm(first, axis=1, keepdims=True)
            first = np.divide(first, size, out=np.zeros_like(first), where=size > 0)
        values = np.pad(values, ((0, 0), (0, k - values.shape[1])))
        explained = np.divide(values, total[:, None], out=np.full_like(values, np.nan), where=total[:, None] > 0)
        largest = np.abs(first).argmax(1)
        share = np.where(total > 0, np.abs(first).max(1), np.nan)
        return Components(explained, largest, share)


@dataclass(frozen=True, slots=True)
class Components:
    """Principal components at several sites."""

    explained: Floats
    """``(site, k)``: the share of the variance that each holds; NaN where there is none."""
    coordinate: NDArray[np.int64]
    """``(site,)``: the unit on which the first component is largest,"""
    share: Floats
    """``(site,)``: and its absolute weight there, 0 to 1. Near 1, with nearly all variance explained, the component is one
    coordinate, as massive activations make it (Sun et al., 2024), and no direction of the model's own."""


def _cut(rows: Floats) -> Floats:
    """``(site, row, unit)`` cut down to the directions that hold most, if there are too many rows."""
    if rows.shape[1] <= _ROWS:
        return rows
    _, vectors = np.linalg.eigh(rows @ rows.transpose(0, 2, 1))
    return vectors[:, :, -_KEPT:].transpose(0, 2, 1) @ rows
