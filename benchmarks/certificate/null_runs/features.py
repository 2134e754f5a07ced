"""Features of a shipped dictionary that a contrast by lot selects, and their lesion: two runs, one from the other."""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path
from typing import Literal

import broca
from broca.evidence.selector import MAP_RUNGS
from broca.instruments.lesion.source import fields_of_run
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.models.lm import LM
from broca.runs import open_run, run
from broca.stimuli.contrasts import contrast
from broca.units import Select
from certificate.random_models import Rng
from certificate.runs import BOTH, DRAWS, RunCase, States, executed

TEXTS, N_ITEMS = 40, 24
"""Stories of each side, and items of each ability."""


@cache
def routed() -> LM:
    """With its dictionary."""
    return LM.load("routed").with_features(broca.read_dictionary("routed"))


def _sides(rng: Rng, path: Path) -> str:
    """A file of stories whose beliefs are out of date, or are not: the sides are dealt to stories by lot."""
    found = contrast("beliefs/outdated", n=TEXTS, seed=int(rng.integers(1 << 20)), detail=0.0)
    told = (*found.positive, *found.negative)
    groups = rng.permutation(sorted({each.group for each in told}))
    first = {*groups[: len(groups) // 2].tolist()}
    rows = [
        {
            "id": f"{i}",
            "text": each.text,
            "group": each.group,
            "label": "positive" if each.group in first else "negative",
        }
        for i, each in enumerate(told)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def _states(rng: Rng, folder: Path, *, pool: Literal["last", "mean"]) -> States:
    """The map's rungs as `localize` found them, the place's as `lesion --from` did."""
    localize = Localize(
        contrast=_sides(rng, folder / "sides.jsonl"), sites="*.feature", select=Select(percent=5, side="both"), pool=pool,
        permutations=99, twins=19,
    )  # fmt: skip
    first = open_run(run(localize, routed(), folder / "localize").path)
    spec = CausalTest(
        **fields_of_run(first, {}), items="beliefs/false-belief", others=("beliefs/photograph",), n_items=N_ITEMS,
        options={"detail": 0.0, "seed": int(rng.integers(1 << 20))}, draws=DRAWS, n_bootstrap=500,
    )  # fmt: skip
    place = executed(spec, routed(), folder / "lesion")
    climbed = {rung["name"]: rung["state"] for rung in first.verdict["rungs"]}
    return {name: (climbed if name in MAP_RUNGS else place)[name] for name in place}


_FALSE = ("selective", "reliable", "learned", "causal", "specific", BOTH)
CASES = (
    RunCase("sides by lot", partial(_states, pool="last"), _FALSE),
    RunCase("sides by lot, averaged over the story", partial(_states, pool="mean"), _FALSE),
)
