"""What a study asks of whoever runs it: a cache for expensive cells, and an ear for progress.

A study hands every expensive step to a `Cache` as a key (what it is) and a function (how to compute it). With
`no_cache` nothing is kept and the study is a plain function; `broca.runs` passes a cache that lives on disk, so that a killed run
resumes at the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import polars as pl

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""What JSON can say."""

Part: TypeAlias = pl.DataFrame | dict[str, np.ndarray]
"""What a cell holds: one table, or named arrays of numbers."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and how much there is."""


class Cache(Protocol):
    """Answers a key: with what is remembered of it, or by computing it."""

    def __call__(self, key: Mapping[str, Json], compute: Callable[[], Part], /) -> Part:
        """The value of `key`.

        Args:
            key: everything that the value depends on within this study, model and data: intervention, item, decoding,
                seed. Two cells with the same key must be the same cell.
            compute: how to get the value.
        """
        ...


class Draft(Protocol):
    """Where unfinished work is left now and then, and found again after a crash; the newest is the only one."""

    def load(self) -> Mapping[str, np.ndarray] | None:
        """What was left; None where there is nothing, or nothing whole."""
        ...

    def save(self, arrays: Mapping[str, np.ndarray], /) -> None:
        """Leave these instead, whole or not at all."""
        ...

    def drop(self) -> None:
        """Leave nothing: the work is done."""
        ...


def draft_of(cache: Cache, key: Mapping[str, Json]) -> Draft | None:
    """A place for the unfinished value of `key`, where the cache, or the one that it wraps, has such places."""
    for each in (cache, getattr(cache, "cache", None)):
        if make := getattr(each, "draft", None):
            return make(key)
    return None


def no_cache(key: Mapping[str, Json], compute: Callable[[], Part], /) -> Part:  # noqa: ARG001 - the protocol's shape
    """The cache that remembers nothing: computes every time."""
    return compute()


def silent(what: str, done: int, total: int) -> None:
    """The progress that says nothing."""
