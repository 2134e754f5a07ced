"""Workers as jobs of a cluster: submitit submits them, and each of them calls back.

submitit writes the script of a job and a pickle of what it is to do, and reads what came of it, in a folder that nobody else may write to:
the one place where pickles touch a disk. What stands in them is `CallBack`: where to call, and a key. The model, the cells and their values
pass over the connection, once both sides have shown that they know the key.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge, wait
from pathlib import Path
from typing import Any

from broca.errors import EngineError
from broca.workers.pool import Died
from broca.workers.worker import Job, Worker, WorkerId, attend, first_words

_log = logging.getLogger(__name__)

_PATIENCE = 10
"""Seconds that the other side of a new connection is given to say who it is, and a machine to answer."""
_TICK = 1.0
"""Seconds between two looks at what became of jobs that have not called yet."""
_NUMBER = 20
"""Digits of a job's number, at most."""
_STRANGERS = (OSError, EOFError, AuthenticationError, AssertionError)
"""What a handshake ends with where the other side is somebody else."""


@dataclass(frozen=True, slots=True)
class CallBack:
    """What a job does: it calls the process that submitted it, and is a worker until that ends.

    Args:
        hosts: names of that process's machine, tried in turn.
        port: where it listens there.
        key: what both know.
        number: which job this is.
        worker_id: which worker.
        path: where modules are, beside the usual places.
    """

    hosts: tuple[str, ...]
    port: int
    key: bytes
    number: int
    worker_id: WorkerId
    path: tuple[str, ...]

    def __call__(self) -> None:
        """Work.

        Raises:
            EngineError: if nobody answers.
        """
        # Slurm tells a job that its time is nearly over with SIGUSR2, as submitit asks it to, and that it is cancelled with SIGTERM.
        for told in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(told, _leave)
        with self._call() as line:
            line.send_bytes(str(self.number).encode())
            threading.Thread(target=_follow, args=(os.dup(line.fileno()),), daemon=True).start()
            attend(line, Worker(self.worker_id), self.path)

    def _call(self) -> Connection:
        failures = []
        for host in self.hosts:
            try:
                line = socket.create_connection((host, self.port), _PATIENCE)
                return _introduce(line, self.key, (answer_challenge, deliver_challenge))
            except _STRANGERS as error:
                failures.append(f"{host}: {first_words(error)}")
        raise EngineError(
            f"This job cannot reach the process that submitted it at port {self.port} ({'; '.join(failures)}). It has ended, or machines "
            "of the cluster may not call that one: then give the command within a job of its own."
        )


@dataclass(slots=True)
class _Seat:
    """A worker's job, and its connection once it has called."""

    number: int
    job: Any
    line: Connection | None = None


class Jobs:
    """Workers as jobs; those that are spawned together are submitted as one array.

    Args:
        executor: of submitit, with what each job asks for.
        folder: its folder.
        hosts: names of this machine, by which jobs can call it.
        here: whether the jobs run on this machine.
    """

    def __init__(self, executor: Any, folder: Path, *, hosts: Sequence[str], here: bool) -> None:
        self._executor, self._folder, self._here = executor, folder, here
        self._hosts = tuple(dict.fromkeys(hosts))
        self._key = secrets.token_bytes(32)
        self._door = socket.create_server((self._hosts[0] if here else "", 0))
        self._source = b""
        self._spawned: list[CallBack] = []
        self._submitted: list[Any] = []
        self._seats: dict[int, _Seat] = {}

    def spawn(self, worker_id: WorkerId, source: bytes) -> None:
        self._source = source
        number = len(self._submitted) + len(self._spawned)
        port = self._door.getsockname()[1]
        self._spawned.append(CallBack(self._hosts, port, self._key, number, worker_id, tuple(sys.path)))

    def give(self, worker_id: int, job: Job) -> None:
        line = self._seats[worker_id].line
        assert line is not None
        # One that cannot be written to is dead, and the next look at its connection will tell.
        with suppress(OSError):
            line.send(job)

    def reports(self) -> list[tuple[int, bytes | Died]]:
        self._submit()
        while True:
            lines = {seat.line: index for index, seat in self._seats.items() if seat.line is not None}
            heard: list[tuple[int, bytes | Died]] = []
            for ready in wait([self._door, *lines], _TICK):
                if isinstance(ready, Connection):
                    heard.append((lines[ready], self._hear(lines[ready])))
                else:
                    self._admit()
            gone = [index for index, seat in self._seats.items() if seat.line is None and seat.job.done()]
            heard += [(index, self._bury(index)) for index in gone]
            if heard:
                return sorted(heard, key=lambda report: report[0])

    def close(self) -> None:
        self._door.close()
        for seat in self._seats.values():
            if seat.line is not None:
                seat.line.close()
        for job in self._outlast(1.0 if self._here else 0.0):
            job.cancel(check=False)
        if self._here:
            self._outlast(_PATIENCE)

    def _submit(self) -> None:
        """Ask for the jobs of those that were spawned.

        Raises:
            EngineError: if they are refused.
        """
        if not self._spawned:
            return
        try:
            jobs = self._executor.submit_array(self._spawned)
        except (RuntimeError, OSError) as error:
            raise EngineError(
                f"The cluster took no jobs: {first_words(error)}. Its partitions are listed by sinfo, and your accounts by sacctmgr show "
                "assoc user=$USER."
            ) from error
        for call, job in zip(self._spawned, jobs, strict=True):
            self._seats[call.worker_id.index] = _Seat(call.number, job)
        self._spawned = []
        self._submitted += jobs
        names = ", ".join(job.job_id for job in jobs)
        _log.info("Jobs asked for: %s. Their logs: %s", names, self._folder)

    def _admit(self) -> None:
        """Let a job in that has called, if it is one that is waited for."""
        try:
            line, _ = self._door.accept()
            connection = _introduce(line, self._key, (deliver_challenge, answer_challenge))
        except _STRANGERS:
            return
        with suppress(OSError, EOFError, ValueError):
            number = int(connection.recv_bytes(_NUMBER))
            for seat in self._seats.values():
                if seat.number == number and seat.line is None:
                    connection.send(self._source)
                    seat.line = connection
                    return
        connection.close()

    def _hear(self, worker_id: int) -> bytes | Died:
        line = self._seats[worker_id].line
        assert line is not None
        try:
            return line.recv_bytes()
        except (EOFError, OSError):
            return self._bury(worker_id)

    def _bury(self, worker_id: int) -> Died:
        seat = self._seats.pop(worker_id)
        if seat.line is not None:
            seat.line.close()
        told = (seat.job.stderr() or "").split("\n")
        last = next((line.strip().rstrip(".") for line in reversed(told) if line.strip()), "it said nothing")
        return Died(f"job {seat.job.job_id}: {last}; its log is {seat.job.paths.stderr}")

    def _outlast(self, seconds: float) -> list[Any]:
        """The jobs that are not over within some seconds."""
        deadline = time.monotonic() + seconds
        while (left := [job for job in self._submitted if not job.done()]) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left


def _introduce(line: socket.socket, key: bytes, steps: Sequence[Callable[[Connection, bytes], None]]) -> Connection:
    """A connection whose other side knows the key.

    Raises:
        OSError, EOFError, AuthenticationError, AssertionError: if it does not, or says nothing in time.
    """
    with line:
        line.settimeout(None)
        # A machine that dies says nothing: the kernel asks after it.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        _limit(line, _PATIENCE)
        connection = Connection(os.dup(line.fileno()))
        try:
            for step in steps:
                step(connection, key)
        except BaseException:
            connection.close()
            raise
        _limit(line, 0)
        return connection


def _limit(line: socket.socket, seconds: int) -> None:
    """How long the kernel waits for what is to be received; 0: for ever. A `Connection` has no such setting."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))


def _follow(line: int) -> None:
    """End with the process at the other side, also in the middle of a part."""
    with socket.socket(fileno=line) as ear, suppress(OSError):
        while ear.recv(1, socket.MSG_PEEK):
            time.sleep(1)  # what is there is for the worker
    os._exit(1)


def _leave(told: int, _frame: object) -> None:
    """End at once: the part is done again by another job."""
    why = "its time is over (--hours), or it was preempted" if told == signal.SIGUSR2 else "it was cancelled"
    print(f"This job ends: {why}.", file=sys.stderr, flush=True)  # noqa: T201 - into its log
    os._exit(1)
