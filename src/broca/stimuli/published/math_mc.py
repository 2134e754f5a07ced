"""MATH as four-way choice: JSON lines with A, B, C, D, Answer, Question, Level and Type.

The problems are from Hendrycks et al. (2021), NeurIPS; the wrong options were made by others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from broca.items import Item
from broca.stimuli.localizers import Style
from broca.stimuli.published.questions import check_items, item_id, letter_index, question, text_of
from broca.stimuli.published.sources import records
from broca.stimuli.tables import Row, Table

COLUMNS = frozenset({"A", "B", "C", "D", "Answer", "Question"})
_CONTEXT = "This is a mathematical problem. Read it and choose the best answer among options provided: a, b, c, d."


def math_mc(
    path: str | Path,
    *,
    type: str | None = None,  # noqa: A002 - the file's own word
    level: int | None = None,
    empty: Literal["keep", "drop"] = "keep",
    style: Style = "tl",
) -> tuple[Item, ...]:
    """The problems of a file, with the ability ``math``.

    Args:
        path: The file.
        type: Only those of this subject, e.g. ``Prealgebra``.
        level: Only those of this difficulty, from 1.
        empty: What to do with problems of which a wrong option is empty (the published files have some): in the style ``tl``
            they can be kept, and a letter stands alone.
        style: ``tl`` lists the options in the prompt, and letters are the choices: formulas that are long or written in
            several ways do not compare well by their likelihood. ``ours``: the options are the choices.

    Raises:
        StimulusError: A row is malformed, or none is left.
    """
    table = records(path)
    table.require(*sorted(COLUMNS))
    items: list[Item] = []
    for row in table.rows:
        answer = letter_index(table, row, "Answer", "ABCD")
        lenient = style == "tl" or empty == "drop"
        options = [_option(table, row, letter, lenient and i != answer, style) for i, letter in enumerate("ABCD")]
        own = {name.lower(): table.word(row, name) for name in ("Type", "Level") if row.cells.get(name)}
        if type not in {None, own.get("type")} or (level is not None and own.get("level") != f"Level {level}"):
            continue
        if empty == "drop" and not all(option.strip() for option in options):
            continue
        text = f"Question: {text_of(table, row, 'Question', style)}"
        items.append(
            question(
                item_id(table, row), text, options, answer, ability="math", style=style, context=_CONTEXT, tags=own
            )
        )
    return check_items(table, items, type=type, level=level)


def _option(table: Table, row: Row, letter: str, may_be_empty: bool, style: Style) -> str:  # noqa: FBT001
    text = "" if row.cells[letter] is None else str(row.cells[letter])
    return text if may_be_empty and not text.strip() else text_of(table, row, letter, style)
