"""How far the work is: a bar for each phase in a terminal; without one a line when a phase begins, and a line a minute while it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from broca.cli.console import err
from broca.page.words import duration
from broca.storage.secrets import hide_secrets

Tell = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and how much there is."""

EVERY = 60.0
"""Seconds between two lines of a phase."""
MEMORY = 600.0
"""Seconds of the past that the remaining time is told by: a step may take minutes."""


@contextmanager
def progress(clock: Callable[[], float] = monotonic) -> Iterator[Tell]:
    """Tell how far each phase is, on standard error.

    Args:
        clock: the time, in seconds.
    """
    if not err.is_terminal:
        yield Lines(clock).tell
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=err, get_time=clock, speed_estimate_period=MEMORY) as bars:

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(hide_secrets(what), total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield tell


@dataclass(slots=True)
class _Phase:
    """When a phase began, how much was done then, and when it was told of last."""

    began: float
    done: int
    told: float


@dataclass(slots=True)
class Lines:
    """Phases told of in lines."""

    clock: Callable[[], float]
    phases: dict[str, _Phase] = field(default_factory=dict)

    def tell(self, what: str, done: int, total: int) -> None:
        """Print a line where the phase is new, or the last line is a minute old."""
        now = self.clock()
        phase = self.phases.get(what)
        if phase is None:
            self.phases[what] = _Phase(now, done, now)
            err.print(f"{what} …", markup=False)
        elif now - phase.told >= EVERY:
            phase.told = now
            err.print(f"{what}: {done:,} of {total:,}{_rest(phase, done, total, now)}", markup=False, soft_wrap=True)


def _rest(phase: _Phase, done: int, total: int, now: float) -> str:
    """The remaining time at the pace so far; nothing where there is no pace yet."""
    if done <= phase.done or done >= total:
        return ""
    return f", about {duration((total - done) * (now - phase.began) / (done - phase.done))} left"
