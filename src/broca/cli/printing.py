"""Blocks in a terminal: a summary that fits on a screen, or all of them. Never a key or token."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Literal

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text as Words

from broca.cli.console import out
from broca.evidence.changes import decisive
from broca.page.blocks import (
    Block,
    Cell,
    Chart,
    Column,
    Commands,
    Details,
    Facts,
    Heading,
    Image,
    Ladder,
    Matrix,
    Note,
    Quote,
    Quotes,
    Section,
    Step,
    Table,
    Text,
    Title,
    Tokens,
    Tree,
    every,
)
from broca.page.graph import Graph
from broca.page.words import cell_text, visible
from broca.storage.secrets import hide_secrets

LINES = 30
"""Lines of a summary, what `following` prints after it counted in."""
FOLLOWING = 6
"""Lines that stay free for it: where the run and its page are, and what to type next."""
ROWS = 9
"""Rows of a table in a summary."""
_MARKS = {"passed": ("green", "yes"), "failed": ("bold red", "no"), "undecided": ("yellow", "can't tell")}
_MORE = "… and {} more: they are in the report."


def summary(claim: str, blocks: Sequence[Block]) -> None:
    """Claim, sentence, a line a rung, what was selected, the main tables and warnings, in `LINES` lines at most.

    Args:
        claim: of the run.
        blocks: of its page.
    """
    brief = [block for block in every(blocks) if block.summary]
    ladders = [block for block in brief if isinstance(block, Ladder)]
    facts = [block for block in brief if isinstance(block, Facts)]
    # A claim that ends with the verdict's sentence would say it twice.
    claim = next((c for b in ladders if (c := claim.removesuffix(b.sentence).rstrip()) != claim), claim)
    room = LINES - FOLLOWING
    for part in (
        *[Words(f"\n{_safe(claim)}\n") for _ in range(bool(claim))],
        *[part for block in ladders for part in (Words(_safe(block.sentence), "bold"), *map(_rung, block.steps))],
        *[part for block in facts for part in _line(block)],
    ):
        out.print(part)
        room -= _height(part)
    for block in brief:
        if isinstance(block, Table) and room > 4:
            part = _table(block, most=min(ROWS, room - 4), brief=True)
            out.print(part)
            room -= _height(part)
    _notes([block.text for block in brief if isinstance(block, Note)], room)


def _notes(texts: Sequence[str], room: int) -> None:
    for i, text in enumerate(texts):
        part = Words(f"! {_safe(text)}", "yellow")
        room -= _height(part)
        if room < (0 if i == len(texts) - 1 else 1):
            out.print(Words(_MORE.format(f"{len(texts) - i} warnings" if i == 0 else len(texts) - i), "yellow"))
            return
        out.print(part)


def everything(claim: str, blocks: Sequence[Block]) -> None:
    """All that the page says, one block below the other.

    Args:
        claim: of the run.
        blocks: of its page.
    """
    if claim:
        out.print(Words(f"\n{_safe(claim)}\n"))
    for block in blocks:
        out.print(_whole(block))


def _height(part: RenderableType) -> int:
    return len(out.render_lines(part, pad=False))


def _safe(text: str) -> str:
    return visible(hide_secrets(text))


def _plain(text: str) -> str:
    """A text that is no markup, without secrets."""
    return escape(_safe(text))


@singledispatch
def _whole(block: Block, /) -> RenderableType:  # noqa: ARG001 - what every block is printed as that has no letters
    return Words("")


@_whole.register
def _(block: Section | Details) -> RenderableType:
    return Group(Words(f"\n{_safe(block.title)}", "bold"), *(_whole(each) for each in block.blocks))


@_whole.register
def _(block: Title) -> RenderableType:
    return Words(_safe(f"{block.instrument}: {block.of}" if block.of else block.instrument), "bold")


@_whole.register
def _(block: Heading) -> RenderableType:
    return Words(f"\n{_safe(block.text)}", "italic")


@_whole.register
def _(block: Text) -> RenderableType:
    return Words(_safe(block.text), "dim" if block.quiet else "")


@_whole.register
def _(block: Note) -> RenderableType:
    return Words(f"! {_safe(block.text)}", "yellow")


@_whole.register
def _(block: Commands) -> RenderableType:
    return Group(*(Words(_safe(command), "cyan") for command in block.commands))


@_whole.register
def _(block: Ladder) -> RenderableType:
    return Group(Words(_safe(block.sentence), "bold"), _rungs(block))


@_whole.register
def _(block: Chart) -> RenderableType:
    return Words(f"chart {_safe(block.name)}: {_safe(block.caption)}")


@_whole.register
def _(block: Image) -> RenderableType:
    return Words(f"The map at {_safe(block.kind)} is a picture: see the report.", "dim")


@_whole.register
def _(block: Tree) -> RenderableType:
    return Group(*(Words(_safe(f"{row['height'] or '·'}  {row['said']}")) for row in block.rows))


@_whole.register
def _(block: Graph) -> RenderableType:
    return Words(f"graph {_safe(block.name)}: {_safe(block.caption)}")


@_whole.register
def _(block: Quotes) -> RenderableType:
    return Group(*(part for quote in block.quotes for part in _quote(quote)))


@_whole.register
def _(block: Tokens) -> RenderableType:
    lines = (f"{line.name}: {''.join(token.text for token in line.tokens)}  {line.said}" for line in block.lines)
    return Group(Words(_safe(f"{block.title}, {block.note}")), *(Words(_safe(line)) for line in lines))


@_whole.register
def _(block: Facts) -> Grid:
    grid = _grid(header=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in block.pairs:
        grid.add_row(_plain(name), _plain(value))
    return grid


@_whole.register
def _(block: Matrix) -> RenderableType:
    columns = (Column(block.corner), *(Column(name) for name in block.columns))
    rows = tuple((name, *(_cell(cell) for cell in cells)) for name, cells in block.rows)
    return _table(Table(block.title, columns, rows))


@_whole.register
def _(block: Table) -> RenderableType:
    return _table(block)


def _quote(quote: Quote) -> list[RenderableType]:
    head = " ".join(filter(None, (quote.state, quote.label, quote.of)))
    pairs = "   ".join(f"{name}: {value}" for name, value in quote.facts)
    text = Padding(Words(_safe(quote.text)), (0, 0, 0, 2))
    return [*([Words(_safe(head), "bold")] if head else []), text, *([Words(_safe(pairs))] if pairs else [])]


def _grid(*, header: bool, title: str = "") -> Grid:
    return Grid(
        title=_plain(title) or None, title_justify="left", box=None, show_header=header, header_style="bold",
        padding=(0, 2, 0, 0),
    )  # fmt: skip


def _rungs(block: Ladder) -> Grid:
    """Each rung by name, its state and its reason."""
    grid = _grid(header=False)
    grid.add_column(no_wrap=True, min_width=9)
    grid.add_column(no_wrap=True, min_width=10)
    grid.add_column(overflow="fold")
    for step in block.steps:
        style, mark = _mark(step.state)
        grid.add_row(
            f"[bold]{_plain(step.name)}[/]",
            f"[{style}]{_plain(mark)}[/]",
            _plain(f"{step.caveat}. {step.text}" if step.caveat else step.text),
        )
    return grid


def _mark(state: str) -> tuple[str, str]:
    return _MARKS.get(state, ("dim", state))


def _rung(step: Step) -> Grid:
    """The same in a line, as far as it goes: of an undecided one what would decide it."""
    style, mark = _mark(step.state)
    line = Grid.grid()
    # A text alone is broken into lines, whatever it says of itself; a cell is not.
    line.add_column(no_wrap=True, overflow="ellipsis")
    said = decisive(step.text) if step.state == "undecided" else step.text
    reason = " ".join(_safe(f"{step.caveat}. {said}" if step.caveat else said).split())
    line.add_row(Words.assemble((f"{_safe(step.name):<10} ", "bold"), (f"{_safe(mark):<11}", style), reason))
    return line


def _line(block: Facts) -> list[Words]:
    """The facts in a line; the heads that are selected in one of their own."""
    names = "  ".join(f"{name} {value}" for name, value in block.pairs if name != "heads")
    return [Words(_safe(text)) for text in (names, *(f"heads  {v}" for n, v in block.pairs if n == "heads"))]


def _table(block: Table, *, most: int | None = None, brief: bool = False) -> RenderableType:
    places = [i for i, column in enumerate(block.columns) if column.brief or not brief]
    grid = _grid(header=True, title=block.title)
    for i in places:
        grid.add_column(_plain(block.columns[i].title), justify=_side(block, i), overflow="fold")
    rows = block.rows if most is None else block.rows[:most]
    for row in rows:
        grid.add_row(*(_plain(cell_text(row[i], block.columns[i].form)) for i in places))
    left = len(block.rows) - len(rows)
    return Group(grid, Words(_MORE.format(f"{left} rows"), "dim")) if left else grid


def _side(block: Table, i: int) -> Literal["left", "right"]:
    return "left" if i == 0 or any(isinstance(row[i], str) for row in block.rows) else "right"


def _cell(cell: Cell | None) -> str:
    return "–" if cell is None else "\n".join((f"{cell.value}{' *' if cell.framed else ''}", *cell.lines))
