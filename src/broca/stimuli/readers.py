"""Which reader a file or folder of stimuli needs, told by what it holds and never by guessing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from broca.errors import StimulusError
from broca.items import Contrast
from broca.stimuli.label_tables import table_contrast
from broca.stimuli.localizers import extended_tomloc, folder_names, is_langloc, langloc, pain, tomloc
from broca.stimuli.options import is_folder
from broca.stimuli.tables import read_table

KNOWN_FOLDERS = (
    "1b_story.txt and its like (theory-of-mind localizer)",
    "tomloc_positive.txt and tomloc_negative.txt (extended theory-of-mind localizer)",
    "emotion_pain.txt and physical_pain.txt (pain localizer)",
    "CSV files with the columns stim1 to stim14 (language localizer)",
)


def reader_for(path: Path) -> Callable[..., Contrast]:
    """The reader of a file or folder, to be called with the path and its options.

    Raises:
        StimulusError: There is no such file, or a folder fits no format or more than one.
    """
    if not is_folder(path):
        # a missing file is the table reader's to report
        return langloc if path.suffix.lower() == ".csv" and is_langloc(read_table(path)) else table_contrast
    names = folder_names(path)
    found = [
        reader
        for reader, fits in (
            (tomloc, any(re.fullmatch(r"[0-9]{1,6}[bp]_story\.txt", name) for name in names)),
            (extended_tomloc, bool({"tomloc_positive.txt", "tomloc_negative.txt"} & set(names))),
            (pain, bool({"emotion_pain.txt", "physical_pain.txt"} & set(names))),
            (langloc, any(name.lower().endswith(".csv") for name in names)),
        )
        if fits
    ]
    if len(found) != 1:
        says = "more than one format" if found else "no format that is known"
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing"
        raise StimulusError(
            f"The folder {path.name!r} fits {says}. It holds {shown}. Known are folders with: "
            f"{'; '.join(KNOWN_FOLDERS)}. Give such a folder, or the path of one table."
        )
    return found[0]
