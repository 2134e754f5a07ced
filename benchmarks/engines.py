"""What several workers bring: matched random lesions in one process, in several, and on Ray; of `broca demo`, and of heads of `smollm2`.

Each process computes with one thread; there are as many workers as ``--threads`` says. Workers are started beforehand, and
their start is timed apart. Ways take turns, each into a fresh folder of cells, as in a run. All must give the same bytes; so
must a whole run of a shortened demo.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from ground import Row, arguments, interleaved, named, ratio, settle, write

from broca.cache import no_cache
from broca.cache.mapping import with_pool
from broca.cli.demo import DEMO
from broca.evidence.conditions import LesionScorer
from broca.evidence.holding import forces, trial_of
from broca.evidence.trial import Conduct
from broca.instruments.lesion.plan import ranked_trial
from broca.items import Item
from broca.models.lm import LM
from broca.models.source import worker_source
from broca.runs import run
from broca.runs.cells import Cells
from broca.runs.formats import table_to_bytes
from broca.scoring.likelihood import Likelihood
from broca.stimuli import benchmark
from broca.storage import digest
from broca.units import UnitMask
from broca.workers import Local, Ray
from broca.workers.pool import WorkerPool

HEADS = "23.4,29.1"
SHORT = {"n_items": 16, "draws": 4, "dose_draws": 2, "n_bootstrap": 200, "gate": "mark"}


class Control:
    """A matched-draw control, ready to be scored by whoever is given."""

    def __init__(self, lm: LM, trial: Callable[[LesionScorer], Any], items: Sequence[Item], scorer: Any) -> None:
        self.lm = lm
        self.items = tuple(items)
        self.scorer = scorer
        self.trial = trial(LesionScorer(lm, self.items, scorer, "auto", no_cache))
        self.draws = self.trial.draws.conditions
        self.seen: set[str] = set()

    def scored(self, pool: WorkerPool | None) -> None:
        """Score every random lesion, and remember what came out."""
        with TemporaryDirectory() as folder:
            bench = LesionScorer(
                self.lm, self.items, self.scorer, "auto", with_pool(Cells(Path(folder)), pool, self.lm)
            )
            force = forces(bench, self.trial, Conduct(("zero",)))
            self.seen.add(digest(table_to_bytes(pl.concat(bench.tables(self.draws, force)))))


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


def of_demo(lm: LM, draws: int, items: int | None) -> Control:
    """The control of `broca demo --all`'s lesion of the organism `beliefs`."""
    assert DEMO.localizer is not None
    alone = {"twins": 0, "select": replace(DEMO.localizer.select, percent=DEMO.percent, side="top")}
    fields = {
        "localizers": (),
        "sides": ("top",),
        "doses": (),
        "sizes": (),
        "draws": draws,
        "n_items": items or DEMO.n_items,
    }
    spec = DEMO.model_copy(update=fields)
    found = DEMO.localizer.model_copy(update=alone).run(lm)
    scored = [item for group in spec.abilities.values() for item in group]
    return Control(lm, lambda _: ranked_trial(spec, [found]), scored, spec.scorer)


def of_heads(lm: LM, draws: int, items: int | None) -> Control:
    """The control of heads 23.4 and 29.1 on `facts/capitals`, random heads of any layer."""
    mask = UnitMask.heads(HEADS, n_heads=lm.anatomy.n_heads)
    how = Conduct(("zero",))
    scored = list(benchmark("facts/capitals"))[: items or 24]
    return Control(lm, lambda bench: trial_of(bench, mask, how, draws=draws, match=()), scored, Likelihood())


STUDIES = {"beliefs": of_demo, "smollm2": of_heads}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--items", type=int, help="of each ability")
    parser.add_argument("--models", nargs="*", default=["beliefs", "smollm2"], choices=STUDIES)
    given = parser.parse_args()
    load, rows, seconds = settle(1), [], {}
    for name in given.models:
        more, some = measure(name, given)
        rows += more
        seconds |= {f"{name}, {way}": [round(s, 3) for s in each] for way, each in some.items()}
    write("engines", rows, load=load, seconds=seconds)


def measure(name: str, given: Any) -> tuple[list[Row], dict[str, list[float]]]:
    """The rows of a model, and what each way took."""
    lm, n = LM.load(name, device="cpu"), given.threads
    engines = {f"{n} processes": Local(n, threads=1), f"ray, {n} workers": Ray(n, threads=1)}
    control = STUDIES[name](lm, given.draws, given.items)
    with ExitStack() as stack:
        staff = {way: stack.enter_context(staffed(engine, lm)) for way, engine in engines.items()}
        ways = {"one process": lambda: control.scored(None)}
        ways |= {way: lambda pool=pool: control.scored(pool) for way, (pool, _) in staff.items()}
        seconds = interleaved(ways, max(1, given.rounds // 2))
    assert len(control.seen) == 1, control.seen
    one = seconds["one process"]
    what = f"{len(control.draws)} matched random lesions x {len(control.items)} items"
    rows = [
        Row(f"{what}, one process of one thread", named(lm), statistics.median(one), "s"),
        *(
            Row(
                f"one process / {way} of one thread, same bytes",
                named(lm),
                ratio(one, seconds[way]),
                "x",
                1.7,
                "at least",
            )
            for way in staff
        ),
        *(Row(f"start of {way}, apart", named(lm), start, "s") for way, (_, start) in staff.items()),
    ]
    if name == "beliefs":
        files = same_bytes(lm, {"one process": Local(threads=1), **engines})
        rows.append(Row("files of a whole run with the same bytes on every engine", named(lm), files, "files"))
    return rows, seconds


if __name__ == "__main__":
    main()
