"""The entries of a typo file of Error Mech Analysis: a clean text, its variants by kind, and what the right answer is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from broca.errors import StimulusError
from broca.stimuli.encodings import read_text
from broca.stimuli.json_values import parse_json
from broca.stimuli.perturb.kinds import ANCESTRAL
from broca.stimuli.tables import short_repr

CLEAN = ("normal", "instruction")
"""What the clean text is called."""
NUMBER = "element_index"
_TASK = re.compile(r"^(?P<request>[^:]*):\s*(?P<a>\d+)\s*(?P<op>[-+*/÷×])\s*(?P<b>\d+)\s*=\s*$")


@dataclass(frozen=True, slots=True)
class Task:
    """A request, a colon and a calculation."""

    request: str
    operation: str
    answer: str
    """Exactly, as ``3/2``; nothing where there is none (division by zero)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of the file."""

    name: str
    clean: str
    variants: Mapping[str, str]
    """By kind, identical ones and all other texts under a name too."""
    task: Task | None


def entries(path: str | Path) -> tuple[Entry, ...]:
    """Every entry, in the order of the file: the numbers of rows in captures count them from 0.

    Raises:
        StimulusError: if the file is missing, malformed, or an entry lacks its clean text.
    """
    path = Path(path)
    made = []
    for number, row in enumerate(objects(path), start=1):
        fields, _ = repair(row, ANCESTRAL)
        clean = clean_text(f"{path.name}, entry {number}", fields)
        variants = {name: text for name, text in fields.items() if isinstance(text, str) and name not in CLEAN}
        made.append(Entry(str(fields.get(NUMBER, number)), clean, variants, task_of(clean)))
    return tuple(made)


def objects(path: Path) -> list[Mapping[str, Any]]:
    """The objects of the file.

    Raises:
        StimulusError: if it is missing or malformed.
    """
    value = parse_json(path, read_text(path))
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        raise StimulusError(f"{path.name} must hold a JSON list of objects, one a text, and not an empty one.")
    return value


def repair(row: Mapping[str, Any], kinds: Collection[str]) -> tuple[dict[str, Any], set[str]]:
    """The fields with their right names, where punctuation had crept in (``homo,nym``), and which these are."""
    fields, found = dict(row), set[str]()
    for name in row:
        plain = re.sub(r"[\W_]", "", name).lower()
        if name not in kinds and plain in kinds and plain not in row:
            fields[plain] = fields.pop(name)
            found.add(plain)
    return fields, found


def clean_text(where: str, fields: Mapping[str, Any]) -> str:
    """The clean text among the fields.

    Raises:
        StimulusError: if there is none, or several.
    """
    found = [fields[name] for name in CLEAN if name in fields]
    if len(found) != 1 or not isinstance(found[0], str) or not found[0].strip():
        raise StimulusError(
            f"{where}: its clean text is {short_repr(found)}. Give exactly one of {' and '.join(map(repr, CLEAN))}, with a text. "
            f"Fields found: {', '.join(map(repr, fields))}."
        )
    return found[0]


def task_of(clean: str) -> Task | None:
    """The task that a clean text sets; None where it is of another form."""
    found = _TASK.match(clean)
    return Task(found["request"], found["op"], _result(found)) if found else None


def _result(task: re.Match[str]) -> str:
    a, b, op = Fraction(task["a"]), Fraction(task["b"]), task["op"]
    if op in "÷/" and not b:
        return ""
    value = {"+": a + b, "-": a - b, "*": a * b, "×": a * b}[op] if op not in "÷/" else a / b
    return str(value)
