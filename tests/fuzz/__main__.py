"""``python -m fuzz``: a campaign over every reader, or one input again.

python -m fuzz [--inputs 10000] [--minutes 60] [READER ...]     the campaign; `.fuzz/` keeps what fails
python -m fuzz --replay READER SEED                             one input, with its traceback
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz.campaign import FAULTS, Inputs, Tally, Worker
from fuzz.readers import READERS

SLOW = 0.010
"""Seconds an input, from which a reader gets fewer of them."""


def main() -> int:
    """Run what is asked for; 1 where anything fails."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="of two cores, for slow readers")
    parser.add_argument("--first", type=int, default=0, help="seed")
    parser.add_argument("--replay", nargs=2, metavar=("READER", "SEED"))
    parser.add_argument("readers", nargs="*")
    asked = parser.parse_args()
    if asked.replay:
        return replay(asked.replay[0], int(asked.replay[1]))
    names = asked.readers or list(READERS)
    share = 2 * 60 * asked.minutes / len(names)
    print(f"{'reader':<24}{'inputs':>8}{'read':>8}{'ms each':>9}{'faults':>8}", flush=True)
    with ThreadPoolExecutor(2) as pool:
        tallies = list(pool.map(lambda name: campaign(name, asked.first, asked.inputs, share), names))
    print(f"{sum(tally.inputs for tally in tallies):,} inputs, {sum(len(tally.faults) for tally in tallies)} faults")
    return int(any(tally.faults for tally in tallies))


def campaign(name: str, first: int, inputs: int, share: float) -> Tally:
    """A reader's inputs: all, or as many of a slow one as its share of the time allows."""
    start = time.monotonic()
    total = Tally()
    with Worker() as worker:
        while total.inputs < inputs:
            if total.seconds / max(total.inputs, 1) > SLOW and time.monotonic() - start > share:
                break
            part = worker.run(name, first + total.inputs, min(200, inputs - total.inputs))
            total.inputs += part.inputs
            total.seconds += part.seconds
            total.read += part.read
            total.faults |= part.faults
    each = 1000 * total.seconds / max(total.inputs, 1)
    print(f"{name:<24}{total.inputs:>8}{total.read:>8}{each:>9.2f}{len(total.faults):>8}", flush=True)
    kinds: dict[str, list[int]] = {}
    for seed, fault in total.faults.items():
        kinds.setdefault(fault.partition(": ")[0], []).append(seed)
    for kind, seeds in kinds.items():
        print(f"    {len(seeds)} x {kind}, e.g. --replay {name} {seeds[0]}: {total.faults[seeds[0]]}", flush=True)
    keep(name, total)
    return total


def keep(name: str, tally: Tally) -> None:
    """Write the inputs of faults to `.fuzz/`, each with what happened."""
    if not tally.faults:
        return
    FAULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        inputs = Inputs(name, Path(folder))
        for seed, fault in list(tally.faults.items())[:50]:
            place = FAULTS / f"{name}-{seed}"
            place.with_name(f"{place.name}{inputs.reader.suffix}").write_bytes(inputs.content(seed))
            place.with_name(f"{place.name}.txt").write_text(fault + "\n", encoding="utf-8")


def replay(name: str, seed: int) -> int:
    """One input again, with its traceback."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Inputs(name, Path(folder))
        content = inputs.content(seed)
        print(f"{len(content)} bytes: {content[:300]!r}")
        inputs.read(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
