"""This machine: the calling process, one part after the other, or several processes that each hold the model."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from broca.errors import SpecError
from broca.workers.pool import Died, WorkerPool
from broca.workers.threads import share
from broca.workers.worker import Job, Opening, Worker, WorkerId, attend

_PATIENCE = 5.0
"""Seconds that an ended process is given to be gone."""


@dataclass(frozen=True, slots=True)
class Local:
    """This machine.

    Args:
        workers: how many processes; with 1 it is the calling one.
        threads: of each process. None: an equal share of the cores, or, with one process, as torch has it.

    Raises:
        SpecError: if a number is below 1.
    """

    workers: int = 1
    threads: int | None = None

    def __post_init__(self) -> None:
        at_least_one(workers=self.workers, threads=self.threads)

    @property
    def threads_each(self) -> int | None:
        return self.threads if self.threads or self.workers == 1 else share(self.workers)

    @property
    def here(self) -> bool:
        return True

    @property
    def record(self) -> Mapping[str, Any]:
        return {"kind": "local", "workers": self.workers}

    def open_pool(self, opening: Opening, _folder: Path | None = None, /) -> AbstractContextManager[WorkerPool | None]:
        if self.workers == 1:
            return nullcontext()
        return WorkerPool(lambda _source: Processes(), opening, workers=self.workers, threads=self.threads_each or 1)


def at_least_one(**numbers: int | None) -> None:
    """Refuse what no engine can have.

    Raises:
        SpecError: naming the number.
    """
    for name, n in numbers.items():
        if n is not None and n < 1:
            raise SpecError(f"{name} is {n}. Give 1 or more.")


class Processes:
    """Workers as processes of this machine, each at the other end of a pipe.

    They are spawned, not forked: a fork of a process that has computed with threads, or on a GPU, may hang.
    """

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._staff: dict[int, tuple[Any, Connection]] = {}

    def spawn(self, worker_id: WorkerId, source: bytes) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, worker_id), name=f"broca-{worker_id.index}", daemon=True
        )
        with _without_interrupts():
            process.start()
        # Its own end must be the last one open, so that its death ends the connection.
        theirs.close()
        self._staff[worker_id.index] = (process, ours)
        self._send(worker_id.index, source)

    def give(self, worker_id: int, job: Job) -> None:
        self._send(worker_id, job)

    def reports(self) -> list[tuple[int, bytes | Died]]:
        worker_ids = {connection: worker_id for worker_id, (_, connection) in self._staff.items()}
        heard: list[tuple[int, bytes | Died]] = []
        for connection in wait(list(worker_ids)):
            assert isinstance(connection, Connection)
            try:
                heard.append((worker_ids[connection], connection.recv_bytes()))
            except (EOFError, OSError):
                heard.append((worker_ids[connection], self._bury_worker(worker_ids[connection])))
        return sorted(heard, key=lambda report: report[0])

    def close(self) -> None:
        for process, connection in self._staff.values():
            connection.close()
            process.terminate()
        for process, _ in self._staff.values():
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        self._staff.clear()

    def _send(self, worker_id: int, message: object) -> None:
        # A worker that cannot be written to is dead, and the next look at its pipe will tell.
        with suppress(OSError):
            self._staff[worker_id][1].send(message)

    def _bury_worker(self, worker_id: int) -> Died:
        process, connection = self._staff.pop(worker_id)
        connection.close()
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
        code = process.exitcode
        process.close()
        if code is None or code >= 0:
            return Died(f"exit code {code}")
        name = signal.Signals(-code).name
        return Died(f"{name}, as when memory runs out" if name == "SIGKILL" else name)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal; one started in here never hears it."""
    if os.name == "nt":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, worker_id: WorkerId) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()
    attend(connection, Worker(worker_id))


def _follow() -> None:
    """End with the process that started this one, also in the middle of a part."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
