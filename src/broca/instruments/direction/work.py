"""What every step of a direction's test has at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broca.cache.cache import Cache, Progress
from broca.evidence.directions import ContrastValues
from broca.evidence.maps import Floats
from broca.evidence.steering import Fluency
from broca.instruments.direction.spec import DirectionTest
from broca.models.lm import LM
from broca.sites import Site
from broca.stats.axes import Axis
from broca.units.direction import Direction


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """The study, the model, the direction at every site, and what was read of the contrast."""

    spec: DirectionTest
    lm: LM
    whole: Direction
    """At each site; of a contrast fitted without the groups of the items that test."""
    axes: Mapping[Site, Axis]
    """The same as it was fitted, in float64."""
    rest: Mapping[Site, Floats]
    """(point, unit) What stands at each site, about the means of the sides: how it varies beside the direction."""
    seen: ContrastValues | None
    """What was read of the contrast; None where the direction was given."""
    fluency: Fluency
    cache: Cache
    progress: Progress

    @property
    def name(self) -> str:
        """Of the direction."""
        return str(self.whole.about["name"])
