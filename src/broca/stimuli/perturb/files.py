"""Pairs from files: the typo files of Error Mech Analysis, tables of pairs, paraphrase sets, and clean texts to be perturbed.

What is wrong with a file is counted in the report, never passed over: misnamed fields, variants that are the clean text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from broca.errors import StimulusError
from broca.items import Pair, Stimulus
from broca.stimuli.edits import edits_between
from broca.stimuli.encodings import read_text
from broca.stimuli.json_values import parse_json
from broca.stimuli.perturb.build import Matched, Violations, build_pairs
from broca.stimuli.perturb.checks import Pairs, Tally, broken, real_word, report
from broca.stimuli.perturb.entries import CLEAN, NUMBER, clean_text, objects, repair, task_of
from broca.stimuli.perturb.kinds import ANCESTRAL, Severity
from broca.stimuli.perturb.words import Choice
from broca.stimuli.tables import Row, Table, read_table, short_repr, whole_number

_PARAPHRASES = (("question1", "question2", "is_duplicate"), ("sentence1", "sentence2", "label"))
PARAPHRASE = "paraphrase"
_AtLeastOne = Annotated[int, Field(ge=1)]


def typos(
    path: str | Path,
    *,
    kinds: tuple[str, ...] = ANCESTRAL,
    layout: Literal["keep", "drop"] = "keep",
    n: _AtLeastOne | None = None,
) -> Pairs:
    """The pairs of a typo file of Error Mech Analysis: a JSON list of objects, one text each under the name of each kind.

    The clean text is ``normal`` or ``instruction``. A field whose name is that of a kind but for punctuation (``homo,nym``) is
    taken for it and counted as repaired. Variants that are the clean text, or nothing, are left out and counted. Where the
    text is a request, a colon and a calculation, the pair's answer is its result and its group the request. What a variant
    breaks is in the tag ``broken`` and in the report; it is kept, since it is what was published.

    Args:
        path: the file.
        kinds: which of the kinds.
        layout: ``drop`` leaves out variants whose white space is not that of the clean text, though their kind is about
            letters: in the published instructions typos flatten line ends too.
        n: read this many rows; all by default.

    Raises:
        StimulusError: if the file is missing, malformed, or a row lacks its clean text or a kind.
    """
    path = Path(path)
    tallies = {kind: Tally() for kind in kinds}
    pairs: list[Pair] = []
    for number, row in enumerate(objects(path), start=1):
        if n is not None and number > n:
            break
        where = f"{path.name}, entry {number}"
        fields, renamed = repair(row, kinds)
        clean = clean_text(where, fields)
        name = str(fields.get(NUMBER, number))
        for kind in kinds:
            tallies[kind].counts["repaired"] += kind in renamed
            pair = _variant(where, name, clean, kind, fields=fields, tally=tallies[kind], layout=layout)
            if pair is not None:
                pairs.append(pair)
    if not pairs:
        raise StimulusError(f"{path.name} has no variant of {', '.join(kinds)} that differs from its clean text.")
    return Pairs(tuple(pairs), report(tallies))


def table(path: str | Path, *, kind: str | None = None) -> Pairs:
    """Pairs from a CSV, TSV, JSONL, JSON or Parquet table with the columns ``clean`` and ``perturbed``.

    The columns ``kind``, ``group``, ``answer`` and ``id`` are optional. Rows with identical texts are left out and counted.

    Args:
        path: the file.
        kind: of all rows, where the table has no such column; the name of the file by default.

    Raises:
        StimulusError: if the table is malformed or lacks a column, or all its rows have identical texts.
    """
    read = read_table(path)
    read.require("clean", "perturbed")
    read.optional("kind", "group", "answer", "id")
    if kind is not None and "kind" in read.columns:
        raise StimulusError(f"{read.path.name} has a column 'kind'. Leave out the option of that name.")
    tallies: dict[str, Tally] = {}
    pairs: list[Pair] = []
    for row, name in zip(read.rows, read.names(lambda index: str(index + 1)), strict=True):
        own = read.tag(row, "kind", read.path.stem if kind is None else kind)
        tally = tallies.setdefault(own, Tally())
        extra = {"group": read.group(row), "answer": read.tag(row, "answer", "")}
        pair = _read(name, read.text(row, "clean"), read.text(row, "perturbed"), own, tally=tally, extra=extra)
        pairs += [pair] if pair is not None else []
    return _some(read.path, pairs, tallies)


def paraphrases(
    path: str | Path, *, clean: Literal["first", "second", "both"] = "first", n: _AtLeastOne | None = None
) -> Pairs:
    """Pairs of texts that say the same, from a paraphrase set: those of label 1.

    Quora Question Pairs is known by ``question1``, ``question2``, ``is_duplicate``, PAWS by ``sentence1``, ``sentence2``, ``label``.
    Pairs that share a text share a group.

    Args:
        path: a table in any format.
        clean: which side is the clean text; ``both`` gives two pairs a row, each side once.
        n: take this many rows of label 1.

    Raises:
        StimulusError: if the table is malformed, has other columns, or labels other than 0 and 1.
    """
    read = read_table(path)
    columns = _columns(read)
    if columns is None:
        known = " or ".join(", ".join(map(repr, three)) for three in _PARAPHRASES)
        raise StimulusError(
            f"{read.path.name} has the columns {', '.join(map(repr, read.columns))}. Paraphrase sets have {known}."
        )
    one, two, label = columns
    same = [row for row in read.rows if _label(read, row, label)][:n]
    groups = _sharing([(read.text(row, one), read.text(row, two)) for row in same])
    tally = Tally()
    pairs: list[Pair] = []
    sides = {"first": ((one, two),), "second": ((two, one),), "both": ((one, two), (two, one))}[clean]
    for number, (row, group) in enumerate(zip(same, groups, strict=True), start=1):
        name = read.tag(row, "id", str(number))
        for side, (a, b) in enumerate(sides):
            own = f"{name}/{side + 1}" if len(sides) > 1 else name
            pair = _read(own, read.text(row, a), read.text(row, b), PARAPHRASE, tally=tally, extra={"group": group})
            pairs += [pair] if pair is not None else []
    return _some(read.path, pairs, {PARAPHRASE: tally})


def column(
    path: str | Path,
    *,
    kinds: tuple[str, ...],
    column: str = "text",
    answer: str | None = None,
    words: _AtLeastOne = 1,
    seed: int = 0,
    min_letters: _AtLeastOne = 3,
    matched: Matched = "order",
    violations: Violations = "refuse",
    n: _AtLeastOne | None = None,
) -> Pairs:
    """Any column of a table, perturbed: `broca.stimuli.perturb.build.build_pairs` of its texts.

    Args:
        path: a table in any format; the columns ``id`` and ``group`` are taken up if there are any.
        kinds: of perturbation.
        column: that has the clean texts.
        answer: the column that has the right answers.
        words: how many are edited in each text.
        seed: of every draw.
        min_letters: shorter words are left alone.
        matched: how kinds share words.
        violations: what happens where a promise is broken.
        n: take this many rows.

    Raises:
        UnknownName: if a kind is not known.
        StimulusError: if the table is malformed, or nothing could be perturbed.
    """
    read = read_table(path)
    read.require(column, *([answer] if answer else []))
    names = read.names(lambda index: str(index + 1))
    sources = [
        Stimulus(name, read.text(row, column), read.group(row)) for row, name in zip(read.rows, names, strict=True)
    ][:n]
    gold = {name: read.tag(row, answer, "") if answer else "" for row, name in zip(read.rows, names, strict=True)}
    return build_pairs(
        sources,
        kinds,
        severity=Severity(words=words),
        seed=seed,
        choice=Choice(min_letters=min_letters),
        matched=matched,
        violations=violations,
        answers=gold,
    )


def is_typos(path: Path) -> bool:
    """Whether a JSON file is a typo file: its first object has a clean text and kinds, by their names there."""
    if path.suffix.lower() != ".json":
        return False
    value = parse_json(path, read_text(path))
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and any(name in first for name in CLEAN) and bool(first.keys() & set(ANCESTRAL))


def is_paraphrases(path: Path) -> bool:
    """Whether a table has the columns of a paraphrase set."""
    return _columns(read_table(path)) is not None


def _columns(read: Table) -> tuple[str, str, str] | None:
    return next((three for three in _PARAPHRASES if set(three) <= set(read.columns)), None)


def _variant(
    where: str, name: str, clean: str, kind: str, *, fields: Mapping[str, Any], tally: Tally, layout: str
) -> Pair | None:
    if kind not in fields:
        raise StimulusError(
            f"{where}: there is no field {kind!r}. Found: {', '.join(map(repr, fields))}. Leave the kind out with the option 'kinds'."
        )
    value = fields[kind]
    if value is not None and not isinstance(value, str):
        raise StimulusError(f"{where}: {kind!r} is {short_repr(value)}. It must be a text.")
    task = task_of(clean)
    tags = {"operation": task.operation} if task else {}
    extra = {"group": task.request if task else "", "answer": task.answer if task else "", "tags": tags}
    pair = _read(f"{name}/{kind}", clean, value or "", kind, tally=tally, extra=extra)
    if pair is not None and layout == "drop" and "spaces" in pair.tags.get("broken", "") and kind not in _SPACED:
        tally.counts["made"] -= 1
        tally.counts["refused"] += 1
        return None
    return pair


_SPACED = ("grammar", "punctuation")


def _read(name: str, clean: str, perturbed: str, kind: str, *, tally: Tally, extra: Mapping[str, Any]) -> Pair | None:
    """A pair, counted; None for no variant, or one that is the clean text."""
    tally.counts["asked"] += 1
    if not perturbed.strip():
        tally.counts["impossible"] += 1
        return None
    tally.measure(clean, perturbed)
    edits = edits_between(clean, perturbed, kind)
    faults = broken(clean, perturbed, edits)
    tally.counts.update(faults)
    if clean == perturbed:
        tally.counts["refused"] += 1
        return None
    tally.counts["made"] += 1
    marked = real_word(clean, perturbed)
    tally.counts["real_word"] += marked
    tags = dict(extra.get("tags", {})) | ({"broken": ", ".join(faults)} if faults else {})
    tags |= {"marks": "real-word"} if marked else {}
    return Pair(name, clean, perturbed, edits, kind, extra.get("group", ""), extra.get("answer", ""), tags)


def _label(read: Table, row: Row, name: str) -> bool:
    value = whole_number(row.cells[name])
    label = str(value).removesuffix(".0")  # pandas writes 1.0 beside missing numbers
    if label not in {"0", "1"} or isinstance(value, bool):
        raise StimulusError(f"{read.at(row)}: {name!r} is {short_repr(value)}. Labels are 1 (says the same) and 0.")
    return label == "1"


def _sharing(texts: list[tuple[str, str]]) -> Iterator[str]:
    """A group for each pair of texts, the same for pairs that share a text, directly or through others."""
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        while parent.setdefault(text, text) != text:
            parent[text] = text = parent[parent[text]]
        return text

    for a, b in texts:
        parent[root(b)] = root(a)
    return (root(a) for a, _ in texts)


def _some(path: Path, pairs: list[Pair], tallies: Mapping[str, Tally]) -> Pairs:
    if not pairs:
        raise StimulusError(f"{path.name} has no row whose two texts differ. Check the columns and labels.")
    return Pairs(tuple(pairs), report(tallies))
