"""Slurm: the workers are tasks of an array job, which submitit submits."""

from __future__ import annotations

import importlib.util
import math
import re
import shutil
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from broca.errors import EngineError, SpecError
from broca.storage import writing
from broca.workers.jobs import Jobs
from broca.workers.local import at_least_one
from broca.workers.pool import WorkerPool
from broca.workers.threads import cores
from broca.workers.worker import Opening, Source

HOURS = 4.0
"""What a job may take where nothing else is asked for."""
_THREADS = 4
_NAME = re.compile(r"[\w.,@-]+")


@dataclass(frozen=True, slots=True)
class Slurm:
    """Jobs of a Slurm cluster, each of which holds the model; a job whose time is over is replaced while there is work.

    Args:
        workers: how many.
        partition: which, or several with commas. None: the one that Slurm takes.
        hours: that each may take.
        gpus: of each. None: 1 where the model is on a GPU, and none otherwise.
        memory: of each, in GB. None: what the partition gives.
        account: who is charged. None: whom Slurm takes.
        threads: of each job, which asks for as many CPUs, and of the calling process. None: 4, or as many as there are.
        cluster: "local" starts the jobs on this machine, with no Slurm, to try what would be done.

    Raises:
        SpecError: if a number or a name cannot be.
        EngineError: if submitit is not installed, or there is no Slurm.
    """

    workers: int
    partition: str | None = None
    hours: float = HOURS
    gpus: int | None = None
    memory: float | None = None
    account: str | None = None
    threads: int | None = None
    cluster: Literal["slurm", "local"] = "slurm"

    def __post_init__(self) -> None:
        at_least_one(workers=self.workers, threads=self.threads)
        for name, amount in {"hours": self.hours, "memory": self.memory}.items():
            if amount is not None and not 0 < amount < math.inf:
                raise SpecError(f"{name} is {amount}. Give more than 0.")
        if self.gpus not in (None, 0, 1):
            raise SpecError(
                f"gpus is {self.gpus}. Each job holds one copy of the model, on one GPU at most: give 0 or 1, and more workers."
            )
        for name, text in {"partition": self.partition, "account": self.account}.items():
            if text is not None and not _NAME.fullmatch(text):
                raise SpecError(f"{name} is {text!r}. Give a name that Slurm knows (sinfo and sacctmgr list them).")
        if importlib.util.find_spec("submitit") is None:
            raise EngineError(
                "submitit is not installed. Install it (pip install 'broca-interp[slurm]'), or use the engine 'local'."
            )
        if self.cluster == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
            raise EngineError(
                "There is no Slurm here: sbatch and srun are not on the path. Give the command where jobs are submitted, or use the "
                "engine 'local'."
            )

    @property
    def threads_each(self) -> int:
        return self.threads or min(_THREADS, cores())

    @property
    def here(self) -> bool:
        return False

    @property
    def record(self) -> Mapping[str, Any]:
        return {"kind": "slurm", "workers": self.workers}

    def open_pool(self, opening: Opening, folder: Path, /) -> AbstractContextManager[WorkerPool]:
        def connect(source: Source) -> Jobs:
            return self._prepare_jobs(source, folder)

        return WorkerPool(connect, opening, workers=self.workers, threads=self.threads_each)

    def parameters(self, *, cuda: bool) -> dict[str, Any]:
        """What each job asks for, in the words of submitit.

        Args:
            cuda: whether the model is on a GPU.

        Raises:
            EngineError: if the GPUs that were asked for do not fit the model's place.
        """
        gpus = int(cuda) if self.gpus is None else self.gpus
        if gpus != cuda:
            place, other = (
                ("a GPU", "gpus=1 (--gpus 1)") if cuda else ("the CPU", "a machine with a GPU (srun --gpus 1 ...)")
            )
            raise EngineError(
                f"The model is on {place} here, and jobs were asked for with gpus={gpus}. All processes of a run compute on one kind of "
                f"device: use {other}, or leave gpus away."
            )
        threads = self.threads_each
        asked = {
            "name": "broca",
            "timeout_min": math.ceil(self.hours * 60),
            "cpus_per_task": threads,
            "gpus_per_node": gpus or None,
            "mem_gb": self.memory,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_array_parallelism": self.workers,
            # srun takes it from sbatch no longer, since Slurm 22.05.
            "slurm_srun_args": [f"--cpus-per-task={threads}"],
        }
        return {name: value for name, value in asked.items() if value is not None}

    def _prepare_jobs(self, source: Source, folder: Path) -> Jobs:
        from submitit import AutoExecutor

        asked = self.parameters(cuda=source.cuda)
        with writing(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whoever could write there could say what a job does.
        folder.chmod(0o700)
        executor = AutoExecutor(folder, cluster=self.cluster)
        executor.update_parameters(**asked)
        if self.cluster == "local":
            return Jobs(executor, folder, hosts=("127.0.0.1",), here=True)
        return Jobs(executor, folder, hosts=(socket.gethostname(), socket.getfqdn()), here=False)
