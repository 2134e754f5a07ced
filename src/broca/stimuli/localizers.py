"""Localizers in the file formats that laboratories hand out. The files stay with the user; nothing of them is here.

Each reader takes a folder. `style="tl"` builds the prompts of Jamaa et al. (2025, arXiv 2508.08276) to the letter,
which is what a comparison with published numbers needs; `style="ours"` shows the story and the question alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np

from broca.errors import StimulusError
from broca.items import Contrast, Stimulus
from broca.stimuli import paradigms
from broca.stimuli.encodings import read_text
from broca.stimuli.options import is_file
from broca.stimuli.tables import Table, read_table

Style = Literal["ours", "tl"]
Answers = Literal["none", "random"]

# The words shown to people in the scanner; they are part of the prompt whose numbers style="tl" reproduces.
_SCANNER = (
    "In this experiment, you will read a series of sentences and then answer True/False questions about them. "
    "Press button 1 to answer 'true' and button 2 to answer 'false'."
)
_WORDS = tuple(f"stim{i}" for i in range(2, 14))
_STORY_FILE = re.compile(r"([0-9]{1,6})([bp])_story\.txt")


def tomloc(folder: str | Path, *, style: Style = "ours", answers: Answers = "none", seed: int = 42) -> Contrast:
    """The theory-of-mind localizer: ``1b_story.txt``, ``1b_question.txt``, ..., ``10p_question.txt``.

    False-belief stories (b) are positive, false-photograph stories (p) negative.

    Args:
        folder: The folder of the files; every story needs its question.
        style: See the module.
        answers: ``none``, or ``random``: a True or False, drawn without regard to what is right, ends each prompt.
        seed: Of the random answers; the published prompts have 42.

    Raises:
        StimulusError: A file is missing, empty or not UTF-8.
    """
    folder = Path(folder)
    found = [m for m in map(_STORY_FILE.fullmatch, folder_names(folder)) if m]
    sides: list[list[tuple[str, str]]] = []
    for kind in "bp":
        numbers = sorted({m[1] for m in found if m[2] == kind}, key=int)
        sides.append([(f"{n}{kind}", _story_and_question(folder, f"{n}{kind}", style)) for n in numbers])
    return _belief_contrast("tomloc", folder, sides, style=style, answers=answers, seed=seed)


def extended_tomloc(
    folder: str | Path, *, style: Style = "ours", answers: Answers = "none", seed: int = 42
) -> Contrast:
    """More stories of the same two kinds: ``tomloc_positive.txt`` and ``tomloc_negative.txt``.

    Blocks are divided by a blank line; each is ``Story: ...`` and ``Question: ...``. ``style="tl"`` keeps as many
    stories of each side as the shorter side has, ``style="ours"`` keeps all.

    Args:
        folder: The folder of the two files.
        style: See the module.
        answers: As in `tomloc`.
        seed: Of the random answers.

    Raises:
        StimulusError: A file is missing, not UTF-8, or has a block of another form.
    """
    folder = Path(folder)
    sides = [_blocks(folder / f"tomloc_{side}.txt") for side in ("positive", "negative")]
    return _belief_contrast("extended-tomloc", folder, sides, style=style, answers=answers, seed=seed)


def pain(folder: str | Path, *, style: Style = "ours") -> Contrast:
    """Emotional against physical pain: ``emotion_pain.txt`` and ``physical_pain.txt``, one story per line.

    Args:
        folder: The folder of the two files.
        style: ``tl`` puts ``Story: `` before each.

    Raises:
        StimulusError: A file is missing, empty or not UTF-8.
    """
    folder = Path(folder)
    prefix = "Story: " if style == "tl" else ""
    emotional, physical = (_one_per_line(folder / f"{kind}_pain.txt", kind, prefix) for kind in ("emotion", "physical"))
    source = _source(folder, "a pain localizer", len(emotional), len(physical), paradigms.PAIN)
    return Contrast("pain", emotional, physical, source=source)


def langloc(path: str | Path) -> Contrast:
    """The language localizer: CSV files with the columns ``stim1`` (number), ``stim2..stim13`` (words), ``stim14``.

    Sentences (S) are positive, lists of non-words (N) negative. Words are lower-cased and joined by one space.

    Args:
        path: One such file, or a folder of them; files are read in the order of their names.

    Raises:
        StimulusError: A file is malformed, or ``stim14`` is neither S nor N.
    """
    path = Path(path)
    files = [path] if is_file(path) else [path / name for name in folder_names(path) if name.lower().endswith(".csv")]
    sides: dict[str, list[Stimulus]] = {"S": [], "N": []}
    for file in files:
        rows = read_table(file)
        rows.require("stim1", *_WORDS, "stim14")
        for row in rows.rows:
            kind = rows.word(row, "stim14").upper()
            if kind not in sides:
                raise StimulusError(f"{rows.at(row)}: stim14 is {kind!r}. It must be S (sentence) or N (non-words).")
            text = " ".join(rows.word(row, word).lower() for word in _WORDS)
            name = f"{file.stem}:{row.where.removeprefix('line ')}"
            sides[kind].append(Stimulus(name, text, tags={"item": rows.word(row, "stim1")}))
    counts = len(sides["S"]), len(sides["N"])
    return Contrast(
        "langloc",
        tuple(sides["S"]),
        tuple(sides["N"]),
        source=_source(path, "a language localizer", *counts, paradigms.LANGUAGE),
    )


def is_langloc(table: Table) -> bool:
    """Whether a table has the columns of the language localizer."""
    return {"stim1", *_WORDS, "stim14"} <= set(table.columns)


def folder_names(folder: Path) -> list[str]:
    """The names in a folder, sorted.

    Raises:
        StimulusError: The folder cannot be read.
    """
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise StimulusError(f"The folder {str(folder)!r} cannot be read: {error.strerror}.") from error


def _story_and_question(folder: Path, name: str, style: Style) -> str:
    story = " ".join(line.strip() for line in _lines(read_text(folder / f"{name}_story.txt")))
    # the answers follow after a blank line; hard wraps end in a space of their own
    question = "".join(_until_blank(_lines(read_text(folder / f"{name}_question.txt").strip())))
    if not story.strip() or not question.strip():
        raise StimulusError(f"{name} in {folder.name} has an empty story or question. Restore it.")
    if style == "ours":
        story, question = story.strip(), question.strip()
    options = "\nOptions:\n- True\n- False" if style == "tl" else ""
    return f"Story: {story}\nQuestion: {question}{options}"


def _one_per_line(path: Path, kind: str, prefix: str) -> tuple[Stimulus, ...]:
    lines = enumerate(_lines(read_text(path)), start=1)
    return tuple(Stimulus(f"{kind}-{n}", prefix + line.strip()) for n, line in lines if line.strip())


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split("\n")


def _until_blank(lines: list[str]) -> list[str]:
    blank = next((i for i, line in enumerate(lines) if not line.strip()), len(lines))
    return lines[:blank]


def _blocks(path: Path) -> list[tuple[str, str]]:
    blocks: list[tuple[str, str]] = []
    current: list[str] = []
    start = 1
    for number, line in enumerate([*_lines(read_text(path)), ""], start=1):
        if line.strip():
            start = start if current else number
            current.append(line.strip())
            continue
        if current:
            text = " ".join(current).replace(" Question:", "\nQuestion:", 1)
            if not re.fullmatch(r"Story: *\S[^\n]*\nQuestion: *\S[^\n]*", text):
                raise StimulusError(
                    f"{path.name}, line {start}: a block must read 'Story: ...' and then 'Question: ...'. "
                    "Divide blocks by a blank line."
                )
            blocks.append((f"{path.stem}-{len(blocks) + 1}", text))
            current = []
    return blocks


def _belief_contrast(
    name: str, folder: Path, sides: list[list[tuple[str, str]]], *, style: Style, answers: Answers, seed: int
) -> Contrast:
    if style == "tl":
        sides = [side[: min(map(len, sides))] if name == "extended-tomloc" else side for side in sides]
    instruction = f"{_SCANNER}\n" if style == "tl" else ""
    draw = np.random.default_rng(seed)
    positive, negative = (
        tuple(
            Stimulus(key, f"{instruction}{text}\nAnswer:{_answer(draw) if answers == 'random' else ''}")
            for key, text in side
        )
        for side in sides
    )
    kind = "a theory-of-mind localizer" if name == "tomloc" else "an extended theory-of-mind localizer"
    source = _source(folder, kind, len(positive), len(negative), paradigms.BELIEF)
    return Contrast(name, positive, negative, source=source)


def _answer(draw: np.random.Generator) -> str:
    return f" {draw.choice(['True', 'False'])}"


def _source(path: Path, kind: str, positive: int, negative: int, paradigm: str) -> str:
    return f"Read from {path.name}, taken for {kind}: {positive} positive, {negative} negative. Paradigm: {paradigm}."
