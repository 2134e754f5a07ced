"""Task files of MIB's circuit track (Mueller et al., 2025), as its users have them: a prompt, its answer, and counterfactuals by kind.

A file holds ``prompt``, ``choices`` and ``answerKey`` (indirect objects, four-way choice, ARC), or ``prompt``, ``label`` and ``operator``
(arithmetic), and beside them structures ``KIND_counterfactual``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broca.errors import StimulusError
from broca.items import Item
from broca.registry import unknown
from broca.stimuli.counterfactuals import ANSWER, TEXT
from broca.stimuli.published.questions import check_items, item_id
from broca.stimuli.published.sources import records
from broca.stimuli.tables import Row, Table, short_repr

IOI = frozenset({"prompt", "answerKey", "s2_io_flip_counterfactual.prompt", "s2_io_flip_counterfactual.answerKey"})
CHOICE = frozenset({"prompt", "answerKey", "symbol_counterfactual.prompt", "symbol_counterfactual.answerKey"})
ARITHMETIC = frozenset({"prompt", "label", "random_counterfactual.prompt", "random_counterfactual.label"})
_DEFAULT = {"ioi": "s2_io_flip", "mcqa": "symbol", "arithmetic": "random"}
_ENDING = "_counterfactual"


def mib(path: str | Path, *, counterfactual: str | None = None) -> tuple[Item, ...]:
    """The items of a task file, each with its counterfactual.

    Args:
        path: The file.
        counterfactual: Its kind, such as ``abc`` or ``answerPosition``; by default MIB's own: ``s2_io_flip`` of indirect objects,
            ``symbol`` of choices, ``random`` of sums.

    Raises:
        StimulusError: A row is malformed, or none is left.
        UnknownName: The file has no counterfactuals of this kind.
    """
    table = records(path)
    columns = set(table.columns)
    task = "ioi" if columns >= IOI else "arithmetic" if columns >= ARITHMETIC else "mcqa"
    structures = dict.fromkeys(name.partition(".")[0] for name in table.columns)
    kinds = tuple(name.removesuffix(_ENDING) for name in structures if name.endswith(_ENDING))
    kind = counterfactual or _DEFAULT[task]
    if kind not in kinds:
        raise unknown("Counterfactual", kind, kinds)
    made = [_item(table, row, task, kind) for row in table.rows]
    return check_items(table, made, counterfactual=counterfactual)


def _item(table: Table, row: Row, task: str, kind: str) -> Item:
    other = _structure(row.cells, f"{kind}{_ENDING}")
    name, prompt = item_id(table, row), table.text(row, "prompt")
    if task == "arithmetic":
        right, wrong = (_word(table, row, each.get("label")) for each in (row.cells, other))
        choices, answer = (right, wrong), 0
    else:
        choices, answer = _choices(table, row, row.cells)
        listed, then = _choices(table, row, other)
        wrong = listed[then]
    if task == "ioi":
        choices, wrong = tuple(f" {each}" for each in choices), f" {wrong}"
    if choices[answer] == wrong:
        raise StimulusError(
            f"{table.at(row)}: the counterfactual's answer is the item's own, {wrong!r}. Leave the row out."
        )
    tags = {TEXT: _word(table, row, other.get("prompt")), ANSWER: wrong, "counterfactual kind": kind}
    return Item(name, prompt, choices, answer, table.path.stem, str(row.cells.get("template") or ""), tags)


def _structure(cells: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The fields of a nested object, which stand in a row with a dot."""
    return {key.removeprefix(f"{name}."): value for key, value in cells.items() if key.startswith(f"{name}.")}


def _choices(table: Table, row: Row, cells: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """What may be answered, and which is right: names as they are listed, or letters where texts stand beside them."""
    listed, key = cells.get("choices", cells.get("choices.label")), cells.get("answerKey")
    if isinstance(listed, Mapping):
        listed = listed.get("label")
    elif isinstance(listed, list) and listed and all(isinstance(each, Mapping) for each in listed):
        listed = [each.get("label") for each in listed]
    if not isinstance(listed, list) or not isinstance(key, int) or isinstance(key, bool) or not 0 <= key < len(listed):
        raise StimulusError(
            f"{table.at(row)}: choices {short_repr(listed)} with answerKey {short_repr(key)}. Give a list, and the place of the right one."
        )
    return tuple(_word(table, row, each) for each in listed), key


def _word(table: Table, row: Row, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise StimulusError(
            f"{table.at(row)}: {short_repr(value)} stands where a text should. Give the file as it was published."
        )
    return str(value)
