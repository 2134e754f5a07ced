"""Features of a shipped dictionary that a contrast by lot selects, and their lesion: two runs, one from the other."""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path

import broca
from broca.evidence.selector import MAP_RUNGS
from broca.instruments.lesion.source import fields_of_run
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.items import Item
from broca.models.lm import LM
from broca.models.twins import untrained_twin
from broca.runs import open_run, run
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.contrasts import contrast
from broca.units import Select
from certificate.random_models import ITEMS, Rng, as_said, write
from certificate.runs import BOTH, DRAWS, RunCase, States, executed

TEXTS = 60
"""Of each side."""


@cache
def routed() -> LM:
    """With its dictionary."""
    return LM.load("routed").with_features(broca.read_dictionary("routed"))


def untrained(rng: Rng) -> LM:
    """A network of its shape that learned nothing, held with the same dictionary."""
    twin = untrained_twin(LM.load("routed"), int(rng.integers(1 << 31)))
    return twin.with_features(broca.read_dictionary("routed"), check=False)


def _sides(rng: Rng, path: Path, *, lots: bool) -> str:
    """A file of stories whose beliefs are out of date, against others; or of both, the sides dealt to stories by lot."""
    found = contrast("beliefs/outdated", n=TEXTS, seed=int(rng.integers(1 << 20)), detail=0.0)
    told = [
        (each, side) for side, some in (("positive", found.positive), ("negative", found.negative)) for each in some
    ]
    groups = rng.permutation(sorted({each.group for each, _ in told}))
    first = {*groups[: len(groups) // 2].tolist()}
    rows = [
        {"id": f"{i}", "text": each.text, "group": each.group}
        | {"label": ("positive" if each.group in first else "negative") if lots else side}
        for i, (each, side) in enumerate(told)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def _abilities(rng: Rng, lm: LM, folder: Path, *, said: bool) -> list[str]:
    """Files of items about beliefs, photographs and memories; answered as the model answers them, where it learned nothing."""
    seed = int(rng.integers(1 << 20))
    found = []
    for name in ("false-belief", "photograph", "memory"):
        items: list[Item] = list(benchmark(f"beliefs/{name}", n=ITEMS, seed=seed, detail=0.0))
        asked = as_said(lm, items) if said else items
        found.append(write(asked, folder / f"{name}.jsonl", group=[item.group for item in items]))
    return found


def _states(rng: Rng, folder: Path, *, learned: bool) -> States:
    """The map's rungs as `localize` found them, the place's as `lesion --from` did."""
    lm = routed() if learned else untrained(rng)
    localize = Localize(
        contrast=_sides(rng, folder / "sides.jsonl", lots=learned), sites="*.feature", select=Select(percent=5, side="both"),
        permutations=99, twins=19,
    )  # fmt: skip
    first = run(localize, lm, folder / "localize")
    own, *others = _abilities(rng, lm, folder, said=not learned)
    spec = CausalTest(
        **fields_of_run(open_run(first.path), {}),
        items=own,
        others=tuple(others),
        draws=DRAWS,
        gate="mark",
        n_bootstrap=500,
    )
    climbed = {rung["name"]: rung["state"] for rung in open_run(first.path).verdict["rungs"]}
    place = executed(spec, lm, folder / "lesion")
    return {name: (climbed if name in MAP_RUNGS else place)[name] for name in place}


_PLACE = ("learned", "causal", "specific", BOTH)
CASES = (
    RunCase("sides by lot", partial(_states, learned=True), ("selective", "reliable", *_PLACE)),
    RunCase("an untrained model", partial(_states, learned=False), _PLACE),
)
