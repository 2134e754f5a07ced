"""Stories written for this project: false beliefs against false photographs, emotional against physical pain."""

from __future__ import annotations

from importlib import resources
from typing import Annotated, TypeVar

from pydantic import Field

from broca.errors import StimulusError
from broca.items import Contrast, Item, Stimulus
from broca.stimuli import paradigms
from broca.stimuli.answers import answer_in, choices_in
from broca.stimuli.tables import Table, read_table

_T = TypeVar("_T")
AtLeastTwo = Annotated[int, Field(ge=2)]


def belief(*, n: AtLeastTwo | None = None) -> Contrast:
    """Stories in which somebody's belief is out of date (positive) or a photograph, map or sign is (negative).

    Each text ends where the answer would come. Stories of a group are twins; where they stand in the same order on both
    sides, the contrast is paired.

    Args:
        n: Stories on each side, the first ones; all of them by default.

    Raises:
        StimulusError: More stories were asked for than there are.
    """
    table = _stories("belief.jsonl")
    positive, negative = (
        tuple(
            Stimulus(
                table.word(row, "id"),
                prompt(table.text(row, "story"), table.text(row, "question")),
                table.group(row),
            )
            for row in table.rows
            if row.cells["label"] == label
        )
        for label in ("positive", "negative")
    )
    return Contrast(
        "belief",
        _first(positive, n, "belief stories on each side"),
        _first(negative, n, "photograph stories on each side"),
        paired=bool(positive[0].group) and [s.group for s in positive] == [s.group for s in negative],
        source="Written for this project: stories about what somebody believes against stories about what a "
        f"picture shows, outdated and up to date half and half. Paradigm: {paradigms.BELIEF}.",
    )


def belief_stories(*, n: AtLeastTwo | None = None) -> tuple[Item, ...]:
    """The belief stories of the contrast `belief` as questions with two possible answers: false and true beliefs, half and half.

    Args:
        n: The first n of them; all by default.

    Raises:
        StimulusError: More were asked for than there are.
    """
    return _items("positive", "belief-stories", n)


def photograph_stories(*, n: AtLeastTwo | None = None) -> tuple[Item, ...]:
    """The photograph stories of the contrast `belief` as questions with two possible answers.

    Args:
        n: The first n of them; all by default.

    Raises:
        StimulusError: More were asked for than there are.
    """
    return _items("negative", "photograph-stories", n)


def pain(*, n: AtLeastTwo | None = None) -> Contrast:
    """Stories of emotional pain (positive) against physical pain (negative), one or two sentences each, in pairs.

    The stories of a pair share a person, and agree in length to within four words.

    Args:
        n: Pairs, the first ones; all of them by default.

    Raises:
        StimulusError: More pairs were asked for than there are.
    """
    table = _stories("pain.jsonl")
    rows = _first(table.rows, n, "pairs of pain stories")
    emotional, physical = (
        tuple(
            Stimulus(f"{name}-{side}", table.text(row, side), name)
            for row in rows
            for name in (table.word(row, "pair"),)
        )
        for side in ("emotional", "physical")
    )
    return Contrast(
        "pain",
        emotional,
        physical,
        paired=True,
        source="Written for this project: stories of emotional against physical pain, in pairs of about the same "
        f"length. Paradigm: {paradigms.PAIN}.",
    )


def prompt(story: str, question: str) -> str:
    """A story and a question about it, ending where the answer would come."""
    return f"Story: {story}\nQuestion: {question}\nAnswer:"


def _stories(name: str) -> Table:
    with resources.as_file(resources.files("broca.stimuli").joinpath("data", name)) as path:
        return read_table(path)


def _items(label: str, ability: str, n: int | None) -> tuple[Item, ...]:
    table = _stories("belief.jsonl")
    rows = tuple(row for row in table.rows if row.cells["label"] == label)
    items: list[Item] = []
    for row in _first(rows, n, f"{ability} stories"):
        choices = choices_in(table, row)
        items.append(
            Item(
                id=table.word(row, "id"),
                prompt=prompt(table.text(row, "story"), table.text(row, "question")),
                choices=choices,
                answer=answer_in(table, row, choices, "index"),
                ability=ability,
                group=table.group(row),
            )
        )
    return tuple(items)


def _first(things: tuple[_T, ...], n: int | None, what: str) -> tuple[_T, ...]:
    if n is not None and n > len(things):
        raise StimulusError(f"{n} {what} were asked for, and there are {len(things)}. Ask for fewer.")
    return things[:n]
