"""Data sets of inspect-ai (UK AI Security Institute): samples with ``input`` and ``target``, and ``choices`` where there are some.

Its theory-of-mind example has stories in the manner of ToMi (Le, Boureau & Nickel, 2019, EMNLP) and no choices: the places that a story
names for the thing are the choices.
"""

from __future__ import annotations

import re
from pathlib import Path

from broca.errors import StimulusError
from broca.items import Item, Text, fingerprint
from broca.stimuli.answers import LETTERS, text_in
from broca.stimuli.lengths import plain
from broca.stimuli.published.questions import check_items, item_id, option_list
from broca.stimuli.published.sources import records
from broca.stimuli.stories import prompt
from broca.stimuli.tables import Row, Table, short_repr

COLUMNS = frozenset({"input", "target"})

_PLACES = re.compile(r"\bThe (\w+) (?:is|are) in the (\w+)\.|\bmoved the (\w+) to the (\w+)\.")
_QUESTION = re.compile(r"Where (?:was|were|is|are|will|does|do) [^.?]*\?$")


def inspect_samples(path: str | Path) -> tuple[Item, ...]:
    """The samples of a data set as items.

    With a column ``choices`` the target is a letter or the text of a choice. Without it the text must be a story of ToMi: the ability is
    ``memory`` (where it was at the beginning), ``reality``, or ``false-belief`` and ``true-belief``, with ``second-order-`` before where
    somebody thinks what somebody thinks. Questions about one story share a group.

    Args:
        path: JSON lines, or another table.

    Raises:
        StimulusError: A row is malformed, has no choices and is no such story, or its target is none of the choices.
    """
    table = records(path)
    table.require(*sorted(COLUMNS))
    make = _choice if "choices" in table.columns else _story
    return check_items(table, [make(table, row) for row in table.rows])


def _choice(table: Table, row: Row) -> Item:
    options = tuple(option.strip() for option in option_list(table, row, "choices"))
    target = table.word(row, "target")
    letter = LETTERS.find(target.lower()) if len(target) == 1 else -1
    found = options.index(target) if target in options else letter
    if not 0 <= found < len(options):
        raise _no_target(table, row, target, options)
    return Item(item_id(table, row), text_in(table, row, "input"), options, found, table.path.stem)


def _story(table: Table, row: Row) -> Item:
    whole, target = _words(text_in(table, row, "input")), table.word(row, "target")
    asked = _QUESTION.search(whole)
    found = [(one or other, place or to) for one, place, other, to in _PLACES.findall(whole)]
    places = tuple(dict.fromkeys(place for _, place in found))
    if asked is None or len(places) < 2 or len({thing for thing, _ in found}) > 1:
        raise StimulusError(
            f"{table.at(row)}: there are no choices, and {short_repr(whole)} is no story of a thing that is moved from one place to another. "
            "Give a column choices."
        )
    if target not in places:
        raise _no_target(table, row, target, places)
    story, question = whole[: asked.start()].strip(), asked[0]
    return Item(
        item_id(table, row),
        prompt(story, question),
        places,
        places.index(target),
        _ability(question, stale=target != places[-1]),
        f"story-{fingerprint(story)[:8]}",
    )


def _ability(question: str, *, stale: bool) -> str:
    if question.endswith("at the beginning?"):
        return "memory"
    if question.endswith("really?"):
        return "reality"
    return f"{'second-order-' if ' think that ' in question else ''}{'false' if stale else 'true'}-belief"


def _words(text: Text) -> str:
    return " ".join(plain(text).split())


def _no_target(table: Table, row: Row, target: str, options: tuple[str, ...]) -> StimulusError:
    return StimulusError(f"{table.at(row)}: the target {short_repr(target)} is none of {short_repr(list(options))}.")
