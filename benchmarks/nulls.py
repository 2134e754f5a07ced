"""How often the ladder says yes where there is nothing: whole causal tests on nulls.

* shuffled labels: the trained model `beliefs`, the belief contrast with the two stories of each pair swapped at random;
* untrained: a twin of it with fresh weights, the contrast as it is; the items' right answers are what this twin says, so that
  there is an ability to lose;
* shortcut: the model `shortcut`, which says the place that was said first, asked only what that answers; new stories and
  items each time.

Each run localizes units, lesions them against matched random lesions, and asks for the specific rung beside two other
abilities. Counted are the runs in which *causal* and *specific* both pass, and those whose whole verdict is a yes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from ground import Row, arguments, settle, write
from scipy.stats import binomtest

from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.items import Contrast, Item
from broca.models.lm import LM
from broca.models.twins import untrained_twin
from broca.scoring import Likelihood
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.contrasts import contrast
from broca.units import Select

ABILITIES = ("false-belief", "photograph", "memory")
N_ITEMS, DRAWS = 32, 19
LEVEL = 0.05


def swapped(shown: Contrast, rng: np.random.Generator) -> Contrast:
    """The contrast with the sides of each pair swapped at random."""
    swap = rng.random(len(shown.positive)) < 0.5
    pairs = [(b, a) if s else (a, b) for a, b, s in zip(shown.positive, shown.negative, swap, strict=True)]
    return replace(shown, positive=tuple(a for a, _ in pairs), negative=tuple(b for _, b in pairs))


def as_said(lm: LM, asked: Sequence[Item]) -> list[Item]:
    """The items with what the model says as the right answer."""
    said = Likelihood()(lm, asked)["predicted"].to_list()
    return [replace(item, answer=answer) for item, answer in zip(asked, said, strict=True)]


def table(items: Sequence[Item], path: Path) -> str:
    """The items as a file that a study reads."""
    rows = [
        {
            "id": i.id,
            "prompt": i.prompt,
            "choices": "|".join(i.choices),
            "answer": i.choices[i.answer],
            "group": i.group,
        }
        for i in items
    ]
    pl.DataFrame(rows).write_csv(path)
    return str(path)


def solvable(ability: str, seed: int) -> list[Item]:
    """Items that the place said first answers."""
    asked = benchmark(f"beliefs/{ability}", n=4 * N_ITEMS, seed=seed, detail=0.0)
    return [item for item in asked if item.choices[item.answer].strip() == item.tags["first"]][:N_ITEMS]


def case(kind: str, trained: LM, run: int) -> tuple[LM, Contrast, dict[str, Sequence[Item]]]:
    """Model, contrast and items of a null run."""
    asked = {name: benchmark(f"beliefs/{name}", n=N_ITEMS) for name in ABILITIES}
    if kind == "shortcut":
        items = {name: solvable(name, run) for name in ABILITIES}
        return LM.load("shortcut"), contrast("beliefs/stories", seed=run, detail=0.0), items
    if kind == "untrained":
        lm = untrained_twin(trained, run)
        return lm, contrast("belief"), {name: as_said(lm, some) for name, some in asked.items()}
    return trained, swapped(contrast("belief"), np.random.default_rng(run)), asked


def climbed(lm: LM, shown: Contrast, files: Sequence[str], seed: int) -> tuple[bool, bool, dict[str, str]]:
    """Whether causal and specific both passed, whether the whole verdict is a yes, and the state of each rung."""
    own, *others = files
    study = CausalTest(
        localizer=Localize(contrast=shown, sites="*.mlp_act", select=Select(percent=5), seed=seed),
        items=own,
        others=tuple(others),
        percent=5,
        draws=DRAWS,
        fills=("zero",),
        sizes=(),
        gate="mark",
        n_bootstrap=500,
        seed=seed,
    )
    verdict = study.run(lm).verdict
    states = {rung.name: rung.state for rung in verdict.rungs}
    return states["causal"] == states["specific"] == "passed", verdict.first_failure is None, states


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=210)
    given = parser.parse_args()
    load = settle(given.threads)
    trained = LM.load("beliefs")
    kinds, found, begun = ("shuffled labels", "untrained", "shortcut"), [], time.perf_counter()
    with TemporaryDirectory() as folder:
        for run in range(given.runs):
            kind = kinds[run % len(kinds)]
            lm, stimuli, items = case(kind, trained, run)
            files = [table(some, Path(folder) / f"{name}.csv") for name, some in items.items()]
            found.append((kind, *climbed(lm, stimuli, files, run)))
    seconds = time.perf_counter() - begun
    rows = []
    for kind in kinds:
        own = [f for f in found if f[0] == kind]
        both, yes = sum(f[1] for f in own), sum(f[2] for f in own)
        high = binomtest(both, len(own)).proportion_ci().high
        note = f"{both} of {len(own)}; 95 % of the true share lie below {high:.3f}"
        rows += [
            Row("causal and specific claimed", kind, both / len(own), "", LEVEL, note=note),
            Row("whole ladder claimed", kind, yes / len(own), "", LEVEL, note=f"{yes} of {len(own)}"),
        ]
    states = {kind: [f[3] for f in found if f[0] == kind] for kind in kinds}
    passed = {
        kind: {rung: float(np.mean([s[rung] == "passed" for s in some])) for rung in some[0]}
        for kind, some in states.items()
    }
    write("nulls", rows, load=load, passed=passed, wall=seconds)


if __name__ == "__main__":
    main()
