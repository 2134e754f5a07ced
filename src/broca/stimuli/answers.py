"""Choices and answers in a table of items: what a cell may look like, and how it is read without guessing."""

from __future__ import annotations

import json
from typing import Literal

from broca.errors import StimulusError
from broca.stimuli.tables import Row, Table, shown

AnswerForm = Literal["auto", "index", "letter", "text"]
"""How answers are written; ``auto`` takes whatever only one reading allows."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def choices_in(table: Table, row: Row) -> tuple[str, ...]:
    """The choices of one row: a list of texts, the JSON of one, or texts divided by ``|``.

    Raises:
        StimulusError: Fewer than two choices, an empty one, or two that are the same.
    """
    value = row.cells["choices"]
    listed = value if isinstance(value, list | tuple) else _listed(table, row, table.word(row, "choices"))
    choices = tuple(choice.strip() for choice in listed if isinstance(choice, str))
    if len(choices) < 2 or len(choices) < len(listed) or not all(choices):
        raise StimulusError(
            f"{table.at(row)}: choices {shown(value)} must be two or more texts, none empty: "
            'a JSON list such as ["box", "bag"], or box|bag.'
        )
    if len(set(choices)) < len(choices):
        raise StimulusError(f"{table.at(row)}: choices {shown(value)} hold the same text twice. Remove one.")
    return choices


def answer_in(table: Table, row: Row, choices: tuple[str, ...], form: AnswerForm) -> int:
    """The index of the right choice of one row.

    Args:
        table: For messages.
        row: Its ``answer`` is an index from 0, a letter from a, or the text of a choice.
        choices: Of that row.
        form: Which of the three it is.

    Raises:
        StimulusError: The answer is none of the choices, or two readings of it disagree.
    """
    value = row.cells["answer"]
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise StimulusError(f"{table.at(row)}: answer {shown(value)} must be an index from 0, a letter, or a choice.")
    text = str(value) if isinstance(value, int) else table.word(row, "answer")
    readings = {
        name: index for name, index in _readings(text, choices).items() if index is not None and form in {"auto", name}
    }
    if not readings:
        wanted = "an index from 0, a letter from a, or a text" if form == "auto" else f"one by {form}"
        raise StimulusError(
            f"{table.at(row)}: answer {shown(value)} is none of the {len(choices)} choices {shown(list(choices))}. Give {wanted}."
        )
    if len(set(readings.values())) > 1:
        listed = ", ".join(f"by {name} it is {choices[index]!r}" for name, index in readings.items())
        raise StimulusError(
            f"{table.at(row)}: answer {shown(value)} can be read in two ways: {listed}. "
            "Say which with the option answers='index', 'letter' or 'text'."
        )
    return next(iter(readings.values()))


def _readings(text: str, choices: tuple[str, ...]) -> dict[AnswerForm, int | None]:
    index = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else None
    letter = LETTERS.find(text.lower()) if len(text) == 1 else -1
    return {
        "index": index if index is not None and index < len(choices) else None,
        "letter": letter if 0 <= letter < len(choices) else None,
        "text": choices.index(text) if text in choices else None,
    }


def _listed(table: Table, row: Row, text: str) -> list[object]:
    if not text.startswith("["):
        return [*text.split("|")]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StimulusError(
            f'{table.at(row)}: choices {shown(text)} is not a JSON list ({error}). Write ["box", "bag"], or box|bag.'
        ) from error
    return value if isinstance(value, list) else [value]
