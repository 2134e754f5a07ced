"""The model of a call and who does the work: what the next command keeps of this one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from broca.cli.options import RUNS, Loading, Working, given_fields


@dataclass(frozen=True)
class Setting:
    """The model of a call, how it is loaded, who does the work, and where it goes."""

    model: str
    loading: Loading = field(default_factory=Loading)
    working: Working = field(default_factory=Working)
    out: Path = RUNS
    features: tuple[str, ...] = ()
    """The dictionaries that the model is held with."""

    def kept_options(self, *, working: bool = True, out: bool = True) -> dict[str, Any]:
        """The options that the next call keeps: those that say something else than what is usual."""
        groups = (self.loading, self.working) if working else (self.loading,)
        own = {
            each.name: value
            for group in groups
            for each in fields(group)
            if (value := getattr(group, each.name)) != each.default
        }
        own |= {"features": self.features} if self.features else {}
        return own | ({"out": self.out} if out and self.out != RUNS else {})


def values(*groups: Any, **further: Any) -> dict[str, Any]:
    """What was given of some groups of options, and of further ones, by name."""
    every = {name: value for group in groups for name, value in asdict(group).items()} | further
    return given_fields(**every)
