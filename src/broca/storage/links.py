"""Files inside a folder of somebody's, and nowhere else: a link in it leads where its maker wanted."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from broca.errors import RunError
from broca.storage.files import legible

_AWAY = "Delete it, or put what it leads to in its place."


def inside(folder: Path, name: str) -> Path:
    """The path of a file inside a folder. The folder itself may be a link.

    Args:
        folder: where.
        name: relative to it, with slashes.

    Raises:
        RunError: if the name leads out of the folder, or it or a folder on the way is a link.
    """
    parts = PurePosixPath(name).parts
    if not parts or {"..", "/"} & {*parts} or any("\0" in part or Path(part).name != part for part in parts):
        raise RunError(f"{legible(name)!r} names no file inside {folder}. Give a name without '..' and root.")
    place = folder
    for part in parts:
        place = place / part
        if place.is_symlink():
            raise RunError(f"{legible(place)} is a link, and links inside a run are not followed. {_AWAY}")
    return place


def refuse_links(folder: Path) -> None:
    """See that nothing in a folder that is to be worked in, nor the folder, is a link.

    Raises:
        RunError: naming the first.
    """
    found = [folder, *(Path(above) / name for above, folders, files in os.walk(folder) for name in (*folders, *files))]
    if links := sorted(place for place in found if place.is_symlink()):
        raise RunError(f"{legible(links[0])} is a link, and links inside a run are not followed. {_AWAY}")
