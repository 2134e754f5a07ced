"""Items that were looked at before a study, to choose what it claims: other items test it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from broca.evidence.abilities import abilities
from broca.evidence.ledger import DataChoice, group_digest
from broca.evidence.overlap import ChoosingData, OtherData
from broca.items import Item, Pair
from broca.page.words import enumeration


def pilot_items(names: Sequence[str], options: Mapping[str, Any], beside: Sequence[str]) -> tuple[Item, ...]:
    """Every item that was looked at.

    Args:
        names: benchmarks or files of items.
        options: of the benchmarks of the study, which these share.
        beside: the study's own benchmarks.

    Raises:
        StimulusError, UnknownName: as `abilities`.
    """
    found = abilities(names, options, None, beside=beside) if names else {}
    return tuple(item for items in found.values() for item in items)


def pilot_data(things: Sequence[Item | Pair]) -> ChoosingData:
    """What items or pairs hold: their texts, and the groups that are named. An id is unique in its file alone, and tells nothing."""
    named = [thing for thing in things if str(thing.group or "").strip()]
    texts = frozenset(thing.clean if isinstance(thing, Pair) else thing.content for thing in things)
    return ChoosingData(texts, frozenset(group_digest(thing.cluster) for thing in named))


def pilot_choice(names: Sequence[str], tested: str, before: OtherData, after: OtherData) -> list[DataChoice]:
    """The line of the ledger; none where nothing was looked at.

    Args:
        names: as they were given.
        tested: what tests, in words.
        before: the items that there were.
        after: those that are left.
    """
    apart = not set(after.used) - set(before.used)
    return pilot_line(names, tested, apart=apart, dropped=after.dropped - before.dropped)


def pilot_line(names: Sequence[str], tested: str, *, apart: bool, dropped: int) -> list[DataChoice]:
    """The same, from whether anything else is left, and how many were left out."""
    if not names:
        return []
    on = f"the pilot items {enumeration([*names])}"
    return [DataChoice("what was chosen beforehand", on, tested, apart, dropped)]
