"""The ToMi question-answering benchmark, read from the CSV that its users have.

Le, Boureau & Nickel (2019), EMNLP, in the version of Sap, LeBras, Fried & Choi (2022), EMNLP, "Neural theory-of-mind?".
Both kinds of rows are kept: a false-belief score means little without the true-belief rows, where the
"first container mentioned" shortcut, which solves most false-belief rows, solves none.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from broca.errors import StimulusError
from broca.items import Item, fingerprint
from broca.stimuli.answers import LETTERS
from broca.stimuli.localizers import Style
from broca.stimuli.stories import prompt
from broca.stimuli.tables import Row, Table, read_table, short_repr

COLUMNS = ("story", "question", "answer", "qOrder", "falseTrueBelief", "cands")
"""The columns that are read; the files have 18."""

_ORDERS = {"first": "first_order", "second": "second_order"}
_TL_CONTEXT = (
    "The following multiple choice question is based on the following story. The question is related to "
    "Theory-of-Mind. Read the story and then answer the question. Choose the best answer among options provided."
)
_QUOTED = r"'[^'\\]*'|\"[^\"\\]*\""
_LITERAL = re.compile(rf"\[\s*(?:(?:{_QUOTED})\s*(?:,\s*(?:{_QUOTED})\s*)*)?\]")


def tomi(
    path: str | Path,
    *,
    order: Literal["first", "second", "both"] = "first",
    belief: Literal["false", "true", "both"] = "both",
    style: Style = "ours",
    tail: str = "Answer:",
) -> tuple[Item, ...]:
    """The belief questions of a ToMi file, with the abilities ``false-belief`` and ``true-belief``.

    Second-order questions have ``second-order-`` before these. Memory and reality questions are left out. Questions
    about one story share a group.

    Args:
        path: The CSV.
        order: First order: where will she look? Second order: where does he think that she looks?
        belief: Which rows: the belief asked about is false, true, or either.
        style: ``ours``: the containers are the choices. ``tl``: the prompt of Jamaa et al. (2025) lists them as a. and
            b., and the letters are the choices; the tag ``options`` keeps the containers.
        tail: How the prompt ends, after a line end; nothing for an empty one.

    Raises:
        StimulusError: The file is malformed, a flag or a list of containers is of another form, an answer is not
            among the containers, or no row is left.
    """
    table = read_table(path)
    table.require(*COLUMNS)
    orders = set(_ORDERS.values()) if order == "both" else {_ORDERS[order]}
    items: list[Item] = []
    for row in table.rows:
        if table.word(row, "qOrder") not in orders:
            continue
        held = _flag(table, row)
        if belief in {"both", held}:
            items.append(_item(table, row, held, style, tail))
    if not items:
        raise StimulusError(
            f"{table.path.name} has no rows with order={order!r} and belief={belief!r}. "
            f"Its qOrder are {', '.join(sorted({table.text(row, 'qOrder') for row in table.rows}))}."
        )
    return tuple(items)


def _item(table: Table, row: Row, held: str, style: Style, tail: str) -> Item:
    whole = [table.text(row, column) for column in ("story", "question")]  # the style "tl" keeps white space
    story, question, answer = *(text.strip() for text in whole), table.word(row, "answer")
    spelled = _containers(table, row)
    containers = tuple(container.strip() for container in spelled)
    if answer not in containers:
        raise StimulusError(
            f"{table.at(row)}: answer {short_repr(answer)} is not among cands {short_repr(list(containers))}."
        )
    prefix = "second-order-" if table.word(row, "qOrder") == "second_order" else ""
    if style == "tl":
        options = "".join(f"\n{letter}. {text}" for letter, text in zip(LETTERS, spelled, strict=False))
        text = f"{_TL_CONTEXT}\nStory:{whole[0]}\nQuestion: {whole[1]}\nOptions:{options}\n"
        choices = tuple(LETTERS[: len(containers)])
    else:
        text = prompt(story, question).removesuffix("Answer:")
        choices = containers
    return Item(
        id=f"{table.path.stem}:{row.where.removeprefix('line ').removeprefix('row ')}",
        prompt=text + tail if tail else text.rstrip("\n"),
        choices=choices,
        answer=containers.index(answer),
        ability=f"{prefix}{held}-belief",
        group=f"story-{fingerprint(story)[:8]}",
        tags={"options": "|".join(containers)} if style == "tl" else {},
    )


def _flag(table: Table, row: Row) -> str:
    value = row.cells["falseTrueBelief"]
    text = str(value).lower() if isinstance(value, bool) else table.word(row, "falseTrueBelief").lower()
    if text not in {"true", "false"}:
        raise StimulusError(f"{table.at(row)}: falseTrueBelief is {short_repr(value)}. It must be true or false.")
    return text


def _containers(table: Table, row: Row) -> tuple[str, ...]:
    """The list in `cands`, with its white space: JSON in some versions of the file, a Python literal in others; neither is evaluated."""
    text = table.word(row, "cands")
    if not _LITERAL.fullmatch(text):
        raise StimulusError(f'{table.at(row)}: cands is {short_repr(text)}. It must be a list such as ["box", "bag"].')
    spelled = tuple(quoted[1:-1] for quoted in re.findall(_QUOTED, text))
    containers = [container.strip() for container in spelled]
    if len(containers) < 2 or len(set(containers)) < len(containers) or not all(containers):
        raise StimulusError(
            f"{table.at(row)}: cands is {short_repr(text)}. It must hold two or more different containers."
        )
    if len(containers) > len(LETTERS):
        raise StimulusError(f"{table.at(row)}: cands holds {len(containers)} containers. At most {len(LETTERS)} fit.")
    return spelled
