"""What is promised of a perturbed text, and what is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
import regex
from rapidfuzz.distance import OSA, Levenshtein

from broca.items import Edit, Pair, Span
from broca.stimuli.perturb.lists import common
from broca.stimuli.perturb.words import NUMBER_WORDS
from broca.writing import LETTERS, clusters, normalise

PROMISES = ("identical", "protected", "spaces", "number_word", "distance")
"""What a perturbed text may break: it is the clean one; a protected span changed; white space changed though the kind says
nothing of it; a number word came in; more or fewer letters and signs changed than the kind says."""

REPORT_SCHEMA = pl.Schema(
    {
        "kind": pl.String(),
        "asked": pl.Int64(),
        "made": pl.Int64(),
        "impossible": pl.Int64(),
        "refused": pl.Int64(),
        **dict.fromkeys(PROMISES, pl.Int64()),
        "real_word": pl.Int64(),
        "first_word": pl.Int64(),
        "repaired": pl.Int64(),
        "osa": pl.Float64(),
        "osa_max": pl.Int64(),
        "levenshtein": pl.Float64(),
        "length": pl.Float64(),
    }
)
"""One row a kind, all but the means counts of texts.

`asked` is made + impossible + refused. `impossible` had nothing that the kind can edit, or nothing at all in the file. The
promises count texts that broke them, refused or not. `real_word`: the perturbed word is a common word. `first_word`: the
word edited first is the one that all kinds try first. `repaired`: a field was misnamed. `osa`, `levenshtein` and `length`:
mean distances and change of length in letters and signs (`broca.writing.clusters`), over all texts that are there, identical
ones too.
"""

_WORDS = regex.compile(LETTERS)
_WRITTEN = regex.compile(r"[\w\p{N}'’\u200b-\u200d\u2060]+(?:[.@$!|][\w\p{N}'’]+)*")
"""Words as they stand there, with what a perturbation may have put inside."""


@dataclass(slots=True)
class Tally:
    """The counts of one kind, as they come in."""

    counts: Counter[str] = field(default_factory=Counter)
    osa: list[int] = field(default_factory=list)
    levenshtein: list[int] = field(default_factory=list)
    length: list[int] = field(default_factory=list)

    def measure(self, clean: str, perturbed: str) -> None:
        """Take in the distance between two texts."""
        before, after = _letters(clean, perturbed)
        self.osa.append(OSA.distance(before, after))
        self.levenshtein.append(Levenshtein.distance(before, after))
        self.length.append(len(after) - len(before))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs, and what came of making or reading them."""

    pairs: tuple[Pair, ...]
    report: pl.DataFrame
    """`REPORT_SCHEMA`."""

    def of(self, kind: str) -> tuple[Pair, ...]:
        """The pairs of one kind."""
        return tuple(pair for pair in self.pairs if pair.kind == kind)


def report(tallies: Mapping[str, Tally]) -> pl.DataFrame:
    """The table of `REPORT_SCHEMA`."""
    rows = [
        {
            "kind": kind,
            **{name: tally.counts[name] for name, kind_ in REPORT_SCHEMA.items() if kind_ == pl.Int64},
            "osa": _mean(tally.osa),
            "osa_max": max(tally.osa, default=None),
            "levenshtein": _mean(tally.levenshtein),
            "length": _mean(tally.length),
        }
        for kind, tally in tallies.items()
    ]
    return pl.DataFrame(rows, schema=REPORT_SCHEMA)


def broken(
    clean: str,
    perturbed: str,
    edits: Sequence[Edit],
    *,
    protected: Iterable[Span] = (),
    spaces: bool = False,
    distance: int | None = None,
) -> tuple[str, ...]:
    """Which of `PROMISES` a perturbed text breaks.

    Args:
        clean: the text before.
        perturbed: the text after.
        edits: that lead from one to the other.
        protected: spans of `clean` that must be as they were.
        spaces: whether white space may change.
        distance: optimal string alignment distance that one edit makes; None where anything from 1 will do.
    """
    found = []
    if clean == perturbed:
        found.append("identical")
    if any(
        (edit.start < end and start < edit.end) or start < edit.start < end
        for edit in edits
        for start, end in protected
    ):
        found.append("protected")
    if not spaces and _spaces(clean) != _spaces(perturbed):
        found.append("spaces")
    if _numbers(perturbed) - _numbers(clean):
        found.append("number_word")
    # edits apart from each other are counted one by one, unless together they are a shorter way round
    if distance is not None and len(edits) == 1:
        before, after = _letters(clean, perturbed)
        if OSA.distance(before, after, score_cutoff=distance) != distance:
            found.append("distance")
    return tuple(found)


def real_word(clean: str, perturbed: str, vocabulary: frozenset[str] = frozenset()) -> bool:
    """Whether a word came in that is a common one (`broca.stimuli.perturb.lists.common`), or one of `vocabulary`."""
    new = set(_WRITTEN.findall(perturbed.lower())) - set(_WRITTEN.findall(clean.lower()))
    return any(word in common() or word in vocabulary for word in new)


def _letters(clean: str, perturbed: str) -> tuple[Sequence[str], Sequence[str]]:
    """Both texts in letters and signs, and in one type: rapidfuzz takes a string for other signs than a list of strings."""
    before, after = clusters(clean), clusters(perturbed)
    return (before, after) if isinstance(before, str) and isinstance(after, str) else (list(before), list(after))


def _spaces(text: str) -> str:
    return "".join(filter(str.isspace, text))


def _numbers(text: str) -> Counter[str]:
    return Counter(word for word in _WORDS.findall(normalise(text.lower())) if word in NUMBER_WORDS)


def _mean(values: Sequence[int]) -> float | None:
    return sum(values) / len(values) if values else None
