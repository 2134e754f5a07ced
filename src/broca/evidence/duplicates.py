"""Texts that are nearly the same although no group says so: fillings of one template count as one observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from broca.items import Item, Text
from broca.stats.near_duplicates import ALIKE, WIDTH, near_duplicates
from broca.stimuli.ends import bare_texts
from broca.stimuli.lengths import plain

FEW = 0.1
"""Share of the texts that may be like one of another group without a word about it."""


def warn_of_near_duplicate_items(abilities: Mapping[str, Sequence[Item]]) -> tuple[str, ...]:
    """The same for the items of each ability."""
    return tuple(
        warning
        for name, items in abilities.items()
        for warning in warn_of_near_duplicates(
            f"items of {name}", [i.prompt for i in items], [i.cluster for i in items]
        )
    )


def warn_of_near_duplicates(what: str, texts: Sequence[Text], groups: Sequence[str]) -> tuple[str, ...]:
    """A warning, with the numbers, where texts of different groups are nearly the same; none where few are.

    What all texts begin and end with, as an instruction, is left out.

    Args:
        what: the texts are, in words.
        texts: all of them.
        groups: what is kept together, of each.
    """
    bare = bare_texts([plain(text) for text in texts])
    if len(bare) < 2:
        return ()
    found = near_duplicates(bare)
    names = np.asarray(groups)
    apart = names[found.pairs[:, 0]] != names[found.pairs[:, 1]]
    n = len(np.unique(found.pairs[apart]))
    if n <= FEW * len(bare):
        return ()
    made = len(np.unique(found.groups))
    text = (
        f"{n} of {len(bare)} {what} are nearly the same as one of another group ({WIDTH}-character n-grams, Jaccard {ALIKE:g} or more): by "
        f"likeness they make {made} groups, and {len(np.unique(names))} are counted. If they are fillings of one template, name it in the "
        "column 'group', else p are too small; or write more templates."
    )
    return (text,)
