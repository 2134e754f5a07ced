"""A run of toy cells that stops in the middle, to be interrupted or killed by tests.

    python held_up.py local|ray|slurm FOLDER

prints the process ids of its two workers, and "ready" when one cell is kept in FOLDER/cells and both workers are at others,
which they do not leave.
"""

# ruff: noqa: T201 - the script speaks to the test that started it
from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from broca.cache.mapping import map_cached, with_pool
from broca.runs.cells import Cells
from broca.workers import Local, Ray, Slurm
from workers import toys


def main(kind: str, folder: Path) -> None:
    engines = {"local": Local, "ray": Ray, "slurm": partial(Slurm, cluster="local")}
    lm = toys.Held()
    with engines[kind](workers=2, threads=1).open_pool(toys.opening, folder / "jobs") as pool:
        assert pool is not None
        pool.ready()
        print(*{pid for pid, _ in dict(pool.compute_parts(toys.who, enumerate(range(8)))).values()}, flush=True)
        cache = with_pool(Cells(folder / "cells"), pool, lm)

        def tell(done: int, _total: int) -> None:
            if done == 1:
                while len(list((folder / "marks").iterdir())) < 3:
                    pass
                print("ready", flush=True)

        (folder / "marks").mkdir(parents=True)
        list(map_cached(toys.Blocks(str(folder / "marks")), range(4), lm, cache, tell))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
