"""Minimal pairs: BLiMP (Warstadt et al., 2020, TACL) and what is like it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.published.questions import check_items, item_id
from broca.stimuli.published.sources import records
from broca.stimuli.tables import Row, Table, short_repr

BLIMP = frozenset({"sentence_good", "sentence_bad"})


def blimp(path: str | Path, *, start: str = "\n", phenomenon: str | None = None) -> tuple[Item, ...]:
    """Two sentences an item, of which one is grammatical; the ability is the paradigm (``UID``), else the file's name.

    The words that both begin with are the prompt, so that what differs is what is compared. The right one is first in
    every other item.

    Args:
        path: JSON lines, or another table, with ``sentence_good`` and ``sentence_bad``.
        start: What stands before each sentence: something must, for the first word to be predicted from.
        phenomenon: Only pairs of this ``linguistics_term``, where the file has one.

    Raises:
        StimulusError: A row is malformed, both sentences are the same, or no row is left.
    """
    table = records(path)
    table.require(*sorted(BLIMP))
    items: list[Item] = []
    for row in table.rows:
        if phenomenon not in (None, row.cells.get("linguistics_term")):
            continue
        good, bad = table.word(row, "sentence_good"), table.word(row, "sentence_bad")
        ability = str(row.cells.get("UID") or table.path.stem)
        name = item_id(table, row)
        item = pair(table, row, name, start, (good, bad), ability=ability, right=len(items) % 2)
        items.append(replace(item, group=f"{ability}-{row.cells.get('pairID') or name}"))
    return check_items(table, items, phenomenon=phenomenon)


def pair(table: Table, row: Row, name: str, start: str, sides: tuple[str, str], *, ability: str, right: int) -> Item:
    """An item of two sentences, the good one first: what they begin with is the prompt, and the rest the choices.

    Args:
        table: for messages.
        row: the same.
        name: the item's id.
        start: what stands before each sentence.
        sides: the good one and the bad one.
        ability: of the item.
        right: the place of the good one.

    Raises:
        StimulusError: They are the same, or one is the beginning of the other.
    """
    good, bad = sides
    parts = next((n for n, (a, b) in enumerate(zip(good, bad, strict=False)) if a != b), min(len(good), len(bad)))
    shared = good[: max(good.rfind(" ", 0, parts), 0)]
    choices = [good[len(shared) :], bad[len(shared) :]]
    if good == bad or not all(choice.strip() for choice in choices):
        raise StimulusError(
            f"{table.at(row)}: {short_repr(good)} and {short_repr(bad)} are no two sentences. Give two that differ."
        )
    return Item(name, start + shared, tuple(choices[::-1] if right else choices), right, ability)
