"""What an engine is: the place where the parts of a study are computed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from broca.workers.pool import WorkerPool
from broca.workers.worker import Opening


class Engine(Protocol):
    """Where the parts of a study are computed."""

    @property
    def threads_each(self) -> int | None:
        """Threads of each process, the calling one too; None where they are left as they are."""
        ...

    @property
    def here(self) -> bool:
        """Whether all workers see this machine's disk."""
        ...

    @property
    def record(self) -> Mapping[str, Any]:
        """What a run's manifest says about it."""
        ...

    def open_pool(self, opening: Opening, folder: Path, /) -> AbstractContextManager[WorkerPool | None]:
        """Its workers, during the body; None where there are none beside the calling process.

        Args:
            opening: gives the source of what they hold.
            folder: where it may keep files of its own; who opens takes it away once all is done.
        """
        ...
