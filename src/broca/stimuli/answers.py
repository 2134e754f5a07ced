"""Prompts, choices and answers in a table of items: what a cell may look like, and how it is read without guessing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

from broca.errors import StimulusError
from broca.items import Message, Text
from broca.stimuli.json_values import literal
from broca.stimuli.tables import Row, Table, short_repr, whole_number

AnswerForm = Literal["auto", "index", "letter", "text"]
"""How answers are written; ``auto`` takes whatever only one reading allows."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"


_Role = Literal["system", "user", "assistant"]
_ROLES: tuple[_Role, ...] = get_args(_Role)
_SAYS = {"role", "content"}


def text_in(table: Table, row: Row, column: str) -> Text:
    """A text, or a chat: a list of messages ``{"role": "user", "content": "..."}``, or a cell of text that is such a list.

    Raises:
        StimulusError: The cell is empty, or holds something else; the message names the row.
    """
    value = row.cells.get(column)
    if isinstance(value, str) and value.lstrip().startswith(("[{", "[ {")):
        written = literal(value)
        value = (
            written
            if isinstance(written, list) and all(isinstance(m, Mapping) and m.keys() >= _SAYS for m in written)
            else value
        )
    if not isinstance(value, list | tuple):
        return table.text(row, column)
    if not value:
        raise StimulusError(f"{table.at(row)}: {column!r} is a chat without messages. Give at least one, or a text.")
    return tuple(_message(table, row, column, message) for message in value)


def _message(table: Table, row: Row, column: str, value: object) -> Message:
    given = {name: cell for name, cell in value.items() if cell is not None} if isinstance(value, Mapping) else {}
    content = given.get("content")
    if isinstance(content, list) and all(
        isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content
    ):
        content = "".join(part["text"] for part in content)
    role = given.get("role")
    known: _Role | None = next((each for each in _ROLES if each == role), None)
    if given.keys() != _SAYS or known is None or not isinstance(content, str) or not content.strip():
        raise StimulusError(
            f"{table.at(row)}: {column!r} holds {short_repr(value)}. Give a text, or a list of messages such as "
            '{"role": "user", "content": "Where is it?"}, whose roles are system, user and assistant.'
        )
    return Message(known, content)


def choices_in(table: Table, row: Row) -> tuple[str, ...]:
    """The choices of one row: a list of texts, the JSON of one, what Python prints of one, or texts divided by ``|``.

    Raises:
        StimulusError: Fewer than two choices, an empty one, or two that are the same.
    """
    value = row.cells["choices"]
    listed = value if isinstance(value, list | tuple) else _split_list(table, row, table.word(row, "choices"))
    choices = tuple(choice.strip() for choice in listed if isinstance(choice, str))
    if len(choices) < 2 or len(choices) < len(listed) or not all(choices):
        raise StimulusError(
            f"{table.at(row)}: choices {short_repr(value)} must be two or more texts, none empty: "
            'a list such as ["box", "bag"], or box|bag.'
        )
    if len(set(choices)) < len(choices):
        raise StimulusError(f"{table.at(row)}: choices {short_repr(value)} hold the same text twice. Remove one.")
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
    value = whole_number(row.cells["answer"])
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise StimulusError(
            f"{table.at(row)}: answer {short_repr(value)} must be an index from 0, a letter, or a choice."
        )
    text = str(value) if isinstance(value, int) else table.word(row, "answer")
    readings = {
        name: index for name, index in _readings(text, choices).items() if index is not None and form in {"auto", name}
    }
    if not readings:
        wanted = "an index from 0, a letter from a, or a text" if form == "auto" else f"one by {form}"
        raise StimulusError(
            f"{table.at(row)}: answer {short_repr(value)} is none of the {len(choices)} choices {short_repr(list(choices))}. Give {wanted}."
        )
    if len(set(readings.values())) > 1:
        listed = ", ".join(f"by {name} it is {choices[index]!r}" for name, index in readings.items())
        raise StimulusError(
            f"{table.at(row)}: answer {short_repr(value)} can be read in two ways: {listed}. "
            "Say which with the option answers='index', 'letter' or 'text'."
        )
    return next(iter(readings.values()))


def _readings(text: str, choices: tuple[str, ...]) -> dict[AnswerForm, int | None]:
    number = re.fullmatch(r"([0-9]{1,3})(\.0+)?", text)  # pandas writes 1.0 beside missing numbers
    index = int(number[1]) if number else None
    letter = LETTERS.find(text.lower()) if len(text) == 1 else -1
    return {
        "index": index if index is not None and index < len(choices) else None,
        "letter": letter if 0 <= letter < len(choices) else None,
        "text": choices.index(text) if text in choices else None,
    }


def _split_list(table: Table, row: Row, text: str) -> list[object]:
    if not text.startswith("["):
        return [*text.split("|")]
    value = literal(text)
    if not isinstance(value, list):
        raise StimulusError(
            f'{table.at(row)}: choices {short_repr(text)} is not a JSON list, nor one of Python. Write ["box", "bag"], or box|bag.'
        )
    return value
