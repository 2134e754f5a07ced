"""What a worker does: open the source once, then one part after the other.

What passes between the processes of an engine is pickled in memory, by them and for them; no such bytes touch a disk (what submitit
pickles for a job of Slurm is in `jobs`).
"""

from __future__ import annotations

import pickle
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeAlias

from broca.errors import BrocaError, EngineError, first_line
from broca.workers.threads import limit_threads

OPENING = 0
"""The number of the call that opens the source."""


@dataclass(frozen=True, slots=True)
class WorkerId:
    """Which worker of a pool this is, from 0, and how many threads it computes with."""

    index: int
    threads: int


class Source(Protocol):
    """How to make what a worker holds: a picklable value that each worker calls once."""

    @property
    def cuda(self) -> bool:
        """Whether it takes a GPU."""
        ...

    def __call__(self, worker_id: WorkerId, /) -> Any: ...


Opening: TypeAlias = Callable[[], AbstractContextManager[Source]]
"""Gives the source for as long as workers may start: it may have to be laid out on disk, and is not before it must."""


@dataclass(frozen=True, slots=True)
class Job:
    """One part for a worker: which call's and which part, and both as bytes; the task only where it is new."""

    call: int
    part: int
    task: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a part: a value, or an exception."""

    call: int
    part: int
    value: Any = None
    error: Exception | None = None


class Worker:
    """Lives in a process of its own; every answer is a pickled `Reply`."""

    def __init__(self, worker_id: WorkerId) -> None:
        self.worker_id = worker_id
        self._held: Any = None
        self._task: Callable[[Any, Any], Any] | None = None
        self._open = ExitStack()

    def open(self, source: bytes, path: Sequence[str] = ()) -> bytes:
        """Make what the worker holds; `path` is where its modules are, beside the usual places."""

        def open_model() -> None:
            sys.path.extend(folder for folder in path if folder not in sys.path)
            self._held = _unpickle_packet(source)(self.worker_id)
            self._open.enter_context(limit_threads(self.worker_id.threads))

        return _reply(OPENING, -1, open_model)

    def work(self, job: Job) -> bytes:
        """Compute one part."""

        def compute_part() -> Any:
            if job.task is not None:
                self._task = _unpickle_packet(job.task)
            assert self._task is not None
            return self._task(self._held, _unpickle_packet(job.value))

        return _reply(job.call, job.part, compute_part)


def attend(connection: Connection, worker: Worker, path: Sequence[str] = ()) -> None:
    """A worker's life at the end of a connection: what to open comes first, then jobs until the connection ends."""
    with suppress(EOFError, OSError):
        connection.send_bytes(worker.open(connection.recv(), path))
        while True:
            connection.send_bytes(worker.work(connection.recv()))


def first_words(error: BaseException) -> str:
    """What an error says first, to go on from within a sentence."""
    return first_line(error).rstrip(".")


def pack_value(value: object, what: str) -> bytes:
    """`value` as bytes for a worker.

    Raises:
        EngineError: if it cannot be sent.
    """
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
        raise EngineError(
            f"The {what} cannot be sent to workers: {error}. Define what it is made of in a module that can be "
            "imported, or stay in one process (engine=Local())."
        ) from error


def unpack_reply(reply: bytes) -> Reply:
    """What a worker said."""
    return pickle.loads(reply)  # noqa: S301 - from a process that this one started


def _unpickle_packet(packet: bytes) -> Any:
    try:
        return pickle.loads(packet)  # noqa: S301 - from the process that started this one
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"A worker cannot import what it was sent: {error}. Install the same packages wherever workers run, and define "
            "your own tasks and scorers in a module, not in a script or notebook."
        ) from error


def _reply(call: int, part: int, compute: Callable[[], Any]) -> bytes:
    try:
        return pickle.dumps(Reply(call, part, compute()))
    except Exception as error:  # noqa: BLE001 - it is raised again, where the work was ordered
        return pickle.dumps(Reply(call, part, error=_sendable(error)))


def _sendable(error: Exception) -> Exception:
    """The exception, if it survives the way to another process; one of ours that says the same otherwise."""
    if not isinstance(error, BrocaError):
        error.add_note("In a worker:\n" + "".join(traceback.format_exception(error)))
    try:
        if str(pickle.loads(pickle.dumps(error))) == str(error):  # noqa: S301 - our own bytes
            return error
    except Exception:  # noqa: BLE001, S110 - whatever its own pickling does wrong
        pass
    return BrocaError(f"{type(error).__name__} in a worker: {error}")
