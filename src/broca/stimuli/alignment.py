"""Which token of a perturbed text is which of the clean one: through the characters, and through the edits that are known.

Unequal numbers of tokens are the normal case (72 to 97 % of pairs with a wrong letter), so position i of one run is not
position i of the other. Tokenisations come as the characters that each token covers; no model is needed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from broca.errors import StimulusError
from broca.items import Edit, Pair, Span
from broca.stimuli.edits import edited_words

TokenClass = Literal["special", "prefix", "edited", "between", "suffix", "operands", "answer"]
"""What a token is, the first of these that holds:

* special: it covers no characters (BOS and the like)
* edited: it shares a character with an edited word, or with what was put in
* answer: it is the last of the text, the one that the answer is predicted from
* operands: it shares a character with the operands
* prefix, suffix: it stands before the first edited word, or after the last one
* between: it stands between two edited words
"""


@dataclass(frozen=True, slots=True)
class Characters:
    """Places between the characters of a clean text, and where they are in the perturbed one."""

    edits: tuple[Edit, ...]

    def left(self, place: int) -> int:
        """Where a place is, in front of what was put in there; the start of the edit that it lies within."""
        shift = 0
        for edit in self.edits:
            if edit.start >= place:
                break
            if place < edit.end:
                return edit.start + shift
            shift += len(edit.after) - len(edit.before)
        return place + shift

    def right(self, place: int) -> int:
        """Where a place is, behind what was put in there; the end of the edit that it lies within."""
        shift = 0
        for edit in self.edits:
            if edit.start > place or (edit.start == place and edit.end > place):
                break
            if edit.start < place < edit.end:
                return edit.start + shift + len(edit.after)
            shift += len(edit.after) - len(edit.before)
        return place + shift

    def touches(self, span: Span) -> bool:
        """Whether an edit lies in a span, reaches into it, or puts something into its inside."""
        start, end = span
        return any(e.start < end and start < e.end if e.start < e.end else start < e.start < end for e in self.edits)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Two tokenisations of a pair, set against each other. Positions count special tokens."""

    matched: tuple[tuple[int, int], ...]
    """Clean and perturbed positions of the very same token, in order, each position once."""
    covers: tuple[tuple[int, ...], ...]
    """For each clean token, the perturbed tokens over its characters: one if it is matched, any number within an edited
    word, none where it is deleted or special without a partner."""
    clean: tuple[TokenClass, ...]
    """Of each clean token."""
    perturbed: tuple[TokenClass, ...]
    """Of each perturbed token."""
    points: Mapping[str, tuple[int, int]]
    """Clean and perturbed positions where runs are compared, those that there are: ``edited`` (the last piece of the last
    edited word), ``suffix`` (the first token after it), ``operands`` (their last token), ``answer`` (the last token)."""

    @property
    def coverage(self) -> float:
        """The share of the clean tokens that are matched."""
        return len(self.matched) / len(self.clean)

    def positions(self, of: TokenClass) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The clean and the perturbed positions of a class."""
        return (
            tuple(i for i, one in enumerate(self.clean) if one == of),
            tuple(i for i, one in enumerate(self.perturbed) if one == of),
        )


def align(pair: Pair, clean: Sequence[Span], perturbed: Sequence[Span], *, operands: Sequence[Span] = ()) -> Alignment:
    """The alignment of two tokenisations of a pair.

    Args:
        pair: with its edits.
        clean: the characters that each token of the clean text covers; an empty span for special tokens.
        perturbed: likewise of the perturbed text.
        operands: characters of the clean text that the answer rests on.

    Raises:
        StimulusError: if spans lie outside of the texts or run backwards, or only special tokens are there.
    """
    for spans, text in ((clean, pair.clean), (perturbed, pair.perturbed)):
        _check(pair, spans, text)
    _check(pair, operands, pair.clean)
    through = Characters(pair.edits)
    regions = edited_words(pair)
    moved = tuple((through.left(start), through.right(end)) for start, end in regions)
    moved_operands = [(through.right(start), through.left(end)) for start, end in operands]
    matched = _match_tokens(through, clean, perturbed)
    classes = _classes(clean, regions, operands), _classes(perturbed, moved, moved_operands)
    if set(classes[0]) == {"special"} or set(classes[1]) == {"special"}:
        raise StimulusError(
            f"Pair {pair.id!r}: no token covers a character. Give the offsets that the tokenizer reports."
        )
    beyond = (i for i, (start, end) in enumerate(clean) if start < end and start >= regions[-1][1])
    first_after = next(beyond, len(clean))
    return Alignment(
        matched=matched,
        covers=_covers(through, clean, perturbed, dict(matched), classes[0]),
        clean=classes[0],
        perturbed=classes[1],
        points=_points(*classes, matched, first_after),
    )


def _check(pair: Pair, spans: Sequence[Span], text: str) -> None:
    before = 0
    for start, end in spans:
        if start == end:
            continue
        if not 0 <= start < end <= len(text) or start < before:
            raise StimulusError(
                f"Pair {pair.id!r}: ({start}, {end}) is no span of a text of {len(text)} characters after character {before}. "
                "Give the offsets of this text's own tokens, in order."
            )
        before = start


def _match_tokens(through: Characters, clean: Sequence[Span], perturbed: Sequence[Span]) -> tuple[tuple[int, int], ...]:
    """Tokens over characters that no edit touches, where the other text has a token over just these.

    Several tokens may share a character (pieces of its bytes): they match in order if there are as many of them.
    """
    theirs: dict[Span, list[int]] = {}
    for j, span in enumerate(perturbed):
        theirs.setdefault(_key(span, j, perturbed), []).append(j)
    ours: dict[Span, list[int]] = {}
    for i, span in enumerate(clean):
        ours.setdefault(_key(span, i, clean), []).append(i)
    found: list[tuple[int, int]] = []
    for span, mine in ours.items():
        if span[0] >= 0:
            if through.touches(span):
                continue
            other = theirs.get((through.right(span[0]), through.left(span[1])), [])
        else:
            other = theirs.get(span, [])
        if len(other) == len(mine):
            found += zip(mine, other, strict=True)
    return tuple(sorted(found))


def _key(span: Span, i: int, spans: Sequence[Span]) -> Span:
    """The span of a token; of special ones, that they stand before (-1) or after (-2) the text, or within (-3)."""
    if span[0] != span[1]:
        return span
    if all(start == end for start, end in spans[:i]):
        return (-1, -1)
    return (-2, -2) if all(start == end for start, end in spans[i:]) else (-3, -3)


def _covers(
    through: Characters,
    clean: Sequence[Span],
    perturbed: Sequence[Span],
    matched: Mapping[int, int],
    classes: Sequence[TokenClass],
) -> tuple[tuple[int, ...], ...]:
    covers: list[tuple[int, ...]] = []
    real = [j for j, (start, end) in enumerate(perturbed) if start < end]
    starts, ends = [perturbed[j][0] for j in real], [perturbed[j][1] for j in real]
    for i, (start, end) in enumerate(clean):
        if i in matched:
            covers.append((matched[i],))
        elif start == end:
            covers.append(())
        else:
            if classes[i] == "edited":
                low, high = through.left(start), through.right(end)
            else:
                low, high = through.right(start), through.left(end)
            covers.append(tuple(real[bisect_right(ends, low) : bisect_left(starts, high)]) if low < high else ())
    return tuple(covers)


def _classes(spans: Sequence[Span], regions: Sequence[Span], operands: Sequence[Span]) -> tuple[TokenClass, ...]:
    last = max((i for i, (start, end) in enumerate(spans) if start < end), default=-1)
    return tuple(_class(span, regions, operands, is_last=i == last) for i, span in enumerate(spans))


def _class(span: Span, regions: Sequence[Span], operands: Sequence[Span], *, is_last: bool) -> TokenClass:
    if span[0] == span[1]:
        return "special"
    if _shares(span, regions):
        return "edited"
    if is_last:
        return "answer"
    if _shares(span, operands):
        return "operands"
    if not regions or span[1] <= regions[0][0]:
        return "prefix"
    return "suffix" if span[0] >= regions[-1][1] else "between"


def _shares(span: Span, others: Sequence[Span]) -> bool:
    return any(start < span[1] and span[0] < end for start, end in others)


def _points(
    clean: Sequence[TokenClass],
    perturbed: Sequence[TokenClass],
    matched: Sequence[tuple[int, int]],
    first_after: int,
) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    ends = [max((i for i, one in enumerate(side) if one == "edited"), default=None) for side in (clean, perturbed)]
    if ends[0] is not None and ends[1] is not None:
        found["edited"] = (ends[0], ends[1])
    after = [(i, j) for i, j in matched if i >= first_after and clean[i] != "special"]
    if after:
        found["suffix"] = after[0]
    within = [(i, j) for i, j in matched if clean[i] == "operands"]
    if within:
        found["operands"] = within[-1]
    last = [max(i for i, one in enumerate(side) if one != "special") for side in (clean, perturbed)]
    found["answer"] = (last[0], last[1])
    return found
