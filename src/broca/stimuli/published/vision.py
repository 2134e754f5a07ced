"""MathVista (Lu et al., 2024, ICLR) and MMStar (Chen et al., 2024, NeurIPS): multiple-choice questions about a picture.

Pictures stay files: an item names their paths. They keep their colour and aspect, unless ``look`` asks for what Jamaa et al.
(2025) made of them; a model's processor does the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from broca.errors import StimulusError
from broca.items import Item, picture_hash
from broca.stimuli.answers import LETTERS
from broca.stimuli.localizers import Style
from broca.stimuli.options import is_file
from broca.stimuli.pictures import squash
from broca.stimuli.published.listing import listing
from broca.stimuli.published.questions import check_items, letter_index, option_list, question, text_of
from broca.stimuli.published.sources import records
from broca.stimuli.tables import Row, Table, short_repr
from broca.storage import write

MATHVISTA = frozenset({"pid", "question", "choices", "answer", "image", "question_type"})
MMSTAR = frozenset({"index", "question", "answer", "image", "category"})

Look = Literal["own", "grey-650"]
"""How pictures are shown: as they are, or grey and squashed."""

LEAVE_OUT = "leave out"
"""What to say for `images` to have the questions alone."""

_CONTEXT = (
    "Given an image and a related question with multiple-choice options, analyze the image and select the best answer "
    "from the provided choices: "
)


def mathvista(
    path: str | Path,
    *,
    images: str | None = None,
    task: str | None = None,
    style: Style = "tl",
    tail: str = "Answer:",
    look: Look = "own",
) -> tuple[Item, ...]:
    """The questions that have choices, with the ability ``mathvista``; the others are left out.

    Args:
        path: A Parquet file of the hub, or ``testmini.json``.
        images: The folder of the pictures, by default that of the file; ``leave out`` for none. Pictures that lie within the
            table are written there, once.
        task: Only those of this task, e.g. ``figure question answering``.
        style: ``tl`` lists the options in the prompt, and letters are the choices. ``ours``: the options are the choices.
        tail: How the prompt ends in the style ``tl``.
        look: ``own`` leaves pictures as they are; ``grey-650`` shows copies as `broca.stimuli.pictures.squash` makes them (no side
            below 40 pixels), written beside the originals.

    Raises:
        StimulusError: A row is malformed, a picture is missing, or no row is left.
    """
    table = records(path)
    table.require("pid", "question", "choices", "answer")
    items: list[Item] = []
    for row in table.rows:
        if row.cells["choices"] is None or task not in (None, row.cells.get("metadata.task")):
            continue
        options = option_list(table, row, "choices")
        plain, answer = [option.strip() for option in options], table.word(row, "answer")
        if answer not in plain:
            raise StimulusError(f"{table.at(row)}: the answer {short_repr(answer)} is not among {short_repr(plain)}.")
        items.append(
            _item(
                table,
                row,
                f"mathvista:{table.tag(row, 'pid', '')}",
                asked=text_of(table, row, "question", style),
                options=options,
                answer=plain.index(answer),
                ability="mathvista",
                images=images,
                style=style,
                tail=tail,
                look=look,
            )
        )
    return check_items(table, items, task=task)


def mmstar(
    path: str | Path,
    *,
    images: str | None = None,
    category: str | None = None,
    doubled: Literal["keep", "drop"] = "keep",
    style: Style = "tl",
    tail: str = "Answer:",
    look: Look = "own",
) -> tuple[Item, ...]:
    """The questions, whose options stand in their text; the ability is ``mmstar``, the tag ``category`` says more.

    Args:
        path: ``mmstar.parquet``, or a table of the same columns.
        images: As for `mathvista`.
        category: Only those of this category.
        doubled: What to do with items that give one option twice: the letter of the file is kept, or the item is dropped.
        style: As for `mathvista`.
        tail: As for `mathvista`.
        look: As for `mathvista`, but no side is stretched.

    Raises:
        StimulusError: A row is malformed, a picture is missing, or no row is left.
    """
    table = records(path)
    table.require("index", "question", "answer")
    items: list[Item] = []
    for row in table.rows:
        if category not in (None, row.cells.get("category")):
            continue
        text = table.text(row, "question")
        try:
            own = listing(text)
        except StimulusError as error:
            raise StimulusError(f"{table.at(row)}: {error}") from error
        answer = letter_index(table, row, "answer", own.options)
        if doubled == "drop" and len({option.strip() for option in own.options}) < len(own.options):
            continue
        items.append(
            _item(
                table,
                row,
                f"mmstar:{table.tag(row, 'index', '')}",
                asked=own.published_question if style == "tl" else own.question,
                options=own.options,
                answer=answer,
                ability="mmstar",
                images=images,
                style=style,
                tail=tail,
                look=look,
                tags={"category": str(row.cells.get("category") or "")},
            )
        )
    return check_items(table, items, category=category)


def _item(
    table: Table,
    row: Row,
    name: str,
    *,
    asked: str,
    options: tuple[str, ...],
    answer: int,
    ability: str,
    images: str | None,
    style: Style,
    tail: str,
    look: Look,
    tags: Mapping[str, str] | None = None,
) -> Item:
    stretch = 40 if ability == "mathvista" else 0
    pictures = () if images == LEAVE_OUT else (_picture(table, row, images, look, stretch),)
    return question(
        name,
        f"Question: {asked}",
        options,
        answer,
        ability=ability,
        style=style,
        context=_CONTEXT + ", ".join(LETTERS[: len(options)]),
        tail=tail,
        tags=tags,
        group="".join(f"picture-{picture_hash(path)[:8]}" for path in pictures),
        images=pictures,
    )


def _picture(table: Table, row: Row, images: str | None, look: Look, smallest: int) -> str:
    """The path of a row's picture, or of a copy that looks as asked."""
    path = _original(table, row, images)
    if look == "own":
        return path
    try:
        return squash(path, Path(path).parent, smallest=smallest)
    except StimulusError as error:
        raise StimulusError(f"{table.at(row)}: its picture {path!r}: {error}") from error


def _original(table: Table, row: Row, images: str | None) -> str:
    """The path of a row's picture; one that lies within the table is written into the folder that was given."""
    named, inside = None, None
    for name in ("decoded_image", "image", "image_path"):
        value = row.cells.get(name)
        if isinstance(value, Mapping):
            named, value = named or value.get("path"), value.get("bytes")
        if isinstance(value, bytes):
            inside = inside or value
        elif isinstance(value, str):
            named = named or value
    folder = Path(images).expanduser() if images else table.path.parent
    if named and is_file(folder / named):
        return str(folder / named)
    if inside and images:
        return _write_image(folder, inside)
    what = "within the table" if inside else f"named {named!r}" if named else "missing"
    raise StimulusError(
        f"{table.at(row)}: its picture is {what}, and {folder} holds no such file. Give images=FOLDER "
        f"({'it is written there once' if inside else 'in which it lies'}), or images={LEAVE_OUT!r}."
    )


def _write_image(folder: Path, content: bytes) -> str:
    kinds = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp"}
    suffix = next((suffix for start, suffix in kinds.items() if content.startswith(start)), ".img")
    path = folder / f"{hashlib.sha256(content).hexdigest()[:24]}{suffix}"
    if not path.is_file():
        write(path, content)
    return str(path)
