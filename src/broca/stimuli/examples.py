"""Examples before the questions of any benchmark: its own items, of groups that are then not asked about."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from broca.errors import StimulusError
from broca.items import Item, Message
from broca.spacing import is_closing, is_space_between

Shots = Annotated[int, Field(ge=0, le=64)]


def add_examples(items: Sequence[Item], *, shots: Shots) -> tuple[Item, ...]:
    """The items behind examples with their answers, the same ones for all items of an ability.

    Examples are of different groups, their answers in turn; no item of these groups is left. To a chat they are earlier turns.

    Args:
        items: of one ability or more.
        shots: examples before each.

    Raises:
        StimulusError: if an ability has fewer than twice as many groups, or items with pictures or passages.
    """
    if not shots:
        return tuple(items)
    by_ability: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_ability[item.ability].append(item)
    examples = {ability: _choose(ability, own, shots) for ability, own in by_ability.items()}
    taken = {ability: {each.cluster for each in own} for ability, own in examples.items()}
    left = [item for item in items if item.cluster not in taken[item.ability]]
    return tuple(replace(item, prompt=_behind(examples[item.ability], item)) for item in left)


def _choose(ability: str, items: Sequence[Item], shots: int) -> list[Item]:
    odd = next((item for item in items if item.images or item.passages), None)
    if odd is not None:
        what = "pictures" if odd.images else "passages"
        raise StimulusError(f"Item {odd.id!r} has {what}, and examples are words alone. Leave out shots.")
    groups = len({item.cluster for item in items})
    if groups < 2 * shots:
        raise StimulusError(
            f"{ability or 'The benchmark'} has {groups} groups of items, and {shots} examples would take {shots} of them. Give shots of "
            f"{groups // 2} at most, or more groups."
        )
    stream = random.Random(f"{ability}/examples")  # noqa: S311 - stimuli, no secrets
    by_answer: dict[str, list[Item]] = defaultdict(list)
    for item in stream.sample(items, len(items)):
        by_answer[item.choices[item.answer].strip().casefold()].append(item)
    found: list[Item] = []
    while len(found) < shots:
        for own in by_answer.values():
            fresh = [item for item in own if item.cluster not in {each.cluster for each in found}]
            found += fresh[: 1 if len(found) < shots else 0]
    return found


def _behind(examples: Sequence[Item], item: Item) -> str | tuple[Message, ...]:
    if isinstance(item.prompt, str) and all(isinstance(each.prompt, str) for each in examples):
        told = [f"{each.prompt}{_gap(each)}{each.choices[each.answer]}" for each in examples]
        apart = "\n\n" if any("\n" in str(each.prompt) for each in (*examples, item)) else "\n"
        return apart.join([*told, item.prompt])
    own = _turns(item)
    system = tuple(turn for turn in own if turn.role == "system")
    before = [
        turn
        for each in examples
        for turn in (*_without_system(_turns(each)), Message("assistant", each.choices[each.answer].strip()))
    ]
    return (*system, *before, *_without_system(own))


def _gap(item: Item) -> str:
    """What parts a prompt from its answer: as where choices are scored."""
    text, answer = str(item.prompt), item.choices[item.answer]
    if text[-1].isspace() or answer[0].isspace() or all(map(is_closing, item.choices)):
        return ""
    return " " if is_space_between(text, answer) else ""


def _turns(item: Item) -> tuple[Message, ...]:
    return (Message("user", item.prompt),) if isinstance(item.prompt, str) else item.prompt


def _without_system(turns: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(turn for turn in turns if turn.role != "system")
