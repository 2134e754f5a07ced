"""What a causal test asks: the items of each ability, and their texts as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.benchmarks import benchmark, option_types, second_wording
from broca.stimuli.lengths import plain
from broca.stimuli.options import deal


def abilities(
    names: Sequence[str], options: Mapping[str, Any], n_items: int | None, *, beside: Sequence[str] = ()
) -> dict[str, tuple[Item, ...]]:
    """The items of each ability, in the order of the benchmarks.

    Args:
        names: benchmarks or files of items.
        options: of the benchmarks, each of which is given those that it takes.
        n_items: so many of each ability at most, spread over its whole list.
        beside: benchmarks that share the options and are read elsewhere.

    Raises:
        StimulusError: if a file is malformed, two benchmarks share an ability, or two items an id.
        UnknownName: if no benchmark has this name, or none takes an option.
    """
    every = (*names, *beside)
    takes = [(name, option_types(name) if len(every) > 1 else {}) for name in every]
    found: dict[str, tuple[Item, ...]] = {}
    for name, own in zip(names, deal(options, takes), strict=False):
        items = benchmark(name, **own)
        for ability in dict.fromkeys(item.ability or name for item in items):
            if ability in found:
                raise StimulusError(
                    f"Ability {ability!r} comes from two benchmarks, the second one {name!r}. Give it once."
                )
            asked = [replace(item, ability=ability) for item in items if (item.ability or name) == ability]
            if len({item.id for item in asked}) < len(asked):
                raise StimulusError(
                    f"{name}: two items of {ability!r} share an id, so they cannot be paired. Make ids unique."
                )
            found[ability] = tuple(spread(asked, n_items or len(asked)))
    return found


def spread(items: Sequence[Item], n: int) -> list[Item]:
    """So many of the items at most, spread over the whole list."""
    places = np.linspace(0, len(items) - 1, min(n, len(items)))
    return [items[i] for i in np.unique(places.astype(int))]


def rewordings(
    names: Sequence[str], options: Mapping[str, Any], items: Sequence[Item], *, beside: Sequence[str] = ()
) -> tuple[Item, ...]:
    """Items of the first benchmark in other words, in their order; without those that have none.

    Args:
        names: benchmarks or files of items, as they were given to `abilities`.
        options: of the benchmarks.
        items: of one ability of the first one.
        beside: benchmarks that share the options.

    Raises:
        StimulusError: if the second wording has other choices or another answer, or is malformed.
        UnknownName: as `abilities`.
    """
    every = (*names, *beside)
    takes = [(name, option_types(name) if len(every) > 1 else {}) for name in every]
    found = {(item.ability or names[0], item.id): item for item in second_wording(names[0], **deal(options, takes)[0])}
    made = []
    for item in items:
        if (other := found.get((item.ability, item.id))) is None:
            continue
        if (other.choices, other.answer) != (item.choices, item.answer):
            raise StimulusError(
                f"{names[0]}: the second wording of item {item.id!r} has other choices or another answer. Ask the same in other words."
            )
        made.append(replace(other, ability=item.ability, group=item.group))
    return tuple(made)


def prompts(asked: Mapping[str, Sequence[Item]]) -> pl.DataFrame:
    """One row an item: id, ability, group, prompt, choices, answer."""
    rows = [
        {
            "id": item.id,
            "ability": ability,
            "group": item.cluster,
            "prompt": plain(item.prompt),
            "choices": list(item.choices),
            "answer": item.choices[item.answer].strip(),
        }
        for ability, items in asked.items()
        for item in items
    ]
    return pl.DataFrame(rows)
