"""What several workers bring: the matched random lesions of `broca demo` in one process, in several, and on Ray.

Each process computes with one thread; there are as many workers as ``--threads`` says. Workers are started beforehand, and
their start is timed apart. Ways take turns, each into a fresh folder of cells, as in a run. All must give the same bytes; so
must a whole run of a shortened demo.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from ground import Row, arguments, interleaved, named, ratio, settle, write

from broca.cache.mapping import with_pool
from broca.cli.demo import DEMO
from broca.evidence.conditions import LesionScorer
from broca.evidence.trial import Conduct, forces
from broca.instruments.lesion.plan import ranked_trial
from broca.models.lm import LM
from broca.models.source import worker_source
from broca.runs import run
from broca.runs.cells import Cells
from broca.runs.formats import table_to_bytes
from broca.storage import digest
from broca.workers import Local, Ray
from broca.workers.pool import WorkerPool

SHORT = {"n_items": 16, "draws": 4, "dose_draws": 2, "n_bootstrap": 200, "gate": "mark"}


class Control:
    """The matched-draw control of the demo, ready to be scored by whoever is given."""

    def __init__(self, lm: LM, draws: int, n_items: int | None) -> None:
        assert DEMO.localizer is not None
        alone = {"twins": 0, "select": replace(DEMO.localizer.select, percent=DEMO.percent, side="top")}
        fields = {"localizers": (), "sides": ("top",), "doses": (), "sizes": (), "draws": draws, "n_items": n_items}
        self.spec = DEMO.model_copy(update=fields)
        self.lm = lm
        self.trial = ranked_trial(self.spec, [DEMO.localizer.model_copy(update=alone).run(lm)])
        self.items = tuple(item for group in self.spec.abilities.values() for item in group)
        self.seen: set[str] = set()

    def scored(self, pool: WorkerPool | None) -> None:
        """Score every random lesion, and remember what came out."""
        with TemporaryDirectory() as folder:
            bench = LesionScorer(
                self.lm, self.items, self.spec.scorer, "auto", with_pool(Cells(Path(folder)), pool, self.lm)
            )
            force = forces(bench, self.trial, Conduct(("zero",)))
            self.seen.add(digest(table_to_bytes(pl.concat(bench.tables(self.trial.draws, force)))))


@contextmanager
def staffed(engine: Local | Ray, lm: LM) -> Iterator[tuple[WorkerPool, float]]:
    """The engine's workers, all of them ready, and how many seconds that took."""
    start = time.perf_counter()
    with engine.open_pool(lambda: worker_source(lm)) as pool:
        assert pool is not None
        pool.ready()
        yield pool, time.perf_counter() - start


def same_bytes(lm: LM, engines: dict[str, Any]) -> int:
    """How many files of a whole run every engine writes the same.

    Raises:
        AssertionError: if one differs.
    """
    short = DEMO.model_copy(update={**SHORT, "localizer": DEMO.localizer.model_copy(update={"twins": 0})})  # type: ignore[union-attr]
    with TemporaryDirectory() as folder:
        found = {}
        for name, engine in engines.items():
            path = run(short, lm, Path(folder) / name.replace(" ", "-"), engine=engine).path
            files = [*path.glob("tables/*.parquet"), path / "tensors.safetensors", path / "result.json"]
            found[name] = {str(file.relative_to(path)): digest(file.read_bytes()) for file in files}
    first, *others = found.values()
    assert all(other == first for other in others), found
    return len(first)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--draws", type=int, default=DEMO.draws)
    parser.add_argument("--items", type=int, default=DEMO.n_items, help="of each ability")
    given = parser.parse_args()
    load, n = settle(1), given.threads
    lm = LM.load("beliefs", device="cpu")
    engines = {f"{n} processes": Local(n, threads=1), f"ray, {n} workers": Ray(n, threads=1)}
    files = same_bytes(lm, {"one process": Local(threads=1), **engines})
    control = Control(lm, given.draws, given.items)
    with ExitStack() as stack:
        staff = {name: stack.enter_context(staffed(engine, lm)) for name, engine in engines.items()}
        ways = {"one process": lambda: control.scored(None)}
        ways |= {name: lambda pool=pool: control.scored(pool) for name, (pool, _) in staff.items()}
        seconds = interleaved(ways, max(1, given.rounds // 2))
    assert len(control.seen) == 1, control.seen
    what = f"{len(control.plan.random)} matched random lesions x {len(control.items)} items"
    one = seconds["one process"]
    rows = [
        Row(f"{what}, one process of one thread", named(lm), statistics.median(one), "s"),
        *(
            Row(f"one process / {name} of one thread", named(lm), ratio(one, seconds[name]), "x", bound, "at least")
            for name, bound in zip(staff, (None, 1.7), strict=True)
        ),
        *(Row(f"start of {name}, apart", named(lm), start, "s") for name, (_, start) in staff.items()),
        Row("files of a whole run with the same bytes on every engine", named(lm), files, "files"),
    ]
    write("engines", rows, load=load, seconds={way: [round(s, 3) for s in some] for way, some in seconds.items()})


if __name__ == "__main__":
    main()
