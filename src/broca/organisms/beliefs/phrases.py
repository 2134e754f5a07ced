"""How the world of `beliefs` says things: banks of sentence patterns, each expanded and split into two disjoint parts.

The banks are in ``phrases.toml``, one pattern a line. A pattern may hold alternatives, ``(went|walked) home``, and slots,
``{A}``. A pattern that begins with ``*`` is held out: training sees none of its expansions, though it sees each of its words.

Slots: {A} the one whose knowledge counts, {B} the one who moves things, {C} another one; {she} {her} stand for A, {he} for B;
{X} the thing, {Y} another thing; {s} the setting, {at_s} with its preposition, {out} a place outside;
{old} {new} the values before and after a move, {next} the one that comes later, {third} an uninvolved one, {one} {two}
{three} values in random order; at_, to_, away_ with prepositions, a_ with an article; {M} a medium with
its verb {made}, {make} and its {tool}.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import product, zip_longest
from typing import Literal, NamedTuple

Split = Literal["train", "held-out"]


class Phrase(NamedTuple):
    """One expanded pattern: `id` names the pattern within its bank, `text` still has slots."""

    id: str
    text: str


@cache
def patterns() -> dict[str, tuple[str, ...]]:
    """Every bank by name: its patterns, held-out ones with their ``*``."""
    tables = tomllib.loads(files("broca.organisms.beliefs").joinpath("phrases.toml").read_text(encoding="utf-8"))
    return {name: tuple(text.strip().splitlines()) for table in tables.values() for name, text in table.items()}


@cache
def bank(name: str, split: Split) -> tuple[Phrase, ...]:
    """Every expansion of the patterns of a bank that belong to `split`; of all of them where none is held out.

    The first expansion of each pattern comes first, then the second of each, and so on.
    """
    divided = any(pattern.startswith("*") for pattern in patterns()[name])
    found = [
        [Phrase(f"{name}/{number}", words) for words in expand(pattern.removeprefix("*"))]
        for number, pattern in enumerate(patterns()[name])
        if not divided or pattern.startswith("*") == (split == "held-out")
    ]
    return tuple(phrase for layer in zip_longest(*found) for phrase in layer if phrase)


def expand(pattern: str) -> Iterator[str]:
    """Each way to choose among the alternatives of `pattern`."""
    for chosen in product(*(part.split("|") for part in re.split(r"[()]", pattern))):
        yield re.sub(r" ([.,:?]|$)", r"\1", re.sub(r" +", " ", "".join(chosen))).strip()
