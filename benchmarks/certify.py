"""How often the ladder says yes where nothing is, and where something is: `make certify`.

Studies whose truth is known, through the functions that decide the rungs: nulls, adversaries by name, planted truths at the size that a plan
recommends, and claims about every head and pair of two shipped models. Results are kept part by part under ``.certify/``, by the
code that made them, so that a run that was killed goes on. Writes ``results/certify.json`` and ``docs/certify.md`` from it; ends
with code 1 where a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from certificate import circuits, instruments, lookup, page, parts, planted, runs, truths
from certificate.rows import Row
from ground import RESULTS, settle, write

HERE = Path(__file__).parent
DECIDES = (HERE / "certificate", *(HERE.parent / "src/broca" / room for room in ("evidence", "instruments", "stats")))
FOLDER = HERE.parent / ".certify"
_AFTER = ("page.py", "rows.py", "lookup.py", "parts.py")
"""Read what was made."""
PIECE = 5
"""Studies that are kept at a time."""


def code() -> str:
    """Of everything that decides: results of other code are not these."""
    files = sorted(path for folder in DECIDES for path in folder.rglob("*.py") if path.name not in _AFTER)
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def keeper(folder: Path) -> parts.Kept:
    """Studies that were made before are read, others are made and kept."""
    folder.mkdir(parents=True, exist_ok=True)

    def kept(name: str, n: int, of: Callable[[int], Any]) -> list[Any]:
        path = folder / f"{sha256(name.encode()).hexdigest()[:16]}.json"
        found = json.loads(path.read_text()) if path.exists() else []
        while len(found) < n:
            found += [of(k) for k in range(len(found), min(n, len(found) + PIECE))]
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(found))
            partial.replace(path)
        print(f"{name}: {n}", flush=True)
        return found[:n]

    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200, help="of each null and adversary")
    parser.add_argument("--sizes", type=int, default=100, help="studies of each size")
    parser.add_argument("--n-items", type=int, default=32, help="items of each ability, of the shipped models")
    parser.add_argument("--runs", type=int, default=50, help="whole runs of each instrument")
    parser.add_argument(
        "--planted", type=int, default=1, help="times three studies of each architecture and grain, six of heads"
    )
    parser.add_argument(
        "--parts", nargs="+", default=(), help="count these anew, and keep the others as results have them"
    )
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    load = settle(given.threads)
    folder = FOLDER / code()
    kept = keeper(folder)
    counts: dict[str, tuple[tuple[str, ...], Callable[[], list[Row]]]] = {
        "maps": (("map",), lambda: [*parts.selective(kept, given.studies), *parts.directed(kept, given.studies)]),
        "places": (("null", "adversary"), lambda: parts.places(kept, given.studies)),
        "sizes": (("size",), lambda: parts.power(kept, given.sizes, truths.sizes())),
        "refuting": (("refuting",), lambda: parts.power(kept, given.sizes, truths.sizes([truths.REFUTING]))),
        "rungs": (("rung",), lambda: instruments.rows(kept, given.studies)),
        "runs": (("run",), lambda: runs.rows(kept, given.runs)),
        "planted": (("planted",), lambda: planted.rows(kept, given.planted)),
        "lookup": (("lookup",), lambda: lookup.rows(kept, folder, given.n_items)),
        "circuits": (("circuit",), lambda: circuits.rows(kept, given.studies)),
    }
    unknown = {*given.parts} - {*counts}
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}: give some of {', '.join(counts)}")
    before = page.rows_of(RESULTS / "certify.json") if given.parts else []
    rows: list[Row] = []
    for name, (of, count) in counts.items():
        again = not given.parts or name in given.parts
        rows += count() if again else [row for row in before if row.part in of]
    write("certify", rows, load=load, studies=given.studies, sizes=given.sizes, n_items=given.n_items)
    page.write(RESULTS / "certify.json", HERE.parent / "docs/certify.md")
    broken = [row for row in rows if row.met is False]
    for row in broken:
        low, high = row.interval
        print(
            f"Broken: {row.what}, {row.claim}: {row.claimed} of {row.n} [{low:.3f}, {high:.3f}], {row.side} {row.bound}"
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
