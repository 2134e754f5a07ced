"""A pool of workers that each hold the model, the parts they are given, and what is done when one of them dies.

Which worker computes a part, and when, changes nothing in what comes out: a part is a pure function of what the worker
holds. A worker that dies costs the part it was at; another one does it again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, Self

from broca.errors import EngineError
from broca.workers.worker import OPENING, Job, Opening, Reply, Source, WorkerId, pack_value, unpack_reply

_log = logging.getLogger(__name__)

TRIES = 3
"""How often a part is begun, or a worker opened, before its death is taken for the part's own doing."""


@dataclass(frozen=True, slots=True)
class Died:
    """A worker's end, in words."""

    how: str


class Transport(Protocol):
    """How workers are started, and spoken to."""

    def spawn(self, worker_id: WorkerId, source: bytes) -> None:
        """Start a worker, in the place of a dead one of this number. It reports when it has opened the source."""
        ...

    def give(self, worker_id: int, job: Job) -> None:
        """Hand a part to a worker that has none. That it is dead shows in the reports."""
        ...

    def reports(self) -> list[tuple[int, bytes | Died]]:
        """Wait until some worker has something to say: by its number, a `Reply` as bytes or, once, its death."""
        ...

    def close(self) -> None:
        """End every worker, whatever it is at."""
        ...


@dataclass
class _Call:
    """One task over its parts."""

    number: int
    task: bytes
    parts: Iterator[tuple[int, Any]]
    waiting: deque[tuple[int, bytes]] = field(default_factory=deque)
    running: dict[int, bytes] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)
    errors: dict[int, Exception] = field(default_factory=dict)
    drawn: bool = False
    """Whether all parts are."""

    def draw(self, n: int) -> None:
        """See that `n` parts wait, as far as there are any; after an error only what stands before it is wanted."""
        while len(self.waiting) < n and not self.drawn:
            if (part := next(self.parts, None)) is None:
                self.drawn = True
                return
            self.waiting.append((part[0], pack_value(part[1], "part")))

    def fail_part(self, part: int, error: Exception) -> None:
        self.errors[part] = error
        self.drawn = True
        first = min(self.errors)
        self.waiting = deque(each for each in self.waiting if each[0] < first)

    @property
    def over(self) -> bool:
        first = min(self.errors, default=None)
        return self.drawn and not self.waiting and not any(first is None or part < first for part in self.running)


class WorkerPool:
    """Up to `workers` workers, spawned as there are parts for them.

    Args:
        connect: makes the transport for a source, when the first worker is needed.
        opening: gives the source, which each worker opens.
        workers: how many at most.
        threads: of each.
    """

    def __init__(self, connect: Callable[[Source], Transport], opening: Opening, *, workers: int, threads: int) -> None:
        self.workers, self.threads = workers, threads
        self.n_spawned = 0
        """How many workers there have been at once."""
        self._connect, self._opening = connect, opening
        self._open = ExitStack()
        self._source = b""
        self._calls = OPENING
        self._starting: set[int] = set()
        self._stillborn = 0
        self._idle: set[int] = set()
        self._at: dict[int, tuple[int, int]] = {}
        self._knows: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def ready(self) -> None:
        """Start every worker and wait until each has opened the source.

        Raises:
            EngineError: if workers cannot be reached, or die before they have opened it.
        """
        while len(self.worker_ids) < self.workers:
            self._spawn(len(self.worker_ids))
        while self._starting:
            self._listen(None)

    def compute_parts(
        self, task: Callable[[Any, Any], Any], parts: Iterable[tuple[int, Any]]
    ) -> Iterator[tuple[int, Any]]:
        """Each part's number and ``task(held, part)``, as they are done; parts are drawn in order, when there is room.

        Args:
            task: a picklable function of what a worker holds and a part.
            parts: numbered upwards.

        Raises:
            EngineError: if workers cannot be reached, or a part ends one worker after the other.
            Exception: what the task raised, once all that stands before its part is done: what one process would raise.
        """
        self._calls += 1
        call = _Call(self._calls, pack_value(task, "task"), iter(parts))
        self._assign(call)
        while not call.over:
            done = self._listen(call)
            self._assign(call)
            yield from done
        if call.errors:
            raise call.errors[min(call.errors)]

    @property
    def worker_ids(self) -> set[int]:
        return {*self._starting, *self._idle, *self._at}

    def _assign(self, call: _Call) -> None:
        """Give parts to whoever is free, and spawn for those that are left."""
        call.draw(self.workers - len(self._at))
        while call.waiting and self._idle:
            worker_id = min(self._idle)
            part, value = call.waiting.popleft()
            task = call.task if self._knows.get(worker_id) != call.number else None
            self._knows[worker_id] = call.number
            self._idle.discard(worker_id)
            self._at[worker_id] = (call.number, part)
            call.running[part] = value
            self._staff.give(worker_id, Job(call.number, part, task, value))
        while len(call.waiting) > len(self._starting) and len(self.worker_ids) < self.workers:
            self._spawn(min(set(range(self.workers)) - self.worker_ids))

    @cached_property
    def _staff(self) -> Transport:
        source = self._open.enter_context(self._opening())
        self._source = pack_value(source, "model")
        staff = self._connect(source)
        self._open.callback(staff.close)
        return staff

    def _spawn(self, worker_id: int) -> None:
        staff = self._staff
        self.n_spawned = max(self.n_spawned, len(self.worker_ids | {worker_id}))
        self._starting.add(worker_id)
        staff.spawn(WorkerId(worker_id, self.threads), self._source)

    def _listen(self, call: _Call | None) -> list[tuple[int, Any]]:
        """Wait for reports; what they bring for this call."""
        done = []
        for worker_id, report in self._staff.reports():
            if isinstance(report, Died):
                self._bury(worker_id, report, call)
                continue
            reply = unpack_reply(report)
            if reply.call == OPENING:
                self._take_opening(worker_id, reply)
                continue
            del self._at[worker_id]
            self._idle.add(worker_id)
            # A part of a call that nobody waits for any more is let go.
            if call is not None and reply.call == call.number:
                del call.running[reply.part]
                if reply.error is None:
                    done.append((reply.part, reply.value))
                else:
                    call.fail_part(reply.part, reply.error)
        return done

    def _take_opening(self, worker_id: int, reply: Reply) -> None:
        self._starting.discard(worker_id)
        if reply.error is not None:
            raise reply.error
        self._stillborn = 0
        self._idle.add(worker_id)

    def _bury(self, worker_id: int, died: Died, call: _Call | None) -> None:
        """Hand on what a dead worker was at.

        Raises:
            EngineError: if its part, or the opening, has ended as many workers as are tried.
        """
        self._knows.pop(worker_id, None)
        if worker_id in self._starting:
            self._starting.discard(worker_id)
            self._stillborn += 1
            if self._stillborn >= TRIES:
                raise EngineError(
                    f"{TRIES} workers ended before they held the model (the last one: {died.how}). Use fewer workers if "
                    "memory ran out. In a script of your own, start the run under: if __name__ == '__main__':"
                )
            self._spawn(worker_id)
            return
        self._idle.discard(worker_id)
        number, part = self._at.pop(worker_id, (OPENING, -1))
        if call is None or number != call.number:
            return
        value = call.running.pop(part)
        call.deaths[part] = call.deaths.get(part, 0) + 1
        if call.deaths[part] >= TRIES:
            raise EngineError(
                f"Part {part} has ended {TRIES} workers (the last one: {died.how}). What is done is kept. Use fewer workers or "
                "a smaller dtype if memory ran out, or one process (engine=Local()) to see it fail here."
            )
        _log.warning("A worker ended (%s). Another one does its part again.", died.how)
        if part < min(call.errors, default=part + 1):
            call.waiting.appendleft((part, value))
