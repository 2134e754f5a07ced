"""The edits between two texts, where they are not known, and the words that edits fall into."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import regex
from rapidfuzz.distance import Levenshtein

from broca.items import Edit, Pair, Span
from broca.writing import CLUSTER, MARKED, WORD_CHARACTER, clusters

_PIECES = regex.compile(rf"(?:{WORD_CHARACTER}{MARKED})+|(?:\s{MARKED})+|{CLUSTER}")


_WORD_CHARACTER = regex.compile(rf"{WORD_CHARACTER}|['’]")


def edits_between(clean: str, perturbed: str, kind: str = "") -> tuple[Edit, ...]:
    """A short list of edits from one text to another, for pairs whose own is not known.

    Words are matched first and letters within the words that differ, both by Levenshtein's distance: so a word that differs
    altogether does not scatter over its neighbours. Letters are taken with their marks. Touching edits are one.
    """
    a, b = _PIECES.findall(clean), _PIECES.findall(perturbed)
    found: list[Edit] = []
    at = 0
    for op in Levenshtein.opcodes(a, b):
        before, after = "".join(a[op.src_start : op.src_end]), "".join(b[op.dest_start : op.dest_end])
        if op.tag != "equal":
            for (start, end), new in _differences(before, after):
                _append(found, Edit(at + start, at + end, before[start:end], new, kind))
        at += len(before)
    return tuple(found)


def _differences(before: str, after: str) -> Iterator[tuple[Span, str]]:
    """What differs between two texts, letter by letter: characters of the first, and what stands there in the second."""
    a, b = list(clusters(before)), list(clusters(after))
    ends = list(accumulate(map(len, a), initial=0))
    for part in Levenshtein.opcodes(a, b):
        if part.tag != "equal":
            yield (ends[part.src_start], ends[part.src_end]), "".join(b[part.dest_start : part.dest_end])


def _append(found: list[Edit], edit: Edit) -> None:
    if found and found[-1].end == edit.start:
        last = found.pop()
        edit = Edit(last.start, edit.end, last.before + edit.before, last.after + edit.after, edit.kind)
    found.append(edit)


def edited_words(pair: Pair) -> tuple[Span, ...]:
    """Characters of the clean text that are in edited words, in order, none over another.

    An edit reaches to the ends of the words that it lies in; one that parts or joins words takes both. Where only something
    is put in between two words, the span is empty, unless the edit names its word.
    """
    text, found = pair.clean, list[Span]()
    for edit in pair.edits:
        start, end = edit.start, edit.end
        inside = edit.word is not None or (_is_word(text[start - 1 : start]) and _is_word(text[end : end + 1]))
        if inside or _is_word(edit.before[:1]) or _is_word(edit.after[:1]):
            while start > 0 and _is_word(text[start - 1]):
                start -= 1
        if inside or _is_word(edit.before[-1:]) or _is_word(edit.after[-1:]):
            while end < len(text) and _is_word(text[end]):
                end += 1
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def _is_word(character: str) -> bool:
    return _WORD_CHARACTER.match(character) is not None
