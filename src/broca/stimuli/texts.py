"""Running text, with no question and no answer: what a general ability is measured on, or gradients are taken of.

texts("plain")
texts("training.json", n=100, seed=0)
texts("beliefs/memory", n=50)
texts("Salesforce/wikitext", empty="keep")
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from broca.errors import StimulusError
from broca.items import Item, Stimulus, Text
from broca.registry import unknown
from broca.spacing import is_space_between
from broca.stimuli.answers import text_in
from broca.stimuli.benchmarks import BENCHMARKS, benchmark
from broca.stimuli.draws import draw_texts
from broca.stimuli.encodings import read_text
from broca.stimuli.json_values import parse_json
from broca.stimuli.lengths import plain as flat
from broca.stimuli.options import Count, call, expand_home, is_folder, looks_like_path
from broca.stimuli.published.sources import fetch
from broca.stimuli.tables import SUFFIXES, Row, Table, read_table
from broca.tries import MOST, tries

PLAIN = "plain"
"""The name of the texts that come with broca."""

HUB = {"Salesforce/wikitext": "wikitext-2-raw-v1/test-*.parquet"}
"""Texts of the Hugging Face hub that are known by id: the test split of WikiText-2 (Merity et al., 2017), raw."""

Empty = Literal["refuse", "drop", "keep"]
"""What to do with rows that have no text: WikiText has blank lines among its rows, which belong to it where they are joined."""

_COLUMNS = ("text", "txt")
_SENTENCES = 10
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_AtLeastOne = Annotated[int, Field(ge=1)]


def texts(source: str | Path, **options: object) -> tuple[Stimulus, ...]:
    """Texts by name or from a file.

    Args:
        source: ``plain``; a benchmark, each item's prompt with its right answer; or a file. Of a ``.txt``, paragraphs
            between blank lines are texts; a table (CSV, TSV, JSONL, JSON, Parquet) has them in a column ``text`` or ``txt``; or
            the id of one of `HUB`.
        options: Of ``plain``: ``n`` (120) and ``seed``. Of a file: ``n``, ``seed``, ``column`` and ``empty``. Of a benchmark: its
            own.

    Raises:
        UnknownName: Neither a name nor a file, or an option that it does not have.
        StimulusError: The file is missing or malformed, the hub cannot be reached, or an option is of the wrong type.
    """
    if source == PLAIN:
        return call("The texts 'plain'", plain, options=options)
    if isinstance(source, str) and source in BENCHMARKS:
        return tuple(Stimulus(item.id, _with_answer(item), item.group) for item in benchmark(source, **options))
    if str(source) in HUB:
        source = _of_hub(str(source))
    if looks_like_path(source, suffixes=(*SUFFIXES, ".txt")):
        path = expand_home(source)
        if is_folder(path):
            raise StimulusError(f"{str(path)!r} is a folder. Give the path of one file of texts.")
        return call(f"the texts of {path.name!r}", file_texts, path, options=options)
    known = (PLAIN, *BENCHMARKS, *HUB)
    raise unknown("Source of texts", str(source), known, "Or give the path of a .txt, .jsonl, .json, .csv or .parquet.")


def plain(*, n: Count = 120, seed: int = 0) -> tuple[Stimulus, ...]:
    """Texts about bread, bees, bridges and the like, of ten sentences (130 to 160 words): nobody in them thinks anything.

    Generated from sentences written for this project. Texts of one subject share a group; no two are the same.

    Args:
        n: How many; subjects take turns.
        seed: Of the choices.
    """
    path = resources.files("broca.stimuli").joinpath("data", "plain.json")
    with resources.as_file(path) as file:
        subjects = parse_json(file, read_text(file))
    assert isinstance(subjects, dict)
    draw = random.Random(seed)  # noqa: S311 - a choice of words, not a secret
    made: dict[str, Stimulus] = {}
    for _ in tries(f"There are fewer than {n} different plain texts. Ask for fewer.", most=n + MOST):
        if len(made) >= n:
            break
        for subject, sentences in subjects.items():
            kept = sorted(draw.sample(range(len(sentences)), _SENTENCES))
            text = " ".join(
                _CHOICE.sub(lambda found: draw.choice(found[1].split("|")), sentences[index]) for index in kept
            )
            made.setdefault(text, Stimulus(f"{subject}-{len(made)}", text, subject))
    return tuple(made.values())[:n]


def file_texts(
    path: str | Path,
    *,
    n: _AtLeastOne | None = None,
    seed: int | None = None,
    column: str | None = None,
    empty: Empty = "refuse",
) -> tuple[Stimulus, ...]:
    """The texts of a file.

    Args:
        path: ``.txt``, or a table. A ``.json`` may be a list, or one object on each line.
        n: How many; all by default.
        seed: Shuffle them first, as Wu et al. (2025) did: Python's generator with this seed. None keeps the file's order.
        column: Where a table has the texts; ``text`` or ``txt`` by default.
        empty: What to do with rows of a table that have none.

    Raises:
        StimulusError: The file is missing or malformed, has no such column, or has fewer than `n` texts.
    """
    path = Path(path)
    if path.suffix.lower() == ".txt":
        if column is not None:
            raise StimulusError(f"{path.name} is plain text and has no columns. Leave out the option 'column'.")
        found = tuple(_paragraphs(path))
    else:
        table = read_table(path)
        name = column if column is not None else next((c for c in _COLUMNS if c in table.columns), _COLUMNS[0])
        table.require(name)
        table.optional("group")
        ids = table.names(lambda index: str(index + 1))
        found = tuple(
            Stimulus(own, text, table.group(row))
            for row, own in zip(table.rows, ids, strict=True)
            if (text := _text(table, row, name, empty)) is not None
        )
    if not found:
        raise StimulusError(f"{path.name} has no texts. Give at least one paragraph.")
    if n is not None and n > len(found):
        raise StimulusError(f"{n} texts were asked for, and {path.name} has {len(found)}. Ask for fewer.")
    order = range(len(found)) if seed is None else draw_texts(len(found), of=len(found), seed=seed)
    return tuple(found[index] for index in order)[:n]


def _of_hub(name: str) -> Path:
    """The file of a data set of the hub."""
    found = sorted(fetch(name, [HUB[name]]).glob(HUB[name]))
    if not found:
        raise StimulusError(
            f"The data set {name} has no file {HUB[name]!r} here. Fetch it again, or give the path of a file."
        )
    return found[0]


def _text(table: Table, row: Row, column: str, empty: Empty) -> Text | None:
    """The text of a row; None where there is none and such rows are dropped."""
    value = row.cells[column]
    if empty == "refuse" or (isinstance(value, str) and value.strip()) or not isinstance(value, str | None):
        return text_in(table, row, column)
    return None if empty == "drop" else value or ""


def _paragraphs(path: Path) -> Iterator[Stimulus]:
    parts = re.split(r"\n[^\S\n]*(?:\n[^\S\n]*)+", read_text(path).replace("\r\n", "\n"))
    for number, part in enumerate((part for part in parts if part.strip()), start=1):
        yield Stimulus(f"{path.stem}:{number}", part.strip("\n"))


def _with_answer(item: Item) -> str:
    text, answer = flat(item.prompt), item.choices[item.answer]
    return text + (" " if is_space_between(text, answer) else "") + answer
