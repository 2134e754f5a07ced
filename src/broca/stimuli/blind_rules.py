"""What shortcuts score: an accuracy means something only beside what can be had without the ability.

The shortcuts look at an item as text. None of them knows the story.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import polars as pl

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.lengths import plain
from broca.writing import occurrences


def baselines(items: Iterable[Item]) -> pl.DataFrame:
    """The accuracy of each shortcut on each ability.

    * ``majority``: always the answer text that is right most often in the ability (case ignored)
    * ``majority-position``: always the position in which the right choice is most often
    * ``first-mentioned``: the choice whose first mention in the prompt comes first
    * ``last-mentioned``: the choice whose last mention in the prompt comes last
    * ``chance``: a choice at random, the mean of 1 / number of choices

    A mention is whole words (in scripts without spaces, any place), case ignored. Where two choices are mentioned at one place (``box`` and ``box of tea``),
    the longer one counts, then the earlier in the list. An item whose prompt mentions none of its choices counts as
    chance.

    Where every item of an ability has an answer of theirs, also the reporters:

    * ``reality-reporter``: what is really there, whatever anybody thinks of it (the item's tag ``reality``)
    * ``always-yes``: yes

    Args:
        items: Of one ability or more.

    Returns:
        ``ability``, ``baseline``, ``accuracy``; abilities in the order in which they first come.

    Raises:
        StimulusError: No items.
    """
    by_ability: dict[str, list[Item]] = {}
    for item in items:
        by_ability.setdefault(item.ability, []).append(item)
    if not by_ability:
        raise StimulusError("There are no items to take baselines of. Give at least one.")
    rows = [
        (ability, name, accuracy)
        for ability, group in by_ability.items()
        for name, accuracy in (
            *((name, rule(group)) for name, rule in BASELINES.items()),
            *((name, _report_accuracy(group, rule)) for name, rule in REPORTERS.items()),
        )
        if accuracy is not None
    ]
    return pl.DataFrame(
        rows, schema={"ability": pl.String, "baseline": pl.String, "accuracy": pl.Float64}, orient="row"
    )


def mention_index(item: Item, *, last: bool = False) -> int | None:
    """The index of the choice that the prompt mentions first, or `last`; None where it mentions none.

    Args:
        item: Its prompt is searched; of a chat, the contents of all messages.
        last: Take the choice whose last mention comes last.
    """
    text = plain(item.prompt)
    places: list[tuple[int, int, int]] = []
    for index, choice in enumerate(item.choices):
        spans = occurrences(text, choice.strip(), ignore_case=True)
        if spans:
            places.append((-spans[-1][0] if last else spans[0][0], -len(choice), index))
    return min(places)[2] if places else None


def reports_reality(item: Item) -> int | None:
    """The index of the choice that is really there, whatever anybody thinks; None where the item does not say."""
    real = item.tags.get("reality")
    return item.choices.index(real) if real in item.choices else None


def says_yes(item: Item) -> int | None:
    """The index of the choice yes; None where there is none."""
    return next((i for i, choice in enumerate(item.choices) if choice.strip().casefold() == "yes"), None)


def _report_accuracy(items: Sequence[Item], report: Callable[[Item], int | None]) -> float | None:
    said = [report(item) for item in items]
    return None if None in said else _mean([float(s == item.answer) for s, item in zip(said, items, strict=True)])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _majority(items: Sequence[Item]) -> float:
    counts = Counter(item.choices[item.answer].strip().casefold() for item in items)
    return max(counts.values()) / len(items)


def _majority_position(items: Sequence[Item]) -> float:
    return max(Counter(item.answer for item in items).values()) / len(items)


def _chance(items: Sequence[Item]) -> float:
    return _mean([1 / len(item.choices) for item in items])


def _mention(items: Sequence[Item], *, last: bool) -> float:
    picks = [(item, mention_index(item, last=last)) for item in items]
    return _mean([1 / len(item.choices) if pick is None else float(pick == item.answer) for item, pick in picks])


BASELINES: dict[str, Callable[[Sequence[Item]], float]] = {
    "majority": _majority,
    "majority-position": _majority_position,
    "first-mentioned": lambda items: _mention(items, last=False),
    "last-mentioned": lambda items: _mention(items, last=True),
    "chance": _chance,
}
"""The shortcuts by name, each a rule from the items of one ability to an accuracy."""

REPORTERS: dict[str, Callable[[Item], int | None]] = {"reality-reporter": reports_reality, "always-yes": says_yes}
"""Shortcuts that answer each item by itself, by name: the index of their choice, or None where they have no answer."""
