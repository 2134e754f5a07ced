"""How many threads a process computes with. The order of a sum, and so its last bits, may depend on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(workers: int) -> int:
    """Threads for each of several workers on this machine: its share of the cores, and no more than torch uses now."""
    torch = sys.modules.get("torch")
    return max(1, min(cores() // workers, torch.get_num_threads() if torch else cores()))


@contextmanager
def limit_threads(n: int | None) -> Iterator[None]:
    """Compute with `n` threads during the body, in torch and in NumPy's linear algebra; None changes nothing."""
    if n is None:
        yield
        return
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with threadpool_limits(n):
        if torch:
            torch.set_num_threads(n)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)
