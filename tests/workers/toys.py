"""What pools are tested on: a source and tasks without a model, that live in a module workers can import."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_info

from broca.errors import BrocaError, GuardError
from broca.workers.worker import WorkerId


@dataclass
class Held:
    """What a worker of these tests holds, and what stands for the LM in the calling process."""

    worker_id: WorkerId | None = None
    interventions: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def condition(self) -> tuple[str, ...]:
        return tuple(map(str, self.interventions))

    @contextmanager
    def under(self, *interventions: int) -> Iterator[Held]:
        before = self.interventions
        self.interventions = (*before, *interventions)
        try:
            yield self
        finally:
            self.interventions = before


@dataclass(frozen=True)
class Opens:
    """A source; it may fail, or be killed."""

    error: Exception | None = None
    dies: bool = False
    cuda: bool = False

    def __call__(self, worker_id: WorkerId, /) -> Held:
        if self.error:
            raise self.error
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return Held(worker_id)


@contextmanager
def opening(source: Any = None) -> Iterator[Any]:
    yield source or Opens()


def square(held: Any, part: int) -> int:
    return part * part


def pools(_held: Any, _part: int) -> set[int]:
    """Threads of each library that computes with several."""
    return {library["num_threads"] for library in threadpool_info()}


def who(held: Held, part: int) -> tuple[int, int]:
    return os.getpid(), held.worker_id.threads


@dataclass(frozen=True)
class FailsLate:
    """Raises at every part, at part 0 long after part 1."""

    mark: str

    def __call__(self, _held: Any, part: int) -> None:
        if part == 1:
            Path(self.mark).touch()
        for _ in range(20_000 if part == 0 else 0):
            while not Path(self.mark).exists():
                os.sched_yield()
        raise GuardError(f"part {part}")


class TwoArgumentsError(Exception):
    """Does not survive pickling: its own arguments are two, what it hands on is one."""

    def __init__(self, a: str, b: str) -> None:
        super().__init__(f"{a} {b}")


@dataclass(frozen=True)
class Fails:
    """Raises at some parts."""

    at: frozenset[int]
    error: Callable[[str], Exception] = GuardError

    def __call__(self, _held: Any, part: int) -> int:
        if part in self.at:
            raise self.error(f"part {part}")
        return part * part


def two(text: str) -> Exception:
    return TwoArgumentsError(text, "and")


@dataclass(frozen=True)
class Kills:
    """Ends its worker at a part, as often as there are marks left to make in a folder."""

    at: int
    times: int
    marks: str
    told: int = signal.SIGKILL

    def __call__(self, _held: Any, part: int) -> int:
        if part == self.at:
            for i in range(self.times):
                try:
                    (Path(self.marks) / str(i)).touch(exist_ok=False)
                except FileExistsError:
                    continue
                os.kill(os.getpid(), self.told)
        return part * part


@dataclass(frozen=True)
class Says:
    """Gives a text back."""

    text: str

    def __call__(self, _held: Any, _part: int) -> str:
        return self.text


@dataclass(frozen=True)
class Calls:
    """Does in a worker what another job would do."""

    call: Callable[[], None]

    def __call__(self, _held: Any, _part: int) -> None:
        self.call()


@dataclass(frozen=True)
class Blocks:
    """A cell that says that it is begun; all but part 0 are never done."""

    marks: str

    def key(self, _lm: Any, part: int, /) -> dict[str, Any]:
        return {"cell": "blocks", "part": part}

    def __call__(self, _held: Any, part: int, /) -> Any:
        (Path(self.marks) / str(part)).touch()
        if part:
            signal.pause()
        return {"part": np.array([part])}


@dataclass(frozen=True)
class Draw:
    """A cell: a table or arrays, drawn from the part and from what is in force; as in a study."""

    rows: int = 3
    fails: frozenset[int] = frozenset()

    def key(self, lm: Any, part: int, /) -> dict[str, Any]:
        return {"cell": "draw", "part": part, "rows": self.rows, "condition": list(lm.condition)}

    def __call__(self, lm: Any, part: int, /) -> Any:
        if part in self.fails:
            raise BrocaError(f"part {part}")
        rng = np.random.default_rng([part, *lm.interventions])
        if part % 2:
            return {"t": rng.normal(size=(self.rows, 2))}
        return pl.DataFrame({"id": [f"{part}-{i}" for i in range(self.rows)], "x": rng.normal(size=self.rows)})


@dataclass(frozen=True)
class Waits:
    """A cell whose part 0 is not done before somebody makes the mark."""

    mark: str

    def key(self, _lm: Any, part: int, /) -> dict[str, Any]:
        return {"cell": "waits", "part": part}

    def __call__(self, _held: Any, part: int, /) -> Any:
        while part == 0 and not Path(self.mark).exists():
            os.sched_yield()
        return {"at": np.array([part])}


def dead(pid: int) -> bool:
    """Gone, or a corpse that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
