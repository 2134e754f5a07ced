"""Items from tables: prompts, choices, answers, and what may stand beside them."""

from __future__ import annotations

from pathlib import Path

from broca.errors import StimulusError
from broca.items import Item, Items
from broca.stimuli.answers import AnswerForm, answer_in, choices_in, text_in
from broca.stimuli.counterfactuals import ANSWER, TEXT
from broca.stimuli.options import Wording
from broca.stimuli.pictures import COLUMNS, pictures_in
from broca.stimuli.tables import Table, read_table, rename_columns

REWORDING = "rewording"
"""The column of a table that has each prompt in other words."""
COUNTERFACTUALS = {"counterfactual": TEXT, "counterfactual_answer": ANSWER}
"""Columns of a table that has for each prompt another one of which another answer is right, and their tags."""
ITEM_COLUMNS = ("prompt", "choices", "answer", "ability", "group", "id", REWORDING, *COUNTERFACTUALS, *COLUMNS)
"""What a table of items is read for."""


def table_items(
    path: str | Path,
    *,
    answers: AnswerForm = "auto",
    ability: str | None = None,
    wording: Wording = 1,
    columns: str | None = None,
) -> tuple[Item, ...]:
    """Items from a CSV, TSV, JSONL, JSON or Parquet table.

    Columns are ``prompt`` (a text, or a list of messages with role and content), ``choices`` (a list, the JSON of one, or ``box|bag``)
    and ``answer``; ``ability``, ``group``, ``id``
    and ``image`` or ``images`` (`broca.stimuli.pictures.pictures_in`) are optional, others are left alone. A column ``rewording`` asks
    the same in other words; a row may leave it empty. A column ``counterfactual`` holds the prompt so changed that
    ``counterfactual_answer`` is right, as it follows the prompt: by default the first other choice.

    Args:
        path: The file.
        answers: Whether an answer is an index from 0, a letter from a, or the text of a choice; ``auto`` takes what only
            one reading allows, and refuses where two disagree.
        ability: The ability of all items where the table has no such column; the name of the file by default.
        wording: 1 or 2: of ``prompt``, or of ``rewording``, without the rows that have none.
        columns: What the table calls these columns, where it calls them otherwise: ``prompt=question,choices=options,answer=label``.

    Raises:
        StimulusError: The table is malformed or lacks columns, or a row has unusable choices or answer, or a picture that is
            missing or damaged.
    """
    read = read_table(path)
    read = read if columns is None else rename_columns(read, columns, ITEM_COLUMNS)
    return items_of_table(read, answers=answers, ability=ability, wording=wording)


def items_of_table(
    read: Table, *, answers: AnswerForm = "auto", ability: str | None = None, wording: Wording = 1
) -> Items:
    """The same from a table that has been read."""
    read.require("prompt", "choices", "answer")
    if "counterfactual_answer" in read.columns and "counterfactual" not in read.columns:
        raise StimulusError(
            f"{read.path.name} has a column 'counterfactual_answer' and none 'counterfactual', the text of which it is right. Name that "
            f"so, or leave it out. Columns found: {read.column_names}."
        )
    read.optional(
        "ability",
        "group",
        "id",
        REWORDING,
        *COUNTERFACTUALS,
        *(name for name in COLUMNS if not set(COLUMNS) & set(read.columns)),
    )
    if ability is not None and "ability" in read.columns:
        raise StimulusError(f"{read.path.name} has a column 'ability'. Leave out the option of that name.")
    if wording == 2:
        read.require(REWORDING)
    asked = "prompt" if wording == 1 else REWORDING
    items: list[Item] = []
    for row, name in zip(read.rows, read.names(lambda index: str(index + 1)), strict=True):
        if wording == 2 and not row.cells.get(asked):
            continue
        choices = choices_in(read, row)
        items.append(
            Item(
                id=name,
                prompt=text_in(read, row, asked),
                choices=choices,
                answer=answer_in(read, row, choices, answers),
                ability=read.tag(row, "ability", read.path.stem if ability is None else ability),
                group=read.group(row),
                tags={tag: read.text(row, name) for name, tag in COUNTERFACTUALS.items() if row.cells.get(name)},
                images=pictures_in(read, row, *COLUMNS),
            )
        )
    return Items(items)
