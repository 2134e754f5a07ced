"""What carries which ability in `routed`: each head, pair of heads and group of units ablated, every ability asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from broca.cache.cache import Progress, silent
from broca.interventions.lesion import Lesion, Zero
from broca.models.lm import LM
from broca.organisms.beliefs.exam import grade_items
from broca.organisms.beliefs.world import ABILITIES, items
from broca.units import UnitMask

COST = 0.05
"""Pairs are ablated of the region's heads, and of those that alone cost some ability more than this."""
DRAWS = 3
"""Random groups of units as large as the region's, for comparison."""


def truth(
    path: Path, *, n: int, detail: float, region: tuple[int, int], seed: int = 2, progress: Progress = silent
) -> list[dict[str, Any]]:
    """One entry for each ablation, the intact model first: what is ablated, and the accuracy of every ability.

    Zero ablation at every token, held-out items, right by likelihood.

    Args:
        path: the model's directory.
        n: items of each ability.
        detail: how much detail makes the items' stories hard.
        region: the head of each layer, and the number of last MLP units of each layer, that training routed beliefs to.
        seed: of the items and of the random groups.
        progress: told what is done, how much of it, and how much there is.
    """
    lm = LM.load(str(path))
    asked = {a: items(a, n, seed, detail=detail) for a in ABILITIES if a != "rival-belief"}

    def measure(ablations: Sequence[tuple[str, UnitMask | None]]) -> list[dict[str, Any]]:
        found = []
        for done, (name, mask) in enumerate(ablations):
            progress("ablating", done, len(ablations))
            with lm.under(*([Lesion(mask, Zero())] if mask else [])):
                marks = {
                    ability: grade_items(lm.model, lm.tokenizer.backend_tokenizer, of) for ability, of in asked.items()
                }
            found.append({"ablated": name, "accuracy": {ability: mark["choice"] for ability, mark in marks.items()}})
        progress("ablating", len(ablations), len(ablations))
        return found

    heads = [(layer, h) for layer in range(lm.anatomy.n_layers) for h in range(lm.anatomy.n_heads)]
    intact, *singles = measure([("nothing", None), *(_heads(lm, (one,)) for one in heads)])
    matters = [
        one
        for one, row in zip(heads, singles, strict=True)
        if one[1] == region[0] or any(row["accuracy"][a] < intact["accuracy"][a] - COST for a in asked)
    ]
    pairs = measure([_heads(lm, pair) for pair in combinations(matters, 2)])
    return [intact, *singles, *pairs, *measure(list(_groups(lm, region, seed)))]


def _groups(lm: LM, region: tuple[int, int], seed: int) -> Iterator[tuple[str, UnitMask]]:
    head, units = region
    a = lm.anatomy
    width = a.width(a.sites("mlp_act")[0])
    yield f"heads *.{head} (region)", _heads(lm, [(layer, head) for layer in range(a.n_layers)])[1]
    last = range(width - units, width)
    yield f"units *.{last[0]}-{last[-1]} (region)", _units(lm, {layer: list(last) for layer in range(a.n_layers)})
    for layer in range(a.n_layers):
        yield f"units {layer}.{last[0]}-{last[-1]} (region)", _units(lm, {layer: list(last)})
    rng = np.random.default_rng(seed)
    for draw in range(DRAWS):
        chosen = {layer: sorted(rng.permutation(width - units)[:units].tolist()) for layer in range(a.n_layers)}
        yield f"units outside the region, draw {draw}", _units(lm, chosen)


def _heads(lm: LM, heads: Sequence[tuple[int, int]]) -> tuple[str, UnitMask]:
    by_site: dict[str, list[int]] = {}
    for layer, head in heads:
        by_site.setdefault(f"{layer}.z", []).append(head)
    name = "heads " + " ".join(f"{layer}.{head}" for layer, head in heads)
    return name, UnitMask.of(by_site, n=lm.anatomy.n_heads, grain="head")


def _units(lm: LM, by_layer: dict[int, list[int]]) -> UnitMask:
    width = lm.anatomy.width(lm.anatomy.sites("mlp_act")[0])
    return UnitMask.of({f"{layer}.mlp_act": units for layer, units in by_layer.items()}, n=width)
