"""Pictures of stimuli and items: columns of a table that name them, and copies made as published work made them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from broca.errors import StimulusError
from broca.stimuli.encodings import read_bytes
from broca.stimuli.json_values import parse_json
from broca.stimuli.options import expand_home
from broca.stimuli.tables import Row, Table, short_repr
from broca.storage import replacing
from broca.storage.pictures import opening

COLUMNS = ("image", "images")
"""Columns that name the pictures of a row: one, or several."""

_LARGEST, _SQUARE = (650, 600), (650, 650)


def pictures_in(read: Table, row: Row, *columns: str) -> tuple[str, ...]:
    """The paths of a row's pictures, from those of `columns` that the table has; relative ones start at the file's folder.

    A cell is a path, several with ``|`` between them, a list or the JSON of one; an empty cell is no picture.

    Raises:
        StimulusError: A picture is missing or damaged, or a cell is something else; the message names the row.
        ModelError: Pillow is not installed.
    """
    found: list[str] = []
    for column in columns:
        if column not in read.columns:
            continue
        for name in _names(read, row, column):
            path = read.path.parent / expand_home(name)
            try:
                _picture(read_bytes(path))
            except StimulusError as error:
                raise StimulusError(f"{read.at(row)}: the picture {short_repr(name)} in {column!r}: {error}") from error
            found.append(str(path))
    return tuple(found)


def squash(path: str, folder: Path, *, smallest: int = 0) -> str:
    """A copy of a picture as Jamaa et al. (2025) showed it: grey, and 650 x 650 if it is wider than 650 or higher than 600.

    The copy is named by its content, so it is written once.

    Args:
        path: Of the picture.
        folder: Where copies are written.
        smallest: Stretch sides of fewer pixels to so many first.

    Raises:
        StimulusError: The picture is missing or damaged.
        ModelError: Pillow is not installed.
    """
    image = _picture(read_bytes(Path(path))).convert("L")
    from PIL.Image import Resampling

    # two steps, as theirs: a picture that is stretched and then squashed is filtered twice
    image = image.resize(tuple(max(side, smallest) for side in image.size), Resampling.LANCZOS)
    if any(side > most for side, most in zip(image.size, _LARGEST, strict=True)):
        image = image.resize(_SQUARE, Resampling.LANCZOS)
    grey = image.convert("RGB")
    name = hashlib.sha256(repr(grey.size).encode() + grey.tobytes()).hexdigest()[:24]
    copy = folder / f"{name}-grey.png"
    if not copy.is_file():
        with replacing(copy) as part:
            grey.save(part, format="png")
    return str(copy)


def _names(read: Table, row: Row, column: str) -> list[str]:
    value = row.cells[column]
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = parse_json(read.path, value)
        except StimulusError as error:
            raise StimulusError(f"{read.at(row)}: {column!r} is {short_repr(value)}, no JSON list of paths.") from error
    names = value.split("|") if isinstance(value, str) else [] if value is None else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise StimulusError(
            f"{read.at(row)}: {column!r} is {short_repr(value)}. Give a path, several with '|' between them, or a list of them."
        )
    return [name.strip() for name in names if name.strip()]


def _picture(content: bytes) -> Any:
    try:
        with opening(content) as image:
            return image.copy()
    except ValueError as error:
        raise StimulusError(f"{error}. Get it again, or remove the row.") from error
