"""MMToM-QA: beliefs and goals of somebody in a flat, in words and in frames of a video (Jin et al., 2024, ACL)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Literal

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.encodings import read_bytes, read_text
from broca.stimuli.json_values import parse_json
from broca.stimuli.localizers import Style
from broca.stimuli.options import is_file
from broca.stimuli.published.questions import check_items, item_id, letter_index, question
from broca.stimuli.published.sources import records
from broca.stimuli.tables import Row, Table, short_repr
from broca.storage.pickles import plain_pickle

COLUMNS = frozenset({"question", "answer", "question_type", "episode", "start_time", "end_time"})
TYPES = {
    1.1: "true-belief",
    1.2: "false-belief",
    1.3: "belief-tracking",
    2.1: "goal-true-belief",
    2.2: "goal-false-belief",
    2.3: "goal-updated-belief",
    2.4: "goal-future-actions",
}
"""The kinds of question by their number in the file; they are the abilities of the items."""
_REQUEST = re.compile(r"Please respond with either a or b\.?$")
_TL_CONTEXT = (
    "The following multiple-choice question is based on the story, with complementary text and images enhancing its context. "
    "The question is related to Theory-of-Mind. Read the story and then answer the question. Choose the best answer among "
    "options provided."
)


def mmtom(
    path: str | Path,
    *,
    types: list[float] | None = None,
    story: Literal["whole", "last-line"] = "whole",
    frames: str | None = None,
    style: Style = "ours",
    tail: str = "Answer:",
) -> tuple[Item, ...]:
    """The questions of a file, each with the ability of its type; those about one episode share a group.

    Args:
        path: ``questions.json``, which holds JSON lines.
        types: Only these, of `TYPES`.
        story: All that precedes the question. ``last-line``: its last line alone, which is what Jamaa et al. (2025) came to
            show; the description of the flat is lost.
        frames: The folder of the videos: items then name the middle frame of each step. Without it, words alone.
        style: ``ours``: the statements are the choices. ``tl``: the prompt lists them, and letters are the choices.
        tail: How the prompt ends in the style ``tl``.

    Raises:
        StimulusError: A row is malformed, an episode's frames are missing, or no row is left.
    """
    if unknown := [kind for kind in types or () if kind not in TYPES]:
        raise StimulusError(f"types holds {unknown[0]}. The types are {', '.join(map(str, TYPES))}.")
    table = records(path)
    table.require(*sorted(COLUMNS))
    label = "Story:\n" if style == "tl" else "Story: "
    items: list[Item] = []
    for row in table.rows:
        kind = row.cells["question_type"]
        if not isinstance(kind, float) or kind not in TYPES:
            raise StimulusError(
                f"{table.at(row)}: 'question_type' is {short_repr(kind)}. It must be one of {list(TYPES)}."
            )
        if types is not None and kind not in types:
            continue
        told, asked, *options = _parts(table, row)
        told = told if story == "whole" else told.split("\n")[-1].strip()
        if style == "tl":  # theirs end at the first bracket
            options = [re.split(r"[()]", option, maxsplit=1)[0] for option in options]
        items.append(
            question(
                item_id(table, row),
                f"{label}{told}\nQuestion: {asked}",
                options,
                letter_index(table, row, "answer", options),
                ability=TYPES[kind],
                style=style,
                context=_TL_CONTEXT,
                tail=tail,
                group=f"episode-{row.cells['episode']}",
                images=_frames(table, row, Path(frames).expanduser()) if frames else (),
            )
        )
    return check_items(table, items, types=types)


def _parts(table: Table, row: Row) -> tuple[str, str, str, str]:
    """The story, the question and its two statements."""
    parts = _divide(table.text(row, "question"))
    if not all(part.strip() for part in parts):
        raise StimulusError(
            f"{table.at(row)}: 'question' has another form. It must hold a story, 'Question:', '(a)' and '(b)'."
        )
    return parts


def _divide(text: str) -> tuple[str, str, str, str]:
    """As `_parts`; empty where there are none."""
    story, _, rest = text.partition("Question:")
    asked, _, rest = rest.partition("(a)")
    first, _, second = rest.partition("(b)")
    return story.strip(), asked.strip(), first.lstrip(), _REQUEST.sub("", second.strip()).rstrip()


def _frames(table: Table, row: Row, videos: Path) -> tuple[str, ...]:
    """The middle frame of each step from the question's start to its end, as Jamaa et al. (2025) chose them."""
    numbers = [row.cells[name] for name in ("episode", "start_time", "end_time")]
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise StimulusError(
            f"{table.at(row)}: episode, start_time and end_time are {numbers}. They must be whole numbers."
        )
    episode, start, end = (int(str(number)) for number in numbers)
    folder = videos / f"task_{episode}"
    middle = [(first + last) // 2 for first, last in _intervals(folder)]
    found = [folder / "script" / "0" / f"Action_{n:04d}_0_normal.png" for n in middle[start : end + 1]]
    missing = [frame for frame in found if not is_file(frame)]
    if missing or not found:
        what = f"there is no frame {missing[0]}" if missing else f"{folder.name} has no steps {start} to {end}"
        raise StimulusError(f"{table.at(row)}: {what}. Give the folder that holds task_{episode}, or leave out frames.")
    return tuple(map(str, found))


@cache
def _intervals(folder: Path) -> tuple[tuple[int, int], ...]:
    """First and last frame of each step: ``frame_intervals.json``, or the published ``.pik``."""
    text, old = folder / "frame_intervals.json", folder / "frame_intervals.pik"
    if is_file(text):
        value = parse_json(text, read_text(text))
    else:
        try:
            value = plain_pickle(read_bytes(old))
        except ValueError as error:
            raise StimulusError(f"{old} is no list of numbers: {error}.") from error
    pairs = value if isinstance(value, list | tuple) else ()
    whole = [tuple(pair) for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2]
    if not whole or len(whole) < len(pairs) or not all(type(n) is int for pair in whole for n in pair):
        raise StimulusError(f"The frame intervals of {folder} must be a list of pairs of whole numbers.")
    return tuple((int(first), int(last)) for first, last in whole)
