"""A Ray cluster: one that is started on this machine for as long as it is needed, or one that is there already."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from broca.errors import EngineError, SpecError
from broca.workers.local import at_least_one
from broca.workers.pool import Died, WorkerPool
from broca.workers.threads import cores, share
from broca.workers.worker import Job, Opening, Source, Worker, WorkerId, first_words

_PATIENCE = 5.0
"""Seconds that an address is given to answer."""


@dataclass(frozen=True, slots=True)
class Ray:
    """Workers of a Ray cluster, each an actor that holds the model.

    Args:
        workers: how many. None: one for each core of this machine.
        address: of a running cluster, HOST:PORT, ray://HOST:PORT or "auto". None: a cluster of its own on this machine.
        threads: of each worker, and of the calling process. None: an equal share of this machine's cores.

    Raises:
        SpecError: if a number is below 1, the address has no port, or does not come with a number of workers.
        EngineError: if Ray is not installed.
    """

    workers: int | None = None
    address: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        at_least_one(workers=self.workers, threads=self.threads)
        if self.address is not None:
            _place(self.address)
            if self.workers is None:
                raise SpecError(f"How many workers at {self.address}? Give workers (--workers N).")
        if importlib.util.find_spec("ray") is None:
            raise EngineError(
                "Ray is not installed. Install it (pip install 'broca-interp[ray]'), or use the engine 'local'."
            )

    @property
    def n(self) -> int:
        """How many workers."""
        return self.workers or max(1, cores() // (self.threads or 1))

    @property
    def threads_each(self) -> int:
        return self.threads or share(self.n)

    @property
    def here(self) -> bool:
        return self.address is None

    @property
    def record(self) -> Mapping[str, Any]:
        return {"kind": "ray", "workers": self.n}

    def open_pool(self, opening: Opening, _folder: Path | None = None, /) -> AbstractContextManager[WorkerPool]:
        return WorkerPool(self._connect_actors, opening, workers=self.n, threads=self.threads_each)

    def _connect_actors(self, source: Source) -> Actors:
        """A cluster that has room for the workers.

        Raises:
            EngineError: if there is no cluster at the address, or it is too small.
        """
        import ray

        ours = not ray.is_initialized()
        if ours:
            _begin(self.address, self.n * self.threads_each)
        actors = Actors(ours=ours, path=sys.path if self.here else ())
        try:
            actors.needs = _needs(ray.cluster_resources(), self.n, self.threads_each, cuda=source.cuda)
        except BaseException:
            actors.close()
            raise
        return actors


class Actors:
    """Workers as Ray actors. Ray itself never restarts one: whoever has lost a part decides that.

    Args:
        ours: whether Ray was started for them, and ends with them.
        path: where they find modules, beside the usual places.
    """

    needs: Mapping[str, Any] = {}
    """What Ray sets aside for each."""

    def __init__(self, *, ours: bool, path: Sequence[str]) -> None:
        self._ours, self._path = ours, list(path)
        self._staff: dict[int, Any] = {}
        self._pending: dict[Any, int] = {}

    def spawn(self, worker_id: WorkerId, source: bytes) -> None:
        import ray

        made: Any = ray.remote(max_restarts=0, max_task_retries=0, **self.needs)(Worker)
        actor = made.remote(worker_id)
        self._staff[worker_id.index] = actor
        self._pending[actor.open.remote(source, self._path)] = worker_id.index

    def give(self, worker_id: int, job: Job) -> None:
        self._pending[self._staff[worker_id].work.remote(job)] = worker_id

    def reports(self) -> list[tuple[int, bytes | Died]]:
        import ray
        from ray.exceptions import RayError

        ready, _ = ray.wait(list(self._pending), num_returns=1)
        heard: list[tuple[int, bytes | Died]] = []
        for reference in ready:
            worker_id = self._pending.pop(reference)
            try:
                heard.append((worker_id, ray.get(reference)))
            except RayError as error:
                self._dismiss(worker_id)
                heard.append((worker_id, Died(first_words(error))))
        return heard

    def close(self) -> None:
        import ray

        if self._ours:
            ray.shutdown(wait_for_processes=True)
            return
        for worker_id in list(self._staff):
            self._dismiss(worker_id)

    def _dismiss(self, worker_id: int) -> None:
        import ray
        from ray.exceptions import RayError

        with suppress(RayError, ValueError):
            ray.kill(self._staff.pop(worker_id), no_restart=True)


def _begin(address: str | None, n_cpus: int) -> None:
    """Start a cluster on this machine, or join the one at `address`.

    Raises:
        EngineError: if there is none.
    """
    # Read when Ray is imported: no statistics are sent, and a worker without a GPU keeps CUDA_VISIBLE_DEVICES as it is.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    from ray.exceptions import RayError

    # "local", because None would join a cluster that RAY_ADDRESS names.
    own = {"address": "local", "num_cpus": n_cpus, "include_dashboard": False}
    try:
        if address is not None and (place := _place(address)) is not None:
            _greet(place)
        try:
            which: dict[str, Any] = own if address is None else {"address": address}
            ray.init(**which, log_to_driver=False, logging_level=logging.ERROR)
        except BaseException:
            ray.shutdown()
            raise
    except (OSError, RuntimeError, ValueError, ImportError, RayError) as error:
        if address is None:
            raise EngineError(
                f"Ray could not start a cluster on this machine: {first_words(error)}. Use the engine 'local' with as many "
                "workers, or give the address of a cluster that runs."
            ) from error
        raise EngineError(
            f"No Ray cluster answers at {address}: {first_words(error)}. Start one with 'ray start --head' and give its "
            "HOST:PORT (6379 by default); if it asks for a token, see RAY_AUTH_TOKEN in Ray's documentation. Without an "
            "address, one starts on this machine."
        ) from error


def _greet(place: tuple[str, int]) -> None:
    """See that a gRPC server is there: asked in HTTP/2, it answers with its SETTINGS (RFC 9113, section 3.4).

    Ray itself would try an address that does not answer for a quarter of an hour.

    Raises:
        OSError: if there is none.
    """
    if os.environ.get("RAY_USE_TLS", "0") == "1":
        socket.create_connection(place, _PATIENCE).close()
        return
    with socket.create_connection(place, _PATIENCE) as line:
        line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
        if line.recv(9)[3:4] != b"\x04":
            raise ConnectionError("something else answers there")


def _place(address: str) -> tuple[str, int] | None:
    """Host and port; None where Ray is to look for itself.

    Raises:
        SpecError: if the address is of another form.
    """
    if address == "auto":
        return None
    try:
        parts = urlsplit(address if "://" in address else f"ray://{address}")
        if parts.scheme == "ray" and parts.hostname and parts.port:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise SpecError(f"{address!r} is not the address of a Ray cluster. Write HOST:PORT, ray://HOST:PORT or auto.")


def _needs(there: Mapping[str, float], workers: int, threads: int, *, cuda: bool) -> dict[str, float]:
    """CPUs and GPUs of each worker; where there are fewer GPUs than workers, they share them evenly.

    Raises:
        EngineError: if the cluster has too few.
    """
    cpus, gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))
    if workers * threads > cpus:
        raise EngineError(
            f"{workers} workers of {threads} threads need {workers * threads} CPUs, and this Ray cluster has {cpus}. Use at "
            f"most {max(1, cpus // threads)} workers, or fewer threads."
        )
    if not cuda:
        return {"num_cpus": threads}
    if not gpus:
        raise EngineError("The model is on a GPU, and this Ray cluster has none. Load the model with device='cpu'.")
    return {"num_cpus": threads, "num_gpus": 1 / math.ceil(workers / gpus)}
