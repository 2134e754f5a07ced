"""What a perturbation does inside: both runs of each pair compared at aligned tokens, kinds never pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from broca.cache.cache import Cache, Part, Progress
from broca.capture.compare import compare_pairs
from broca.capture.comparison import ComparedRuns
from broca.capture.pairs import AlignedPair
from broca.errors import GuardError
from broca.evidence.verdict import Guard
from broca.instruments.perturb.cases import offsets_in, operands_of
from broca.instruments.perturb.stimuli import StudyTexts
from broca.items import Pair, fingerprint
from broca.models.attention import check_tap
from broca.models.lm import LM
from broca.models.tokens import Chat
from broca.stimuli.alignment import align

_SEGMENTS = ("special", "prefix", "edited", "suffix", "operands")


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Tables of all kinds, one under the other; empty where nothing was compared."""

    points: pl.DataFrame
    heads: pl.DataFrame
    logits: pl.DataFrame
    guard: Guard | None
    warnings: tuple[str, ...]


_KEYS = {"kind": pl.String, "class": pl.String}
NOTHING = Comparisons(
    pl.DataFrame(schema={**_KEYS, "site": pl.String, "layer": pl.Int64, "relative_distance": pl.Float64}),
    pl.DataFrame(schema={"kind": pl.String, "query": pl.String, "layer": pl.Int64, "head": pl.Int64}),
    pl.DataFrame(schema={**_KEYS, "kl": pl.Float64}),
    None,
    (),
)


@dataclass(eq=False)
class _Kind:
    """One kind, compared when its first table is asked for."""

    lm: LM
    pairs: Sequence[Pair]
    chat: Chat
    attention: bool

    @cached_property
    def comparison(self) -> ComparedRuns:
        pairs = [_align_pair(self.lm, pair, self.chat) for pair in self.pairs]
        return compare_pairs(self.lm, pairs, attention=self.attention, lens=False)

    def table(self, name: str) -> Part:
        """Points, heads, logits, or what is degenerate."""
        if name == "degenerate":
            rows = [{"figure": figure, "why": "; ".join(why)} for figure, why in self.comparison.degenerate.items()]
            return pl.DataFrame(rows, schema={"figure": pl.String, "why": pl.String})
        if name == "heads" and not self.attention:
            return pl.DataFrame({"query": []}, schema={"query": pl.String})
        return getattr(self.comparison, name)()


def comparisons(lm: LM, texts: StudyTexts, *, most: int, chat: Chat, cache: Cache, progress: Progress) -> Comparisons:
    """Compare at most so many pairs of each kind.

    Args:
        lm: the model.
        texts: the pairs.
        most: pairs of a kind; 0 compares nothing.
        chat: whether the chat template is used.
        cache: remembers the tables of each kind.
        progress: told the kinds.
    """
    if not most:
        return NOTHING
    attention, warnings = _readable(lm)
    tables: dict[str, list[pl.DataFrame]] = {"points": [], "heads": [], "logits": [], "degenerate": []}
    for done, kind in enumerate(texts.kinds):
        progress("comparing runs", done, len(texts.kinds))
        some = [pair for pair in texts.pairs if pair.kind == kind][:most]
        own = _Kind(lm, some, chat, attention)
        key = {"cell": "compared", "pairs": fingerprint([pair.fingerprint for pair in some]), "chat": chat,
               "condition": list(lm.condition)}  # fmt: skip
        for name, parts in tables.items():
            part = cache(key | {"table": name}, lambda own=own, name=name: own.table(name))
            assert isinstance(part, pl.DataFrame)
            parts.append(part.with_columns(kind=pl.lit(kind)))
    progress("comparing runs", len(texts.kinds), len(texts.kinds))
    whole = {name: pl.concat(parts, how="diagonal_relaxed") for name, parts in tables.items()}
    return Comparisons(
        whole["points"],
        whole["heads"],
        whole["logits"],
        _guard(_moving(whole["degenerate"], whole["points"])),
        warnings,
    )


def _readable(lm: LM) -> tuple[bool, tuple[str, ...]]:
    try:
        check_tap(lm)
    except GuardError as error:
        return False, (f"Attention was not compared. {error}",)
    return True, ()


def _align_pair(lm: LM, pair: Pair, chat: Chat) -> AlignedPair:
    clean, perturbed = lm.tokenize([pair.clean, pair.perturbed], chat=chat)
    aligned = align(
        pair,
        offsets_in(pair, clean, pair.clean),
        offsets_in(pair, perturbed, pair.perturbed),
        operands=operands_of(pair),
    )
    return AlignedPair(
        clean,
        perturbed,
        {name: ((i,), (j,)) for name, (i, j) in aligned.points.items()},
        aligned.covers,
        {name: aligned.positions(name) for name in _SEGMENTS},
        pair.id,
    )


def _moving(degenerate: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    """Without the figures of places that no mistake can reach: there both runs are the same, in every layer."""
    far = points.group_by("kind", "class").agg(pl.col("relative_distance").max())
    still = far.filter(pl.col("relative_distance") < _SAME).select("kind", place=pl.col("class"))
    return degenerate.with_columns(place=pl.col("figure").str.extract(r" at (\S+)$")).join(
        still, on=["kind", "place"], how="anti"
    )


_SAME = 0.02
"""Relative distance that leaves a cosine within 2e-4 of 1."""


def _guard(degenerate: pl.DataFrame) -> Guard:
    if degenerate.is_empty():
        return Guard(
            "degenerate statistic",
            "passed",
            "No figure of the comparison is the same in every layer, or a number of tokens.",
        )
    told = degenerate.group_by("figure", "why", maintain_order=True).agg(pl.col("kind"))
    first = told.row(0, named=True)
    return Guard(
        "degenerate statistic", "marked",
        f"{len(told)} figures of the comparison measure no layer, such as {first['figure']} ({first['why']}) under {', '.join(first['kind'][:3])}.",
    )  # fmt: skip
