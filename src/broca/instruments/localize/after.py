"""What is typed after a localizer: the items that a lesion of its units is tested on, told as its own stimuli were."""

from __future__ import annotations

from collections.abc import Mapping

from broca.page.shell import YOURS, items_for
from broca.registry import ORGANISMS
from broca.stimuli.benchmarks import option_types

DRAWN = ("n", "seed")
"""Options that say how many stimuli are made and which, and nothing of what they are like: items are other draws."""


def lesion_options(contrast: str, options: Mapping[str, object], model: str) -> dict[str, object]:
    """Items for what a contrast is about, with those of its options that they take too.

    Args:
        contrast: its name.
        options: of the contrast.
        model: its name: a shipped organism knows only the words of its world.
    """
    made = items_for(contrast, organism=model in ORGANISMS)
    known = () if made["items"] == YOURS else option_types(str(made["items"]))
    return made | {"options": {name: each for name, each in options.items() if name in known and name not in DRAWN}}
