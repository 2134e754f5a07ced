"""How often the ladder says yes where nothing is, and where something is: `make certify`.

Studies whose truth is known, through the functions that decide the rungs: nulls, adversaries by name, whole runs, planted truths at the
size that a plan recommends, and claims about every head and pair of two shipped models. Results are kept part by part under
``.certify/``, by the code that made them, so that a run that was killed goes on. Writes ``results/certify.json`` and
``docs/certify.md`` from it; ends with code 1 where a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from certificate import (
    circuits,
    instruments,
    lookup,
    page,
    parts,
    planted,
    planted_directions,
    planted_features,
    runs,
    truths,
)
from certificate.rows import Row
from ground import RESULTS, settle, write

HERE = Path(__file__).parent
ROOMS = tuple(HERE.parent / "src/broca" / room for room in ("evidence", "stats"))
"""What decides, whatever the instrument."""
FOLDER = HERE.parent / ".certify"
PIECE = 5
"""Studies that are kept at a time."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are counted together, and what decides them."""

    count: Callable[[parts.Kept], list[Row]]
    files: tuple[str, ...]
    """Modules of the certificate that make its studies; those that count them only read what was made."""
    instruments: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Of everything that decides: results of other code are not these."""
        rooms = (*ROOMS, *(HERE.parent / "src/broca/instruments" / name for name in self.instruments))
        files = [HERE / "certificate" / f"{name}.py" for name in self.files]
        files += sorted(path for room in rooms for path in room.rglob("*.py"))
        return FOLDER / sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def keeper(folder: Path) -> parts.Kept:
    """Studies that were made before are read, others are made and kept."""
    folder.mkdir(parents=True, exist_ok=True)

    def kept(name: str, n: int, of: Callable[[int], Any]) -> list[Any]:
        path = folder / f"{sha256(name.encode()).hexdigest()[:16]}.json"
        found = json.loads(path.read_text()) if path.exists() else []
        new, start = max(n - len(found), 0), time.perf_counter()
        while len(found) < n:
            found += [of(k) for k in range(len(found), min(n, len(found) + PIECE))]
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(found))
            partial.replace(path)
        each = f", {new} of them new, {(time.perf_counter() - start) / new:.2f} s each" if new else ""
        if n > 1:
            print(f"{name}: {n}{each}", flush=True)
        return found[:n]

    return kept


def every_part(given: argparse.Namespace) -> dict[str, Part]:
    """Cheap ones first."""
    held = ("studies",)
    made = {
        "maps": Part(lambda kept: parts.selective(kept, given.studies), ("maps",)),
        "directions": Part(lambda kept: parts.directed(kept, given.studies), ("directions",)),
        "sizes": Part(lambda kept: parts.power(kept, given.sizes, truths.sizes()), (*held, "truths")),
        "refuting": Part(
            lambda kept: parts.power(kept, given.sizes, truths.sizes([truths.REFUTING])), (*held, "truths")
        ),
        "places": Part(lambda kept: parts.places(kept, given.studies), (*held, "cases")),
        "lookup": Part(lambda kept: lookup.rows(kept, given.n_items), (*held, "lookup")),
        "planted": Part(
            lambda kept: planted.rows(kept, given.planted), (*held, "planted", "random_models"), ("lesion", "localize")
        ),
        "rungs": Part(
            lambda kept: instruments.rows(kept, given.studies),
            (*held, "maps", "instruments"),
            ("perturb", "probe", "sensitivity"),
        ),
        "circuits": Part(lambda kept: circuits.rows(kept, given.studies), ("circuits", "studies"), ("circuit",)),
        "planted features": Part(
            lambda kept: planted_features.rows(kept, given.planted), ("planted_features",), ("lesion",)
        ),
        "planted directions": Part(
            lambda kept: planted_directions.rows(kept, given.planted),
            ("maps", "random_models", "planted", "planted_directions"),
            ("direction",),
        ),
    }
    # A study of features is two runs, of a larger model.
    n = {"features": -(-given.runs // 2)}
    return made | {f"runs {each}": _runs_of(each, n.get(each, given.runs)) for each in runs.INSTRUMENTS}


def _runs_of(instrument: str, n: int) -> Part:
    files = ("maps", "random_models", "runs", f"null_runs/{instrument}")
    return Part(lambda kept: runs.rows(kept, instrument, n), files, runs.INSTRUMENTS[instrument])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200, help="of each null and adversary")
    parser.add_argument("--sizes", type=int, default=100, help="studies of each size")
    parser.add_argument("--n-items", type=int, default=32, help="items of each ability, of the shipped models")
    parser.add_argument("--runs", type=int, default=50, help="whole runs of each instrument, of features half as many")
    parser.add_argument(
        "--planted", type=int, default=2, help="times one study of each architecture and grain, two of heads"
    )
    parser.add_argument("--parts", nargs="+", help="count these alone, keep their studies, and write no results")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    load = settle(given.threads)
    every = every_part(given)
    if unknown := {*(given.parts or ())} - {*every}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}: give some of {', '.join(every)}")
    rows: list[Row] = []
    for name in given.parts or every:
        print(f"== {name}", flush=True)
        rows += every[name].count(keeper(every[name].folder))
    if not given.parts:
        rows.append(runs.together(rows))
        write("certify", rows, load=load, studies=given.studies, sizes=given.sizes, n_items=given.n_items)
        page.write(RESULTS / "certify.json", HERE.parent / "docs/certify.md")
    return _broken(rows)


def _broken(rows: Sequence[Row]) -> int:
    """Say which bounds are; 1 where some are."""
    broken = [row for row in rows if row.met is False]
    for row in broken:
        low, high = row.interval
        print(
            f"Broken: {row.what}, {row.claim}: {row.claimed} of {row.n} [{low:.3f}, {high:.3f}], {row.side} {row.bound}"
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
