"""How a published question becomes an item: in our style, or as the prompts of Jamaa et al. (2025) list it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.answers import LETTERS
from broca.stimuli.localizers import Style
from broca.stimuli.tables import Row, Table, short_repr

CONTEXT = (
    "The following multiple choice question is based on the following story. The question is related to "
    "Theory-of-Mind. Read the story and then answer the question. Choose the best answer among options provided."
)
"""What Jamaa et al. (2025) put before most of their questions about beliefs."""


def question(
    name: str,
    text: str,
    options: Sequence[str],
    answer: int,
    *,
    ability: str,
    style: Style,
    context: str = CONTEXT,
    tail: str = "Answer letter:",
    group: str = "",
    tags: Mapping[str, str] | None = None,
    images: tuple[str, ...] = (),
) -> Item:
    """An item: in our style the options are its choices; in the style ``tl`` the prompt lists them, and letters are.

    Args:
        name: The item's id.
        text: Story and question; it ends where options or the answer would come.
        options: What may be answered, with its white space (see `text_of`).
        answer: The index of what is right.
        ability: What the item measures.
        style: Of the prompt.
        context: What stands before the text in the style ``tl``.
        tail: How the prompt ends in that style.
        group: What several items share.
        tags: Of the item.
        images: Paths of what is shown beside the text.
    """
    plain = tuple(option.strip() for option in options)
    if style == "ours":
        return Item(name, f"{text}\nAnswer:", plain, answer, ability, group, dict(tags or {}), images)
    listing = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    prompt = f"{context}\n{text}\nOptions:\n{listing}" + (f"\n{tail}" if tail else "")
    own = {**(tags or {}), "options": "|".join(plain)}
    return Item(name, prompt, tuple(LETTERS[: len(options)]), answer, ability, group, own, images)


def text_of(table: Table, row: Row, column: str, style: Style) -> str:
    """The text in one cell: to the letter in the style ``tl``, whose prompts keep its white space, else without what surrounds it.

    Raises:
        StimulusError: As `broca.stimuli.tables.Table.text`.
    """
    return table.text(row, column) if style == "tl" else table.word(row, column)


def item_id(table: Table, row: Row, more: str = "") -> str:
    """The name of an item by file and place."""
    place = row.where.removeprefix("line ").removeprefix("row ").removeprefix("entry ").replace("'", "")
    return f"{table.path.stem}:{place}{more}"


def option_list(table: Table, row: Row, column: str) -> tuple[str, ...]:
    """A list of two or more texts in one cell, with their white space.

    Raises:
        StimulusError: It is something else.
    """
    value = row.cells.get(column)
    known = isinstance(value, list | tuple) and all(isinstance(text, str | int | float) for text in value)
    texts = tuple(map(str, value)) if known else ()  # type: ignore[arg-type] - it is one of the two
    if len(texts) < 2 or not all(text.strip() for text in texts) or len(texts) > len(LETTERS):
        raise StimulusError(
            f"{table.at(row)}: {column!r} is {short_repr(value)}. It must be a list of 2 to {len(LETTERS)} texts."
        )
    return texts


def letter_index(table: Table, row: Row, column: str, options: Sequence[str]) -> int:
    """The index that a letter in one cell stands for, in either case.

    Raises:
        StimulusError: It is no letter of one of the options.
    """
    letter = table.word(row, column)
    index = LETTERS.find(letter.lower()) if len(letter) == 1 else -1
    if not 0 <= index < len(options):
        raise StimulusError(
            f"{table.at(row)}: {column!r} is {short_repr(letter)}. It must be a letter from a to {LETTERS[len(options) - 1]}."
        )
    return index


def check_items(table: Table, items: Sequence[Item], **filters: object) -> tuple[Item, ...]:
    """The items, of which there must be some, each with a name of its own.

    Raises:
        StimulusError: There are none, or two have the same name.
    """
    if not items:
        said = ", ".join(f"{name}={value!r}" for name, value in filters.items())
        raise StimulusError(f"{table.path.name} has no items with {said}. Widen these options.")
    twice = [name for name, n in Counter(item.id for item in items).items() if n > 1]
    if twice:
        raise StimulusError(f"{table.path.name} gives two items the name {twice[0]!r}. Number its rows anew.")
    return tuple(items)
