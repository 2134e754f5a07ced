"""Contrasts by name or from files: two sets of stimuli that differ in one thing.

contrast("language", n=80, seed=1)
contrast("stimuli.csv", positive="sentence")
contrast("tomloc/", style="tl", answers="random")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from broca.items import Contrast
from broca.registry import Registry, unknown
from broca.stimuli.lengths import LengthDifference, LengthMatch, length_match
from broca.stimuli.natural.controls import CONTRASTS as NATURAL
from broca.stimuli.options import call, expand_home, hints, looks_like_path, option_names
from broca.stimuli.readers import reader_for
from broca.stimuli.tables import SUFFIXES

__all__ = ["CONTRASTS", "LengthDifference", "LengthMatch", "contrast", "length_match", "option_types", "options_of"]

CONTRASTS = Registry(
    "Contrast",
    {
        "belief": "broca.stimuli.stories:belief",
        # by name alone, like the benchmarks of the organisms
        "beliefs/stories": "broca.organisms.beliefs.stories:contrast",
        "beliefs/outdated": "broca.organisms.beliefs.stories:outdated_contrast",
        "language": "broca.stimuli.language:language",
        "multiple-demand": "broca.stimuli.arithmetic:multiple_demand",
        "multiple-demand-matched": "broca.stimuli.arithmetic:multiple_demand_matched",
        "pain": "broca.stimuli.stories:pain",
        "sentiment": "broca.stimuli.tones:sentiment",
        "formality": "broca.stimuli.tones:formality",
        "stories/belief": "broca.stimuli.natural.controls:belief_contrast",
        **dict.fromkeys(NATURAL, "broca.stimuli.natural.controls:natural_contrast"),
    },
)
"""The contrasts that come with broca; those of abilities in natural language have the name of the ability."""


def options_of(name_or_path: str | Path) -> tuple[str, ...]:
    """The options that this contrast's generator or reader takes.

    Raises:
        UnknownName, StimulusError: as `contrast`.
    """
    return option_names(_maker(name_or_path))


def option_types(name_or_path: str | Path) -> dict[str, Any]:
    """The options that this contrast's generator or reader takes, and the type of each.

    Raises:
        UnknownName, StimulusError: as `contrast`.
    """
    return hints(_maker(name_or_path))


def _maker(name_or_path: str | Path) -> Callable[..., Contrast]:
    if isinstance(name_or_path, str) and name_or_path in CONTRASTS:
        return CONTRASTS[name_or_path]
    if looks_like_path(name_or_path, suffixes=SUFFIXES):
        return reader_for(expand_home(name_or_path))
    raise unknown("Contrast", str(name_or_path), tuple(CONTRASTS), "Or give the path of a table or of a folder.")


def contrast(name_or_path: str | Path, **options: object) -> Contrast:
    """A contrast that comes with broca, or one read from a file or folder.

    Args:
        name_or_path: A name of `CONTRASTS`; or a table (CSV, TSV, JSONL, JSON, Parquet), or a folder of localizer
            files. What a file was taken for is said in the contrast's `source`. A name of ours wins over a file of
            the same name: write ``./pain`` for the folder.
        options: Of the generator or reader, e.g. ``n``, ``seed``, ``positive``, ``style``.

    Raises:
        UnknownName: Neither a name nor a file, or an option that the contrast does not have.
        StimulusError: The file is missing or malformed, or an option is of the wrong type.
    """
    make = _maker(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in CONTRASTS:
        own = (name_or_path,) if name_or_path in NATURAL else ()
        return call(f"contrast {name_or_path!r}", make, *own, options=options)
    path = expand_home(name_or_path)
    return call(f"contrast {path.name!r}", make, path, options=options)
