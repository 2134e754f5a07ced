"""Reasoning trees by name or from files: questions over statements, with the steps that lead to the answer.

trees("kth", k=3, tokenizer=lm.tokenizer)
trees("rules", depth=2, n=300)
trees("proofwriter", path="CWA/depth-5/meta-test.jsonl", depth=1)
trees("my_trees.jsonl", shuffled=True)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from broca.errors import StimulusError
from broca.items import Tree
from broca.registry import Registry, unknown
from broca.stimuli.options import call, expand_home, hints, is_folder, looks_like_path, option_names
from broca.stimuli.tables import SUFFIXES
from broca.stimuli.trees.files import lines

__all__ = ["TREES", "option_types", "reader_of", "trees"]

TREES = Registry(
    "Tree task",
    {
        "kth": "broca.stimuli.trees.kth:kth",
        "rules": "broca.stimuli.trees.rules:rules",
        "proofwriter": "broca.stimuli.trees.proofwriter:proofwriter",
        "arc": "broca.stimuli.trees.arc:arc",
        "entailment": "broca.stimuli.trees.entailment:entailment",
    },
)
"""``kth`` and ``rules`` are made here; the others are read from the file that the option ``path`` names."""

_MARKS = {"proofwriter": {"theory", "triples", "rules"}, "arc": {"textual_logical_units", "reasoning_graph_edges"}}


def trees(name_or_path: str | Path, *, tokenizer: Any = None, **options: object) -> tuple[Tree, ...]:
    """Trees that come with broca, or read from a file.

    Args:
        name_or_path: A name of `TREES`; or a file, known by its fields: ProofWriter's ``meta-*.jsonl``, STREET's
            ``reasoning_annotated_*.jsonl``, and any other, or one whose ``columns`` are named, is read by
            `broca.stimuli.trees.entailment.entailment`.
        tokenizer: Of the model that will read them. ``kth`` then takes numbers that are one token each; others need none.
        options: Of the generator or reader, e.g. ``n``, ``seed``, ``depth``, ``shuffled``, ``paper_compat``.

    Raises:
        UnknownName: Neither a name nor a file, or an option that the task does not have.
        StimulusError: The file is missing or malformed, or an option is of the wrong type or does not fit.
    """
    if isinstance(name_or_path, str) and name_or_path in TREES:
        make, what, name = TREES[name_or_path], f"tree task {name_or_path!r}", name_or_path
        if name in ("kth", "rules"):
            if "tokenizer" in option_names(make):
                options = {**options, "tokenizer": tokenizer}
            return call(what, make, options=options)
        path = options.pop("path", None)
        if not isinstance(path, str | Path):
            raise StimulusError(
                f"{what[0].upper()}{what[1:]} is read from a file. Give its place with the option 'path'."
            )
        return call(what, make, path, options=options)
    reader = TREES["entailment"] if "columns" in options else reader_of(name_or_path)
    path = expand_home(name_or_path)
    return call(f"trees {path.name!r}", reader, path, options=options)


def reader_of(name_or_path: str | Path) -> Callable[..., tuple[Tree, ...]]:
    """What makes or reads these trees.

    Raises:
        UnknownName: Neither a name nor a file.
        StimulusError: The file is missing or malformed.
    """
    if isinstance(name_or_path, str) and name_or_path in TREES:
        return TREES[name_or_path]
    if looks_like_path(name_or_path, suffixes=SUFFIXES):
        return TREES[_format(expand_home(name_or_path))]
    raise unknown("Tree task", str(name_or_path), tuple(TREES), "Or give the path of a file of trees.")


def option_types(name_or_path: str | Path) -> dict[str, Any]:
    """The options of `trees` that this task takes, and the type of each.

    Raises:
        UnknownName, StimulusError: as `trees`.
    """
    if isinstance(name_or_path, str) and name_or_path in TREES:
        place = {} if name_or_path in ("kth", "rules") else {"path": str}
        own = hints(TREES[name_or_path]) | place
        return {name: kind for name, kind in own.items() if name != "tokenizer"}
    if looks_like_path(name_or_path, suffixes=SUFFIXES):
        return hints(TREES[_format(expand_home(name_or_path))])
    raise unknown("Tree task", str(name_or_path), tuple(TREES), "Or give the path of a file of trees.")


def _format(path: Path) -> str:
    """Which reader a file needs, told by the fields of its first line."""
    if is_folder(path):
        raise StimulusError(f"{str(path)!r} is a folder. Trees come in one file: give the path of a file in it.")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        found = next(lines(path)).cells.keys()
        for name, marks in _MARKS.items():
            if marks <= found:
                return name
    return "entailment"
