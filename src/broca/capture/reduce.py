"""Streaming reducers: statistics of activations that never hold the activations.

Every reducer is a monoid: it starts empty, takes values in, and two of them add up. That one law is what lets the
same study run in a loop, over shards, or after a kill. Sums are float64; floating sums depend on their order, so
whoever adds reducers adds them in the order of the stimuli (`broca.capture.activations` does).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Reducer(Protocol):
    """What `capture` keeps for each site."""

    def update(self, values: NDArray[Any]) -> None:
        """Take in ``(stimulus, unit)`` values."""
        ...

    def __add__(self, other: Any) -> Any: ...

    def result(self) -> Any:
        """The statistic."""
        ...


@dataclass(slots=True)
class Moments:
    """Count, mean and sum of squared deviations of every unit.

    Merged by the pairwise update of Chan, Golub & LeVeque (1983), which loses no precision to large means.
    """

    count: int = 0
    mean: Floats = field(default_factory=lambda: np.zeros(0))
    m2: Floats = field(default_factory=lambda: np.zeros(0))

    def update(self, values: NDArray[Any]) -> None:
        if len(values) == 0:
            return
        x = np.asarray(values, dtype=np.float64)
        mean = x.mean(0)
        merged = self + Moments(len(x), mean, np.square(x - mean).sum(0))
        self.count, self.mean, self.m2 = merged.count, merged.mean, merged.m2

    def __add__(self, other: Moments) -> Moments:
        if not self.count or not other.count:
            kept = self if self.count else other
            return Moments(kept.count, kept.mean, kept.m2)
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        m2 = self.m2 + other.m2 + delta * delta * (self.count * other.count / count)
        return Moments(count, mean, m2)

    @property
    def variance(self) -> Floats:
        """Sample variance (n - 1); NaN below two values."""
        return self.m2 / (self.count - 1) if self.count > 1 else np.full_like(self.m2, np.nan)

    def result(self) -> Moments:
        return self


@dataclass(slots=True)
class Gather:
    """The pooled values themselves, ``(stimulus, unit)``, in order. Grows with the stimuli: ask for few units."""

    parts: list[NDArray[Any]] = field(default_factory=list)

    def update(self, values: NDArray[Any]) -> None:
        self.parts.append(np.array(values, copy=True))

    def __add__(self, other: Gather) -> Gather:
        return Gather([*self.parts, *other.parts])

    def result(self) -> NDArray[Any]:
        return np.concatenate(self.parts) if self.parts else np.zeros((0, 0))


@dataclass(slots=True)
class Covariance:
    """Mean and covariance of the units of a site; ``(unit, unit)`` float64, so for narrow sites."""

    count: int = 0
    mean: Floats = field(default_factory=lambda: np.zeros(0))
    comoment: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def update(self, values: NDArray[Any]) -> None:
        if len(values) == 0:
            return
        x = np.asarray(values, dtype=np.float64)
        centred = x - x.mean(0)
        merged = self + Covariance(len(x), x.mean(0), centred.T @ centred)
        self.count, self.mean, self.comoment = merged.count, merged.mean, merged.comoment

    def __add__(self, other: Covariance) -> Covariance:
        if not self.count or not other.count:
            kept = self if self.count else other
            return Covariance(kept.count, kept.mean, kept.comoment)
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        cross = np.outer(delta, delta) * (self.count * other.count / count)
        return Covariance(count, mean, self.comoment + other.comoment + cross)

    def result(self) -> Floats:
        """The sample covariance (n - 1)."""
        return self.comoment / (self.count - 1) if self.count > 1 else np.full_like(self.comoment, np.nan)


@dataclass(slots=True)
class Extremes:
    """Smallest and largest value of every unit, and the stimulus that gave it (the first one, on ties)."""

    count: int = 0
    low: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    high: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    low_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    high_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def update(self, values: NDArray[Any]) -> None:
        if len(values) == 0:
            return
        x = np.asarray(values)
        merged = self + Extremes(len(x), x.min(0), x.max(0), x.argmin(0), x.argmax(0))
        self.count, self.low, self.high = merged.count, merged.low, merged.high
        self.low_at, self.high_at = merged.low_at, merged.high_at

    def __add__(self, other: Extremes) -> Extremes:
        if not self.count or not other.count:
            kept = self if self.count else other
            return Extremes(kept.count, kept.low, kept.high, kept.low_at, kept.high_at)
        lower, higher = other.low < self.low, other.high > self.high
        return Extremes(
            self.count + other.count,
            np.where(lower, other.low, self.low),
            np.where(higher, other.high, self.high),
            np.where(lower, other.low_at + self.count, self.low_at),
            np.where(higher, other.high_at + self.count, self.high_at),
        )

    def result(self) -> Extremes:
        return self
