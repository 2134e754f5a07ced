"""What makes a set of items unfit to measure an ability, in words: told beside every score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.blind_rules import BASELINES

FEW = 8
"""Fewer items than this cannot be told from a set with a constant key by chance."""
SOLVED = 0.85
"""What a shortcut that never reads the story may score before it is worth a word."""


def flags(items: Iterable[Item]) -> tuple[str, ...]:
    """What is degenerate about each ability: a constant key, a key at a constant place, a shortcut that solves it, twins.

    Args:
        items: Of one ability or more; abilities with fewer than `FEW` items are passed over.
    """
    by_ability: dict[str, list[Item]] = {}
    for item in items:
        by_ability.setdefault(item.ability, []).append(item)
    return tuple(
        f"{ability}: {told}" for ability, own in by_ability.items() if len(own) >= FEW for told in _degenerate(own)
    )


def constant(items: Sequence[Item]) -> str | None:
    """The one text that is right for every item; None where there are several, or choices differ from item to item.

    Letters are a text like any other where all items have the same options behind them.
    """
    keys = {_option_text(item, item.answer) for item in items}
    offered = {frozenset(_option_text(item, i) for i in range(len(item.choices))) for item in items}
    return keys.pop() if len(keys) == 1 and len(offered) == 1 and len(items) >= FEW else None


def refuse_constant(what: str, items: Sequence[Item]) -> None:
    """Refuse items of which an ability has a constant key: its accuracy would measure a liking for one answer.

    Raises:
        StimulusError: One does.
    """
    by_ability: dict[str, list[Item]] = {}
    for item in items:
        by_ability.setdefault(item.ability, []).append(item)
    for ability, own in by_ability.items():
        key = constant(own)
        if key is not None:
            raise StimulusError(
                f"{what}: all {len(own)} items of {ability!r} have the answer {key!r}, so their accuracy is a liking for that "
                "answer, and nothing else. Choose other items, or say degenerate='keep' to have these all the same."
            )


def _option_text(item: Item, index: int) -> str:
    options = item.tags.get("options", "").split("|")
    text = options[index] if len(options) == len(item.choices) else item.choices[index]
    return text.strip().casefold()


def _degenerate(items: Sequence[Item]) -> list[str]:
    found: list[str] = []
    key = constant(items)
    if key is not None:
        found.append(f"every answer is {key!r}; accuracy is a liking for it.")
    if len({item.answer for item in items}) == 1 and key is None:
        found.append(f"the right choice is always number {items[0].answer + 1}; shuffle the choices (permuted).")
    for name in ("first-mentioned", "last-mentioned"):
        score = BASELINES[name](items)
        if score >= SOLVED:
            found.append(f"the shortcut {name} alone scores {score:.0%}.")
    twins = sum(times - 1 for times in Counter((item.prompt, item.choices, item.images) for item in items).values())
    if twins:
        found.append(f"{twins} of {len(items)} items repeat another one word for word.")
    return found
