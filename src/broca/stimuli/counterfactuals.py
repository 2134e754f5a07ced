"""Counterfactuals of items: the same question told so that another answer is right, as far as the item says or shows how.

An item brings its own (tags ``counterfactual`` and ``counterfactual answer``), or both of its choices stand in its text and are exchanged
there; the latter is symmetric token replacement (Zhang & Nanda, 2024).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from broca.errors import StimulusError
from broca.items import Item, Text
from broca.registry import unknown
from broca.stimuli.perturb import KINDS, perturb

TEXT, ANSWER = "counterfactual", "counterfactual answer"
"""The tags of an item that brings its own."""
Way = Literal["auto", "own", "exchange", "other"]
WAYS: tuple[Way, ...] = ("auto", "own", "exchange", "other")


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Another text for an item, and what is right of it."""

    text: Text
    answer: str
    """As it follows the text; one of the item's choices or not."""


def check_way(way: str) -> None:
    """Refuse what names no counterfactual.

    Raises:
        UnknownName: naming those that there are.
    """
    if way not in WAYS and way not in KINDS:
        raise unknown("Counterfactual", way, (*WAYS, *KINDS))


def own_counterfactual(item: Item) -> Counterfactual | None:
    """The one that the item brings; None where it brings none."""
    if TEXT not in item.tags:
        return None
    return Counterfactual(item.tags[TEXT], item.tags.get(ANSWER) or _first_other(item))


def exchange(item: Item, seed: int = 0) -> Counterfactual | None:
    """The text with the right choice and another one exchanged wherever either stands as a word; None where they do not both."""
    right, said = item.choices[item.answer].strip(), _words(item.prompt)
    others = [c for i, c in enumerate(item.choices) if i != item.answer and _stands(c.strip(), said)]
    if not others or not _stands(right, said):
        return None
    foil = random.Random(f"{seed}/{item.id}").choice(others)  # noqa: S311 - a choice of words, no secret
    swap = {right: foil.strip(), foil.strip(): right}
    return Counterfactual(_map_text(item.prompt, lambda text: _exchange(text, swap)), foil)


def perturb_item(item: Item, kind: str, seed: int = 0) -> Counterfactual | None:
    """The text perturbed in some way, of which the strongest other choice is taken for what it says; None where it cannot be.

    Raises:
        UnknownName: if there is no such kind.
    """
    if not isinstance(item.prompt, str) or len(item.choices) < 2:
        return None
    try:
        found = perturb(item.prompt, kind, seed=seed, protect=[choice.strip() for choice in item.choices])
    except StimulusError:
        return None
    return Counterfactual(found.text, _other(item, seed))


def is_kind(way: str) -> bool:
    """Whether a way is a kind of perturbation."""
    return way in KINDS


def _first_other(item: Item) -> str:
    return next((choice for i, choice in enumerate(item.choices) if i != item.answer), "")


def _other(item: Item, seed: int) -> str:
    others = [choice for i, choice in enumerate(item.choices) if i != item.answer]
    return random.Random(f"{seed}/{item.id}").choice(others) if others else ""  # noqa: S311


def _words(text: Text) -> str:
    return text if isinstance(text, str) else "\n".join(message.content for message in text)


def _stands(word: str, text: str) -> bool:
    return bool(word) and _pattern([word]).search(text) is not None


def _pattern(words: list[str]) -> re.Pattern[str]:
    longest = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")


def _exchange(text: str, swap: Mapping[str, str]) -> str:
    return _pattern([*swap]).sub(lambda found: swap[found[0]], text)


def _map_text(text: Text, change: Callable[[str], str]) -> Text:
    if isinstance(text, str):
        return change(text)
    return tuple(replace(message, content=change(message.content)) for message in text)
