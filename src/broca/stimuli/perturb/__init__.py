"""Perturbations: a clean text, a perturbed one, and the edits between them. By name, from files, or made here.

perturb("Work this sum out: 7 + 5 =", "transpose", seed=3)
build_pairs(items, ["keyboard", "homophone", "polite"], severity=Severity(words=2))
pairs("maths.json")                                       the published typo files, known by their fields
pairs("my_pairs.csv")                                     columns clean, perturbed
pairs("paraphrases", path="paws.tsv", clean="second")
pairs("column", path="questions.jsonl", column="question", kinds=["delete", "shuffle"])
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from broca.errors import StimulusError
from broca.registry import Registry, unknown
from broca.stimuli.options import call, expand_home, hints, is_folder, looks_like_path
from broca.stimuli.perturb.build import ALL, build_pairs
from broca.stimuli.perturb.checks import PROMISES, REPORT_SCHEMA, Pairs
from broca.stimuli.perturb.control import control, controls
from broca.stimuli.perturb.draws import PerturbedText, perturb
from broca.stimuli.perturb.files import is_paraphrases, is_typos
from broca.stimuli.perturb.kinds import ANCESTRAL, KINDS, Severity
from broca.stimuli.perturb.rewrite import REWRITTEN, Rewritten, reword
from broca.stimuli.perturb.styles import STYLES
from broca.stimuli.perturb.words import Choice, protected_spans
from broca.stimuli.tables import SUFFIXES, read_table

__all__ = [
    "ALL",
    "ANCESTRAL",
    "KINDS",
    "PAIRS",
    "PROMISES",
    "REPORT_SCHEMA",
    "REWRITTEN",
    "STYLES",
    "Choice",
    "Pairs",
    "PerturbedText",
    "Rewritten",
    "Severity",
    "build_pairs",
    "control",
    "controls",
    "is_pairs",
    "option_types",
    "pairs",
    "perturb",
    "protected_spans",
    "reword",
]

PAIRS = Registry(
    "Pair reader",
    {name: f"broca.stimuli.perturb.files:{name}" for name in ("typos", "table", "paraphrases", "column")},
)
"""Readers of pairs, each of the file that the option ``path`` names."""


def pairs(name_or_path: str | Path, **options: Any) -> Pairs:
    """Pairs read from a file.

    Args:
        name_or_path: a name of `PAIRS`; or a file, known by its fields: a typo file, a paraphrase set, or a table of pairs.
        options: of the reader, e.g. ``kinds``, ``n``, ``clean``, ``column``; with a name, ``path`` too.

    Raises:
        UnknownName: if it is neither a name nor a file, or the reader has no such option.
        StimulusError: if the file is missing or malformed, or an option is of the wrong type.
    """
    if isinstance(options.get("kinds"), list):  # as specs write it
        options["kinds"] = tuple(options["kinds"])
    if isinstance(name_or_path, str) and name_or_path in PAIRS:
        path = options.pop("path", None)
        if not isinstance(path, str | Path):
            raise StimulusError(f"Pairs {name_or_path!r} are read from a file. Give its place with the option 'path'.")
        return call(f"pairs {name_or_path!r}", PAIRS[name_or_path], _file(path), options=options)
    if looks_like_path(name_or_path, suffixes=SUFFIXES):
        path = _file(name_or_path)
        return call(f"pairs {path.name!r}", PAIRS[_reader(path)], path, options=options)
    raise unknown("Pair reader", str(name_or_path), tuple(PAIRS), "Or give the path of a file of pairs.")


def option_types(name_or_path: str | Path) -> dict[str, Any]:
    """The options of `pairs` that this reader takes, and the type of each.

    Raises:
        StimulusError: if the file cannot be read.
    """
    if isinstance(name_or_path, str) and name_or_path in PAIRS:
        return hints(PAIRS[name_or_path]) | {"path": str}
    return hints(PAIRS[_reader(_file(name_or_path))])


def is_pairs(name_or_path: str | Path) -> bool:
    """Whether `pairs` reads this: a name of `PAIRS`, or a file that has the fields of one of its formats.

    Raises:
        StimulusError: if the file cannot be read.
    """
    if str(name_or_path) in PAIRS:
        return True
    if not looks_like_path(name_or_path, suffixes=SUFFIXES) or is_folder(path := expand_home(name_or_path)):
        return False
    return (
        is_typos(path)
        or is_paraphrases(path)
        or {"clean", "perturbed"} <= {column.lower() for column in read_table(path).columns}
    )


def _file(name: str | Path) -> Path:
    path = expand_home(name)
    if is_folder(path):
        raise StimulusError(f"{str(path)!r} is a folder. Pairs come in one file: give its path.")
    return path


def _reader(path: Path) -> str:
    if is_typos(path):
        return "typos"
    return "paraphrases" if is_paraphrases(path) else "table"
