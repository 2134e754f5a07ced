"""Where the work runs: here, one part after the other.

An engine maps a task over parts and keeps their order, so that what is added up afterwards does not depend on who
finished first. Another place to run (a cluster) is another class with this one method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Engine(Protocol):
    """Maps a task over parts."""

    def map(self, task: Callable[[A], B], parts: Iterable[A], /) -> Iterator[B]:
        """The task's result for each part, in the order of the parts. An exception is raised where its part stands."""
        ...


@dataclass(frozen=True, slots=True)
class Local:
    """This process, one part after the other, each computed when it is asked for."""

    def map(self, task: Callable[[A], B], parts: Iterable[A], /) -> Iterator[B]:
        return (task(part) for part in parts)
