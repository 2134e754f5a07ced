"""Benchmarks of other laboratories, read from the files that their users have.

A format is known by its columns, never by a file's name. `FORMATS` says how; `PRESETS` holds the choices of published
work as options. `find` turns a file, a folder or a hub id into the files that are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broca.errors import StimulusError
from broca.items import Item
from broca.registry import unknown
from broca.stimuli import tomi
from broca.stimuli.options import is_file, is_folder
from broca.stimuli.published import fantom, inspect_data, math_mc, mib, mmtom, opentom, pairs, syntaxgym, vision
from broca.stimuli.published.sources import columns_of

__all__ = ["FORMATS", "PRESETS", "Format", "find", "format_of", "nearest_format", "preset"]

Reader = Callable[..., tuple[Item, ...]]


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: what it is called, the columns that it is known by, and what reads it."""

    name: str
    columns: frozenset[str]
    reader: Reader


FORMATS = (
    Format("tomi", frozenset(tomi.COLUMNS), tomi.tomi),
    Format("fantom", fantom.COLUMNS, fantom.fantom),
    Format("opentom", opentom.COLUMNS, opentom.opentom),
    Format("mmtom-qa", mmtom.COLUMNS, mmtom.mmtom),
    Format("math-mc", math_mc.COLUMNS, math_mc.math_mc),
    Format("mathvista", vision.MATHVISTA, vision.mathvista),
    Format("mmstar", vision.MMSTAR, vision.mmstar),
    Format("blimp", pairs.BLIMP, pairs.blimp),
    Format("syntaxgym", syntaxgym.COLUMNS, syntaxgym.syntaxgym),
    Format("mib-ioi", mib.IOI, mib.mib),
    Format("mib-choice", mib.CHOICE, mib.mib),
    Format("mib-arithmetic", mib.ARITHMETIC, mib.mib),
    Format("inspect-ai", inspect_data.COLUMNS, inspect_data.inspect_samples),
)
"""The formats that are known."""

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "tl": {
        "tomi": {"order": "first", "belief": "false", "style": "tl"},
        "fantom": {"context": "short", "questions": "first", "belief": "false", "style": "tl"},
        "opentom": {
            "questions": "both",
            "order": "first",
            "belief": "false",
            "gold": "original",
            "drop": [4884, 4904, 10248, 10268],
            "style": "tl",
            "degenerate": "keep",
        },
        "mmtom-qa": {"types": [1.2, 2.2], "story": "last-line", "style": "tl"},
        "math-mc": {"style": "tl"},
        "mathvista": {"style": "tl", "tail": "", "look": "grey-650"},
        "mmstar": {"style": "tl", "tail": "", "look": "grey-650"},
    }
}
"""Options as in published work, by preset and format. ``tl`` is Jamaa et al. (2025), with what is wrong with it."""


def preset(name: str, form: Format | None) -> Mapping[str, Any]:
    """The options of a preset for a format.

    Raises:
        UnknownName: There is no such preset.
        StimulusError: It says nothing about this format.
    """
    if name not in PRESETS:
        raise unknown("Preset", name, tuple(PRESETS))
    if form is None or form.name not in PRESETS[name]:
        raise StimulusError(
            f"The preset {name!r} says nothing about {form.name if form else 'a table of your own'}. It knows "
            f"{', '.join(PRESETS[name])}."
        )
    return PRESETS[name][form.name]


def format_of(path: Path) -> Format | None:
    """The format of a file; None where it is none of `FORMATS`.

    Raises:
        StimulusError: The file is missing or malformed.
    """
    columns = columns_of(path)
    return next((form for form in FORMATS if form.columns <= columns), None)


def nearest_format(path: Path) -> tuple[Format, str] | None:
    """The format of which a file has all columns but one, and that one; None where there is none such.

    Raises:
        StimulusError: The file is missing or malformed.
    """
    columns = columns_of(path)
    near = ((form, form.columns - columns) for form in FORMATS if len(form.columns) > 2)
    return next(((form, *missing) for form, missing in near if len(missing) == 1), None)  # type: ignore[misc]


def find(path: Path) -> tuple[Path, ...]:
    """The files of items in a folder, all of one known format; a file itself.

    Raises:
        StimulusError: A folder has no such file, files of more than one format, or several of one that comes in one file.
    """
    if not is_folder(path):
        return (path,)
    names = {".json", ".jsonl", ".csv", ".parquet"}
    files = sorted(f for f in path.glob("**/*") if f.suffix.lower() in names and is_file(f))
    known = [(file, form) for file in files if (form := _format_of(file)) is not None]
    kinds = {form.name for _, form in known}
    several = kinds <= {"blimp", "syntaxgym"}
    if len(kinds) != 1 or (len(known) > 1 and not several):
        found = ", ".join(f"{file.relative_to(path)} ({form.name})" for file, form in known[:6]) or "none"
        raise StimulusError(
            f"The folder {path.name!r} does not hold one benchmark. Files of a known format: {found}. Give the path of one "
            f"file. The formats are {', '.join(form.name for form in FORMATS)}."
        )
    return tuple(file for file, _ in known)


def _format_of(file: Path) -> Format | None:
    """The format of a file among others, of which some may be anything."""
    try:
        return format_of(file)
    except StimulusError:
        return None
