"""JSON lines of other laboratories: each line with its place, each field with its type, nothing guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

from broca.errors import StimulusError
from broca.items import Tree
from broca.stimuli.encodings import read_text
from broca.stimuli.json_values import parse_json
from broca.stimuli.options import expand_home
from broca.stimuli.tables import short_repr


@dataclass(frozen=True, slots=True)
class Line:
    """One JSON object of a file, or one within it; `where` is for messages."""

    where: str
    cells: dict[str, Any]

    def field(self, name: str, kind: type | tuple[type, ...]) -> Any:
        """The value of a field.

        Raises:
            StimulusError: if there is no such field, or its value is of another kind.
        """
        if name not in self.cells:
            raise StimulusError(f"{self.where}: there is no field {name!r}. Found: {', '.join(map(repr, self.cells))}.")
        value = self.cells[name]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(one.__name__ for one in kinds)
            raise StimulusError(f"{self.where}: {name!r} is {short_repr(value)}. It must be of type {wanted}.")
        return value

    def text(self, name: str) -> str:
        """A field that holds a text, without the white space around it.

        Raises:
            StimulusError: if it holds something else, or nothing.
        """
        value = self.field(name, str).strip()
        if not value:
            raise StimulusError(f"{self.where}: {name!r} is empty. Give a text, or remove the record.")
        return value

    def inside(self, name: str) -> Iterator[tuple[str, Line]]:
        """The objects in a field that holds objects by name.

        Raises:
            StimulusError: if it holds anything else.
        """
        value = self.field(name, dict)
        for key, cells in value.items():
            if not isinstance(cells, dict):
                raise StimulusError(f"{self.where}: {key!r} in {name!r} is {short_repr(cells)}. It must be an object.")
            yield key, Line(f"{self.where}, {key}", cells)


def lines(path: Path) -> Iterator[Line]:
    """The objects of a JSON-lines file.

    Raises:
        StimulusError: if the file cannot be read, holds nothing, or a line is no JSON object; the message names the line.
    """
    found = False
    for number, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        found, value = True, parse_json(path, text, first=number)
        where = f"{path.name}, line {number}"
        if not isinstance(value, dict):
            raise StimulusError(f"{where}: a JSON {type(value).__name__}. Give an object with named fields.")
        yield Line(where, value)
    if not found:
        raise StimulusError(f"{path.name} is empty. Give one JSON object a line.")


@dataclass(frozen=True, slots=True)
class Reading:
    """The trees of a file, and how many of its questions were left out for which reason."""

    trees: tuple[Tree, ...]
    left_out: dict[str, int]

    @classmethod
    def of(cls, found: list[Tree], left_out: Counter[str], *, n: int | None, seed: int) -> Reading:
        """At most `n` of the trees found, drawn at random in the order of the file.

        Raises:
            StimulusError: if `n` is below 1.
        """
        if n is not None and n < 1:
            raise StimulusError(f"n is {n}. Give 1 or more, or leave it out for all.")
        if n is not None and len(found) > n:
            chosen = np.sort(np.random.default_rng(seed).permutation(len(found))[:n])
            left_out["not drawn"] = len(found) - n
            found = [found[i] for i in chosen]
        return cls(tuple(found), dict(left_out))

    def require_trees(self, path: Path) -> tuple[Tree, ...]:
        """The trees.

        Raises:
            StimulusError: if there are none.
        """
        if not self.trees:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items()) or "it has none"
            raise StimulusError(f"No question of {path.name} is left: {reasons}. Ask for others, or give another file.")
        return self.trees


def trees_of(read: Callable[..., Reading]) -> Callable[..., tuple[Tree, ...]]:
    """The trees alone of what a reader of a file finds: a function with the reader's options.

    It raises StimulusError as the reader does, and if no question is left.
    """

    @wraps(read)
    def trees(path: str | Path, **options: Any) -> tuple[Tree, ...]:
        return read(path, **options).require_trees(expand_home(path))

    return trees
