"""`beliefs`: a small Llama-style model that follows who knows what, what pictures show, and sums.

`world` makes its items and texts, `train` its weights, `exam` measures it; `stories` makes the localizer stimuli.
"""

from __future__ import annotations

from broca.items import Item
from broca.organisms.beliefs.story import DETAIL
from broca.organisms.beliefs.world import ABILITIES, items
from broca.registry import unknown
from broca.stimuli.options import Count, Seed, Share, Wording

MIXED = {"belief": ("false-belief", "true-belief"), "all": ABILITIES}
"""Benchmarks made of several abilities."""


def benchmark(
    ability: str, *, n: Count = 200, seed: Seed = 0, detail: Share = DETAIL, wording: Wording = 1
) -> tuple[Item, ...]:
    """Held-out items of the organism's world.

    Args:
        ability: an ability of the world; "belief": false and true belief, half and half, so that no place is right more
            often than the other; or "all": `n` of each ability.
        n: how many items (of each ability for "all").
        seed: the same seed gives the same items.
        detail: how much detail makes the stories hard, from 0 to 1.
        wording: 1 or 2: the same stories and sums, asked about in other words that the organism learned too.

    Raises:
        UnknownName: if there is no such ability.
        StimulusError: if there are no such items with so little detail.
    """
    if ability == "belief":
        halves = tuple(
            items(name, size, seed, detail=detail, wording=wording)
            for name, size in (("false-belief", (n + 1) // 2), ("true-belief", n // 2))
        )
        return tuple(item for pair in zip(*halves, strict=False) for item in pair) + halves[0][n // 2 :]
    if ability == "all":
        return tuple(item for name in ABILITIES for item in items(name, n, seed, detail=detail, wording=wording))
    if ability not in ABILITIES:
        raise unknown("Ability", ability, (*ABILITIES, *MIXED))
    return items(ability, n, seed, detail=detail, wording=wording)
