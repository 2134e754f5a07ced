"""One perturbed text: seeded, pure, with every edit on record."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from broca.errors import StimulusError
from broca.items import Edit, Span, apply_edits
from broca.registry import unknown
from broca.stimuli.perturb.kinds import KINDS, Kind, Severity
from broca.stimuli.perturb.letters import Spot
from broca.stimuli.perturb.styles import STYLES, apply_style
from broca.stimuli.perturb.words import ANY_WORD, Choice, Word, order_words, protected_spans, words


@dataclass(frozen=True, slots=True)
class PerturbedText:
    """A perturbed text, and the edits that lead to it from the clean one."""

    text: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class CleanText:
    """A clean text with its protected spans, and its words in the order in which they are tried."""

    text: str
    protected: tuple[Span, ...]
    words: tuple[Word, ...]
    seed: int


ONE_WORD = Severity(words=1)


def perturb(
    text: str,
    kind: str,
    *,
    severity: Severity = ONE_WORD,
    seed: int = 0,
    choice: Choice = ANY_WORD,
    protect: Iterable[str | Span] = (),
) -> PerturbedText:
    """`text` perturbed in one way; the same arguments always give the same result.

    Args:
        text: what is perturbed; its protected spans (`broca.stimuli.perturb.words.protected_spans`) are not.
        kind: a name of `KINDS` or `STYLES`.
        severity: how much. Styles have none, and ``two`` and ``three`` have their own.
        seed: of every draw. The words are drawn without regard to the kind, so kinds edit the same words where they can.
        choice: which words may be edited.
        protect: answers, options and the like, each wherever it stands; or spans.

    Raises:
        UnknownName: if there is no such kind.
        StimulusError: if the text has too few words that this kind can edit.
    """
    check_kinds([kind])
    if kind in STYLES:
        return PerturbedText(*apply_style(text, kind, protected_spans(text, protect), seed))
    return draw(prepare(text, seed=seed, choice=choice, protect=protect), KINDS[kind], severity)


def prepare(text: str, *, seed: int = 0, choice: Choice = ANY_WORD, protect: Iterable[str | Span] = ()) -> CleanText:
    """What all kinds need to know of a text, worked out once.

    Raises:
        StimulusError: if a span to protect lies outside the text.
    """
    kept = protected_spans(text, protect)
    return CleanText(text, kept, order_words(text, words(text, kept, choice), choice, seed), seed)


def draw(source: CleanText, kind: Kind, severity: Severity = ONE_WORD) -> PerturbedText:
    """A prepared text perturbed in one way.

    Raises:
        StimulusError: if it has too few words that this kind can edit.
    """
    rng = random.Random(f"{source.seed}\0{kind.name}\0{source.text}")  # noqa: S311 - a draw of typos, not a secret
    if kind.words is None and severity.edits is not None:
        found = _exactly(source, kind, severity.edits, rng)
    else:
        found = _one_each(source, kind, severity, rng)
    edits = tuple(sorted(found, key=lambda edit: (edit.start, edit.end)))
    return PerturbedText(apply_edits(source.text, edits), edits)


def can(word: Word, kind: Kind) -> bool:
    """Whether a kind can edit a word."""
    return bool(kind.spots(word))


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse names that are no kinds.

    Raises:
        UnknownName: for the first of them.
    """
    for kind in kinds:
        if kind not in KINDS and kind not in STYLES:
            raise unknown("Kind of perturbation", kind, (*KINDS, *STYLES))


def _one_each(source: CleanText, kind: Kind, severity: Severity, rng: random.Random) -> list[Edit]:
    wanted = kind.words or severity.words
    if wanted is None:
        assert severity.rate is not None
        able = sum(can(word, kind) for word in source.words)
        wanted = max(1, round(severity.rate * able))
    edits: list[Edit] = []
    for word in source.words:
        if len(edits) == wanted:
            break
        spots = [spot for spot in kind.spots(word) if _clear(spot, edits)]
        if spots:
            edits.append(_draw_edit(source.text, word, kind, spots, rng))
    return _enough(source, kind, edits, wanted, "words")


def _exactly(source: CleanText, kind: Kind, wanted: int, rng: random.Random) -> list[Edit]:
    """Edits in words drawn with replacement; the first in the first word, as for every other kind."""
    edits: list[Edit] = []
    open_ = list(source.words)
    while open_ and len(edits) < wanted:
        word = open_[0] if not edits else rng.choice(open_)
        spots = [spot for spot in kind.spots(word) if _clear(spot, edits)]
        if spots:
            edits.append(_draw_edit(source.text, word, kind, spots, rng))
        else:
            open_.remove(word)
    return _enough(source, kind, edits, wanted, "edits")


def _enough(source: CleanText, kind: Kind, edits: list[Edit], wanted: int, what: str) -> list[Edit]:
    if len(edits) < wanted:
        raise StimulusError(
            f"{wanted} {what} of kind {kind.name!r} were asked for, and {source.text[:60]!r} has room for {len(edits)} "
            f"outside of what is protected. Ask for less, allow shorter words, or leave the text out."
        )
    return edits


def _clear(spot: Spot, edits: Sequence[Edit]) -> bool:
    """Whether a spot lies apart from all edits: what touches would read as one edit of another kind."""
    return all(spot[1] < edit.start or edit.end < spot[0] for edit in edits)


def _draw_edit(text: str, word: Word, kind: Kind, spots: Sequence[Spot], rng: random.Random) -> Edit:
    start, end, afters = spots[int(rng.random() * len(spots))]
    return Edit(start, end, text[start:end], afters[int(rng.random() * len(afters))], kind.name, word.index)
