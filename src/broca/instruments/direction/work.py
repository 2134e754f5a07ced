"""What every step of a direction's test has at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broca.cache.cache import Cache, Progress
from broca.evidence.directions import ContrastValues
from broca.evidence.steering import Fluency
from broca.instruments.direction.spec import DirectionTest
from broca.models.lm import LM
from broca.sites import Site
from broca.stats.axes import Axis


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """The study, the model, and what was read of the contrast."""

    spec: DirectionTest
    lm: LM
    seen: ContrastValues
    axes: Mapping[Site, Axis]
    """At each site, fitted without the groups of the items that test."""
    fluency: Fluency
    cache: Cache
    progress: Progress
