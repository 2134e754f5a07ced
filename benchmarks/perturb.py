"""How long perturbing takes: prompts x every kind, and of that what the promises, the pairs and the matched design cost.

Bound: 10,000 prompts with all kinds in less than 30 s. Prompts are requests with calculations, 35 characters in the mean, as the
published ones. Ways, interleaved in one process:

* build: everything, as a study calls it;
* draws: the perturbed texts alone, one kind after the other, without promises, pairs or a shared choice of words;
* controls: for one kind, with a count of tokens that costs nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence

from broca.errors import StimulusError
from broca.items import Stimulus
from broca.stimuli.perturb import ALL, build_pairs, controls, perturb

BOUND = 30.0
REQUESTS = (
    *(
        "Solve this task",
        "Please find the result",
        "What is the solution for",
        "Could you compute",
        "Work this sum out",
    ),
    *("I'd like you to solve", "Help me figure out", "Tell me the answer to", "Calculate the value of the following"),
)


def prompts(n: int) -> list[Stimulus]:
    """Different requests, each with its calculation."""
    draw = random.Random(0)  # noqa: S311 - a choice of numbers, not a secret
    texts = (
        f"{draw.choice(REQUESTS)}: {draw.randrange(100)} {draw.choice('+-*÷')} {draw.randrange(94)} =" for _ in range(n)
    )
    return [Stimulus(str(i), text, text.partition(":")[0]) for i, text in enumerate(texts)]


def draws(sources: Sequence[Stimulus]) -> int:
    """Perturbed texts, as many as there can be."""
    made = 0
    for source in sources:
        for kind in ALL:
            try:
                perturb(str(source.text), kind)
            except StimulusError:
                continue
            made += 1
    return made


def main() -> None:
    """Print one line a way, and whether the bound holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10_000, help="prompts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    given = parser.parse_args()
    sources = prompts(given.n)
    pairs = build_pairs(sources, ["insert"]).pairs
    ways: dict[str, Callable[[], int]] = {
        "build": lambda: len(build_pairs(sources, ALL).pairs),
        "draws": lambda: draws(sources),
        "controls": lambda: len(controls(pairs, lambda text: len(text) // 3).pairs),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    made: dict[str, int] = {}
    for _ in range(given.rounds):
        for name, way in ways.items():
            start = time.process_time()
            made[name] = way()
            seconds[name].append(time.process_time() - start)
    found = {name: statistics.median(each) for name, each in seconds.items()}
    per_10_000 = found["build"] * 10_000 / given.n
    if given.json:
        print(
            json.dumps({"n": given.n, "kinds": len(ALL), "cpu_seconds": found, "made": made, "build_10000": per_10_000})
        )
        return
    for name, value in found.items():
        print(f"{name:9} {value:8.2f} s of CPU for {made[name]} texts, {value / found['build']:.2f} x build")
    print(f"{given.n} prompts x {len(ALL)} kinds; for 10,000 prompts {per_10_000:.1f} s (bound {BOUND:.0f} s)")


if __name__ == "__main__":
    main()
