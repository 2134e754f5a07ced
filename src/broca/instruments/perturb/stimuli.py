"""The texts of a study of perturbations: clean ones, their variants, and valid controls of the same change in tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import polars as pl

from broca.errors import StimulusError
from broca.items import Item, Pair, fingerprint
from broca.scoring.writers import Writer
from broca.stimuli.benchmarks import BENCHMARKS, benchmark
from broca.stimuli.perturb import ALL, Choice, Pairs, Severity, build_pairs, controls, is_pairs, pairs
from broca.stimuli.perturb import KINDS as KINDS_OF_WORDS
from broca.stimuli.perturb.control import CONTROL
from broca.stimuli.perturb.rewrite import RECORDS, REWRITTEN, reword

Way = Literal["choices", "generated"]
"""How answers are read: by the likelihood of choices, or from what is generated."""


@dataclass(frozen=True, eq=False)
class StudyTexts:
    """Pairs, the items that they were made of, and their controls."""

    pairs: tuple[Pair, ...]
    items: Mapping[str, Item]
    """By the id of each clean text; empty where pairs came from a file."""
    controls: tuple[Pair, ...]
    report: pl.DataFrame
    records: pl.DataFrame
    """What a model rewrote, `broca.stimuli.perturb.rewrite.RECORDS`."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """In the order in which they were made."""
        return tuple(dict.fromkeys(pair.kind for pair in self.pairs))

    @cached_property
    def clean(self) -> dict[str, Pair]:
        """The first pair of each clean text, by the text's id."""
        found: dict[str, Pair] = {}
        for pair in self.pairs:
            found.setdefault(source_of(pair), pair)
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Of every text."""
        return fingerprint([pair.fingerprint for pair in (*self.pairs, *self.controls)])


def source_of(pair: Pair) -> str:
    """The id of the clean text of a pair, or of a control."""
    return pair.id.removesuffix(f"/{CONTROL}").removesuffix(f"/{pair.tags.get('of', pair.kind)}")


def way_for(texts: StudyTexts) -> Way:
    """By choices where every item has some, else by what is generated.

    Raises:
        StimulusError: if a text has neither choices nor a right answer.
    """
    if texts.items and all(len(item.choices) > 1 for item in texts.items.values()):
        return "choices"
    unknown = next((pair for pair in texts.pairs if not pair.answer), None)
    if unknown is not None:
        raise StimulusError(
            f"Pair {unknown.id!r} has no right answer, so nothing can be graded. Give a column 'answer', or items with choices."
        )
    return "generated"


def load_texts(
    name: str,
    options: Mapping[str, object],
    *,
    kinds: Sequence[str],
    severity: Severity,
    choice: Choice,
    n: int,
    seed: int,
    n_tokens: Callable[[str], int] | None,
    write: Writer | None = None,
) -> StudyTexts:
    """The texts of a study, by name or from a file of items or of pairs.

    Args:
        name: items of `broca.stimuli.benchmarks`, or a file of items or of pairs.
        options: of the generator or reader.
        kinds: of perturbation; all, or all that the file has, where empty.
        severity: of kinds that edit words.
        choice: which words may be edited.
        n: clean texts at most.
        seed: of edits and controls.
        n_tokens: the number of tokens of a text, for controls; no controls where None.
        write: who writes styles; templates where None.

    Raises:
        StimulusError: if the file is malformed, nothing can be perturbed, or a text has no answer.
        UnknownName: if there are no such items or kinds.
    """
    records = pl.DataFrame(schema=RECORDS)
    if name not in BENCHMARKS and is_pairs(name):
        found, items = pairs(name, **({"kinds": tuple(kinds)} if kinds else {}), **options), {}
        kept = list(dict.fromkeys(source_of(pair) for pair in found.pairs))[:n]
        found = Pairs(tuple(pair for pair in found.pairs if source_of(pair) in set(kept)), found.report)
    else:
        asked = benchmark(name, **({"n": n} if "n" not in options and name in BENCHMARKS else {}), **options)[:n]
        items = {item.id: item for item in asked}
        pictured = next((item for item in asked if item.images), None)
        if pictured is not None:
            raise StimulusError(
                f"Item {pictured.id!r} has pictures, which perturbed runs are not compared and patched with. Give items of text alone."
            )
        wanted = list(kinds) or [*(KINDS_OF_WORDS if write else ALL), *(REWRITTEN if write else ())]
        drawn = [kind for kind in wanted if write is None or kind not in REWRITTEN]
        parts = [build_pairs(asked, drawn, severity=severity, choice=choice, seed=seed)] if drawn else []
        if write is not None and (styles := [kind for kind in wanted if kind in REWRITTEN]):
            written = reword(asked, styles, write, about=write.about)
            parts, records = [*parts, written.pairs], written.records
        found = Pairs(tuple(pair for part in parts for pair in part.pairs), pl.concat([part.report for part in parts]))
    beside: tuple[Pair, ...] = ()
    if n_tokens is not None:
        try:
            beside = controls(found.pairs, n_tokens, seed=seed).pairs
        except StimulusError:
            beside = ()
    return StudyTexts(found.pairs, items, beside, found.report, records)
