"""The cells of a study: a task over its parts, each remembered by its key, wherever it is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from broca.cache.cache import Cache, Json, Part
from broca.workers.pool import WorkerPool

P_contra = TypeVar("P_contra", contravariant=True)
P = TypeVar("P")


class Task(Protocol[P_contra]):
    """What the cells of one kind share, as a frozen value: picklable, and made of all that they depend on but the model."""

    def key(self, lm: Any, part: P_contra, /) -> Mapping[str, Json]:
        """The cell's address: everything that its value depends on within this study, model and data."""
        ...

    def __call__(self, lm: Any, part: P_contra, /) -> Part:
        """The cell's value, under whatever is in force."""
        ...


@dataclass(frozen=True, slots=True)
class PooledCache:
    """A cache whose cells a pool computes, where they come in numbers and are about the model that the pool holds."""

    cache: Cache
    pool: WorkerPool
    lm: Any

    def __call__(self, key: Mapping[str, Json], compute: Callable[[], Part], /) -> Part:
        return self.cache(key, compute)


def with_pool(cache: Cache, pool: WorkerPool | None, lm: Any) -> Cache:
    """The cache, with the pool that holds `lm` where there is one."""
    return cache if pool is None else PooledCache(cache, pool, lm)


def map_cached(
    task: Task[P],
    parts: Sequence[P],
    lm: Any,
    cache: Cache,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Part]:
    """The value of each part, in the order of the parts: remembered, or computed here or by the cache's pool.

    What is in force on `lm` is in force for each part, wherever that is computed. A cell is remembered as soon as it is
    done; an exception is raised where its part stands.

    Args:
        task: what is done.
        parts: to what.
        lm: on which model.
        cache: what remembers.
        progress: called with (parts done, parts in all).
    """
    told = progress or (lambda _done, _total: None)
    if isinstance(cache, PooledCache) and cache.lm is lm:
        yield from _Spread(task, parts, lm, cache, told)
        return
    told(0, len(parts))
    for done, part in enumerate(parts, 1):
        value = cache(task.key(lm, part), lambda part=part: task(lm, part))
        told(done, len(parts))
        yield value


@dataclass(frozen=True, slots=True)
class _CarriedTask:
    """A task with what is in force where it was ordered; its value comes with the notes that its model has."""

    task: Any
    interventions: tuple[Any, ...]

    def __call__(self, lm: Any, part: Any) -> tuple[Part, tuple[str, ...]]:
        with lm.under(*self.interventions):
            return self.task(lm, part), tuple(lm.notes)


class _UnknownError(Exception):
    """The cache does not remember."""


def _ask() -> Part:
    raise _UnknownError


@dataclass
class _Spread(Generic[P]):
    """Cells on their way: asked of the cache in order, computed by the pool in any order, given out in order."""

    task: Task[P]
    parts: Sequence[P]
    lm: Any
    cache: PooledCache
    told: Callable[[int, int], None]
    kept: dict[int, Part] = field(default_factory=dict)
    keys: dict[int, Mapping[str, Json]] = field(default_factory=dict)
    done: int = 0

    def __iter__(self) -> Iterator[Part]:
        self.told(0, len(self.parts))
        first = 0
        # What a killed run has left stands at the beginning: given out as it is read, it is never held all at once.
        while first < len(self.parts) and self._recall_part(first):
            yield self.kept.pop(first)
            first += 1
        computed = self.cache.pool.compute_parts(_CarriedTask(self.task, self.lm.interventions), self._unknown(first))
        for turn in range(first, len(self.parts)):
            while turn not in self.kept:
                i, (value, notes) = next(computed)
                self.lm.notes.extend(note for note in notes if note not in self.lm.notes)
                self._keep(i, self.cache(self.keys.pop(i), lambda value=value: value))
            yield self.kept.pop(turn)

    def _unknown(self, first: int) -> Iterator[tuple[int, P]]:
        for i in range(first, len(self.parts)):
            if i in self.keys or not self._recall_part(i):
                yield i, self.parts[i]

    def _recall_part(self, i: int) -> bool:
        self.keys[i] = self.task.key(self.lm, self.parts[i])
        try:
            self._keep(i, self.cache(self.keys[i], _ask))
        except _UnknownError:
            return False
        del self.keys[i]
        return True

    def _keep(self, i: int, value: Part) -> None:
        self.kept[i] = value
        self.done += 1
        self.told(self.done, len(self.parts))
