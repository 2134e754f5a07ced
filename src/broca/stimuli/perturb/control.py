"""Controls: valid texts that differ from the clean one by as many tokens as the perturbed one does, with no mistake in them.

They tell what a typo does from what a longer, or a rarer, tokenisation does.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import product

import regex

from broca.errors import StimulusError
from broca.items import Edit, Pair, Span, apply_edits
from broca.stimuli.perturb.checks import Pairs, Tally, broken, report
from broca.stimuli.perturb.letters import alike
from broca.stimuli.perturb.lists import synonyms
from broca.stimuli.perturb.styles import apply_style
from broca.stimuli.perturb.words import Choice, Word, protected_spans, words
from broca.writing import LETTERS

CONTROL = "control"
"""The kind of a control; the tag ``of`` has the kind of what it controls for, and ``how`` what was done."""

_CLOSERS = ("now", "today", "here", "next", "again", "this time", "for me", "right now", "if you can")
_OPENERS = (
    *("Okay. ", "Good. ", "Hello. ", "All right. ", "Here we go. ", "Here is another. ", "Good morning to you. "),
    *("Let me ask you something. ", "I have something for you. ", "This is the next one on my list. "),
)
_ASKING = "a an the of for to from with by is are was be in on at and or as that this what how"
_OPEN_ENDED = frozenset(_ASKING.split())
_CLOSE = re.compile(r"(?<=[a-z])(?=[:.?!](?:\s|$))")
_WORD = regex.compile(LETTERS)

Made = tuple[str, tuple[Edit, ...]]


def controls(pairs: Iterable[Pair], n_tokens: Callable[[str], int], *, seed: int = 0) -> Pairs:
    """A control for each pair for which one is found, kinds apart in the report.

    Tried in this order, until the number of tokens fits: a near synonym of the edited word; words before a colon or stop; a
    near synonym of another word; sentences in front; both; the courtesies taken off.

    Args:
        pairs: what is controlled for.
        n_tokens: the number of tokens of a text, in the model that will read them.
        seed: of the order of candidates.

    Raises:
        StimulusError: if no pair has a control.
    """
    tallies: dict[str, Tally] = {}
    found: list[Pair] = []
    given = 0
    for pair in pairs:
        given += 1
        tally = tallies.setdefault(pair.kind, Tally())
        tally.counts["asked"] += 1
        wanted = n_tokens(pair.perturbed) - n_tokens(pair.clean)
        made = control(pair, n_tokens, wanted, seed=seed)
        if made is None:
            tally.counts["impossible"] += 1
            continue
        tally.counts["made"] += 1
        tally.measure(pair.clean, made.perturbed)
        found.append(made)
    if not found:
        raise StimulusError(
            f"None of {given} pairs has a control: no valid variant has the number of tokens that is wanted. Give more texts."
        )
    return Pairs(tuple(found), report(tallies))


def control(pair: Pair, n_tokens: Callable[[str], int], wanted: int, *, seed: int = 0) -> Pair | None:
    """A valid variant of a clean text with `wanted` more tokens; None where none is found."""
    base = n_tokens(pair.clean)
    kept = protected_spans(pair.clean, [pair.answer] if pair.answer else ())
    for how, (text, edits) in _candidates(pair, kept, seed):
        if n_tokens(text) - base == wanted and not broken(pair.clean, text, edits, protected=kept, spaces=True):
            tags = {**pair.tags, "of": pair.kind, "how": how}
            return Pair(f"{pair.id}/{CONTROL}", pair.clean, text, edits, CONTROL, pair.group, pair.answer, tags)
    return None


def _candidates(pair: Pair, kept: tuple[Span, ...], seed: int) -> Iterator[tuple[str, Made]]:
    text = pair.clean
    draw = random.Random(f"{seed}\0{text}")  # noqa: S311 - an order of words, not a secret
    hit = {edit.word for edit in pair.edits}
    found = words(text, kept, Choice(min_letters=1))
    own = [edit for word in found if word.index in hit for edit in _synonyms(word)]
    others = [edit for word in found if word.index not in hit for edit in _synonyms(word)]
    closers = [Edit(at, at, "", f" {said}", CONTROL) for at in _places(text, kept) for said in _CLOSERS]
    openers = [Edit(0, 0, "", said, CONTROL) for said in _OPENERS]
    openers += [Edit(0, 0, "", a + b, CONTROL) for a, b in product(_OPENERS, repeat=2) if a != b]
    for some in (own, others, closers, openers):
        draw.shuffle(some)
    for how, some in (("synonym", own), ("closer", closers), ("synonym-elsewhere", others), ("opener", openers)):
        for edit in some:
            yield how, (apply_edits(text, [edit]), (edit,))
    for first, second in product(openers[: len(_OPENERS)], (*own, *others, *closers)):
        if second.start > 0:
            yield "opener-and-other", (apply_edits(text, [first, second]), (first, second))
    try:
        yield "shorter", apply_style(text, "shorter", kept, seed)
    except StimulusError:
        return


def _synonyms(word: Word) -> list[Edit]:
    said = synonyms().get(word.text.lower(), ())
    return [Edit(word.start, word.end, word.text, alike(word.text, other), CONTROL, word.index) for other in said]


def _places(text: str, kept: tuple[Span, ...]) -> list[int]:
    """Where a sentence or clause ends in a word that does not ask for more."""
    places = [found.start() for found in _CLOSE.finditer(text)]
    last = {found.end(): found[0].lower() for found in _WORD.finditer(text)}
    before = [bisect_left(kept, (at,)) for at in places]  # how many of the spans begin before a place
    inside = [n > 0 and at <= kept[n - 1][1] for at, n in zip(places, before, strict=True)]
    return [at for at, hit in zip(places, inside, strict=True) if not hit and last[at] not in _OPEN_ENDED]
