"""What a reader sees, as data: blocks. The report and the terminal are both made from the same ones.

A block says what is shown, never how: no HTML, no colours of a terminal. Whatever its texts hold is text. `summary` says that
it belongs to the few lines that a terminal prints; everything else is for the page, and for ``-v``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broca.sites import Site

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Block:
    """Anything that can be shown."""

    summary: bool = False
    """Whether it belongs in the terminal's summary."""


@dataclass(frozen=True)
class Title(Block):
    """What the page is called: its instrument, and what was looked at."""

    instrument: str
    of: str = ""


@dataclass(frozen=True)
class Heading(Block):
    """What stands above the next blocks of a section."""

    text: str


@dataclass(frozen=True)
class Text(Block):
    """A paragraph."""

    text: str
    quiet: bool = False
    """Whether it is an explanation in small print."""


@dataclass(frozen=True)
class Note(Block):
    """What a reader should know before the rest is believed."""

    text: str


@dataclass(frozen=True)
class Facts(Block):
    """Names and values."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Commands(Block):
    """Commands to type, and in which folder."""

    where: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    form: str = "number"
    """How its numbers are written: one of `broca.page.words.FORMS`. Texts stand as they are."""
    tip: str = ""
    """What it means, in a line."""
    strong: bool = False
    brief: bool = True
    """Whether it is kept where there is little room."""


@dataclass(frozen=True)
class Table(Block):
    """Rows of numbers and texts; the first column names each row."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""
    texts: bool = False
    """Whether it is read rather than compared: texts instead of numbers."""
    marked: frozenset[int] = frozenset()
    """Rows that stand out."""
    facets: tuple[int, ...] = ()
    """Columns of few values by which a reader picks rows: the page has a choice for each, and a field to search all."""


@dataclass(frozen=True)
class Cell:
    """One entry of a matrix."""

    value: str
    lines: tuple[str, ...] = ()
    """What stands below the value."""
    strength: float = 0.0
    """From -1 to 1: how much of the colour of its sign."""
    framed: bool = False
    tag: str = ""
    """What the frame means."""
    absent: bool = False
    """Whether there is no value: a dead head, a cell that was not tested."""


@dataclass(frozen=True)
class Matrix(Block):
    """Rows by columns, each cell the darker the stronger."""

    title: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    caption: str = ""
    small: bool = False
    """Whether its cells are single numbers, many side by side."""


@dataclass(frozen=True, eq=False)
class Image(Block):
    """A number for each unit of each layer, too many to be printed: one pixel each, and marks on the selected."""

    kind: str
    """The kind of site."""
    values: Mapping[Site, np.ndarray]
    """(unit,) each, NaN for a dead unit."""
    marks: Mapping[Site, np.ndarray]
    """(unit,) each, not 0 where a unit is selected."""
    what: str = "t"
    """What the number is; nothing where only the marks say something."""


@dataclass(frozen=True, eq=False)
class Chart(Block):
    """A chart, made when it is looked at: Vega-Lite, with its data."""

    name: str
    """Of its files, without the ending."""
    caption: str
    """What it shows, in a sentence."""
    make: Callable[[], Any]
    """Gives the chart; see `broca.page.charts`."""


@dataclass(frozen=True)
class Quote:
    """A text of others, and what is to be said of it."""

    text: str
    label: str = ""
    state: str = ""
    """What became of it, such as "lost" or "gained"."""
    of: str = ""
    """What it belongs to."""
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Quotes(Block):
    """Texts of others: stimuli, items with their answers."""

    quotes: tuple[Quote, ...]


@dataclass(frozen=True)
class Token:
    """A token as text."""

    text: str
    role: str = ""
    """"edited", "operand", "unmatched"; nothing for any other."""
    strength: float = 0.0
    """From -1 to 1: how much of the colour of its sign."""


@dataclass(frozen=True)
class Line:
    """A text token by token, and what was answered."""

    name: str
    tokens: tuple[Token, ...]
    said: str = ""


@dataclass(frozen=True)
class Tokens(Block):
    """Texts token by token, one above the other."""

    title: str
    note: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Tree(Block):
    """A reasoning tree, with where the question looks.

    Each row is a statement in the order of the text: statement (its number), said, height (its step, 0 if useless), targets (what
    it leads to), last, found_useful, found_step, layers and attention (in each of them), and of the whole tree id, question, answer
    and correct.
    """

    name: str
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Step:
    """One rung: its state, why, and its numbers in words."""

    name: str
    state: str
    text: str = ""
    numbers: tuple[tuple[str, str], ...] = ()
    first: bool = False
    """Whether it is the first that failed."""
    caveat: str = ""
    """What a passed rung leaves open."""

    @property
    def standing(self) -> str:
        """The state, and what it leaves open."""
        return f"{self.state}, {self.caveat}" if self.caveat else self.state


@dataclass(frozen=True)
class Ladder(Block):
    """The verdict: its sentence and its rungs, in order."""

    sentence: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Download:
    """A file that the page itself holds."""

    name: str
    note: str
    """How much is in it, or why the page does not hold it."""
    address: str
    """A ``data:`` address; nothing where the page does not hold it."""


@dataclass(frozen=True)
class Downloads(Block):
    """Files to save."""

    files: tuple[Download, ...]


@dataclass(frozen=True)
class Details(Block):
    """Blocks that are folded away until somebody asks."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Section(Block):
    """Blocks under a title."""

    name: str
    """By which it is found within the page."""
    title: str
    blocks: tuple[Block, ...]


def section(name: str, title: str, *blocks: Block | None) -> list[Block]:
    """A section of the blocks that there are, in a list; nothing where none of them shows more than words."""
    given = tuple(block for block in blocks if block is not None)
    return [Section(name, title, given)] if any(not isinstance(b, Text | Heading) for b in given) else []


def every(blocks: Sequence[Block]) -> Iterator[Block]:
    """Each block, and those inside sections and folds, in the order of reading."""
    for block in blocks:
        yield block
        if isinstance(block, Section | Details):
            yield from every(block.blocks)
