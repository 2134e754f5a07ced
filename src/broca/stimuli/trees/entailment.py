"""Reasoning trees of any depth from a table of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from broca.errors import StimulusError
from broca.items import CONCLUSION, Tree
from broca.spacing import is_space_between
from broca.stimuli.answers import AnswerForm, answer_in, choices_in
from broca.stimuli.options import expand_home
from broca.stimuli.tables import Row, Table, read_table, rename_columns, short_repr
from broca.stimuli.trees.prompts import add_question, join_statements

COLUMNS = ("statements", "edges", "question", "choices", "answer")
OPTIONAL = ("group", "id", "kinds")
END = "conclusion"
"""How an edge names what the answer is read from."""


def entailment(
    path: str | Path,
    *,
    answers: AnswerForm = "auto",
    shuffled: bool = False,
    seed: int = 0,
    between: str = " ",
    columns: str | None = None,
) -> tuple[Tree, ...]:
    """Trees from JSONL, JSON or Parquet.

    A row has ``statements`` (an object of texts by name, or a list of texts, whose names are then 1, 2, ...), ``edges``
    (a list of [premise, what takes it] by name, where ``conclusion`` is the answer), ``question`` (the prompt after the
    statements, to the letter), ``choices`` and ``answer`` (as in a table of items). ``group``, ``id`` and ``kinds`` (one
    word for each statement) are optional. A step that is not shown cannot be probed: give it as a statement.

    Args:
        path: the file.
        answers: see `broca.stimuli.item_tables.table_items`.
        shuffled: statements in random order.
        seed: of the order.
        between: what stands between two statements.
        columns: what the table calls these columns, where it calls them otherwise: ``statements=premises,answer=label``.

    Raises:
        StimulusError: if the table is malformed; the message names its line.
    """
    read = read_table(expand_home(path))
    read = read if columns is None else rename_columns(read, columns, (*COLUMNS, *OPTIONAL))
    read.require(*COLUMNS)
    read.optional(*OPTIONAL)
    found: list[Tree] = []
    for number, (row, name) in enumerate(zip(read.rows, read.names(lambda index: str(index + 1)), strict=True)):
        texts = _statements(read, row)
        kinds = _kinds(read, row, texts)
        keys = list(texts)
        if shuffled:
            keys = [keys[i] for i in np.random.default_rng([seed, number]).permutation(len(keys))]
        place = {key: i for i, key in enumerate(keys)} | {END: CONCLUSION}
        text, spans = join_statements([texts[key] for key in keys], between=between)
        text, query = add_question(text, read.text(row, "question"))
        choices = choices_in(read, row)
        try:
            tree = Tree(
                id=name,
                text=text,
                statements=spans,
                query=query,
                edges=tuple(_edge(read, row, edge, place) for edge in _list(read, row, "edges")),
                choices=tuple(f"{' ' if is_space_between(text, choice) else ''}{choice}" for choice in choices),
                answer=answer_in(read, row, choices, answers),
                group=read.group(row),
                kinds=tuple(kinds[key] for key in keys) if kinds else (),
                tags={"task": read.path.stem, "statements": str(len(spans))},
            )
        except StimulusError as error:
            raise StimulusError(f"{read.at(row)}: {str(error).removeprefix(f'{read.at(row)}: ')}") from error
        found.append(tree)
    return tuple(found)


def _list(table: Table, row: Row, column: str) -> list[object]:
    value = row.cells[column]
    if not isinstance(value, list) or not value:
        raise StimulusError(f"{table.at(row)}: {column!r} is {short_repr(value)}. It must be a list that is not empty.")
    return value


def _statements(table: Table, row: Row) -> dict[str, str]:
    value = row.cells["statements"]
    named = value if isinstance(value, Mapping) else dict(enumerate(_list(table, row, "statements"), start=1))
    if END in named:
        raise StimulusError(
            f"{table.at(row)}: a statement is named {END!r}, which is what the answer is read from. Rename it."
        )
    found: dict[str, str] = {}
    for key, text in named.items():
        if not isinstance(text, str) or not text.strip():
            raise StimulusError(f"{table.at(row)}: statement {key} is {short_repr(text)}. Give a text.")
        found[str(key)] = text.strip()
    return found


def _kinds(table: Table, row: Row, texts: dict[str, str]) -> dict[str, str]:
    if "kinds" not in table.columns:
        return {}
    value = row.cells["kinds"]
    named = value if isinstance(value, Mapping) else dict(zip(texts, _list(table, row, "kinds"), strict=False))
    if named.keys() != texts.keys() or not all(isinstance(kind, str) for kind in named.values()):
        raise StimulusError(f"{table.at(row)}: 'kinds' is {short_repr(value)}. Give one word for each statement.")
    return {key: str(kind) for key, kind in named.items()}


def _edge(table: Table, row: Row, edge: object, place: dict[str, int]) -> tuple[int, int]:
    if not isinstance(edge, list) or len(edge) != 2:
        raise StimulusError(f"{table.at(row)}: edge {short_repr(edge)}. Give a pair such as [1, 3] or [3, {END!r}].")
    for end in edge:
        if str(end) not in place:
            raise StimulusError(
                f"{table.at(row)}: edge {short_repr(edge)} names {short_repr(end)}, which is no statement. "
                f"Named are {', '.join(map(repr, place))}."
            )
    return place[str(edge[0])], place[str(edge[1])]
