"""The words of a text that may be edited: what is protected, which words are chosen, and in which order.

The order depends on the text and the seed alone, never on the kind of perturbation: so every kind edits the same words
where it can.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

import regex

from broca.errors import StimulusError
from broca.items import Span
from broca.writing import LETTER, LETTERS, MARKED, WORD_CHARACTER, clusters, is_letter, normalise, occurrences, script

_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half third "
    "quarter first second once twice"
)
NUMBER_WORDS = frozenset(_NUMBERS.split())
"""Words that are numbers: never edited, and never made of another word."""

_FUNCTION = (
    "a an and any are as at be been but by can could did do does for from had has have he her his how i if in is it its "
    "let may me might my no nor not of on or our out shall she should so some than that the their them then there these "
    "they this those to up us was we were what when where which who whom whose why will with would you your"
)
FUNCTION_WORDS = frozenset(_FUNCTION.split())
"""Words of grammar, which `Choice.content` leaves alone."""

_PROTECTED = regex.compile(
    r"```.*?(?:```|\Z)"  # a block of code
    r"|`[^`\n]+`"
    r"|(?:https?://|www\.)\S+"
    r"|[\w.+-]{1,64}@[\w-]+\.[\w.-]+"  # more than 64 signs before it are no address, and would be looked at again from each
    r"|<\|[^|<>]*\|>|</?[A-Za-z_][\w:-]*/?>|\[/?[A-Z_]{2,}\]"  # markers of templates, places of images
    r"|\{[^{}\n]*\}|\$[^$\n]+\$"  # fields to fill in, formulas
    rf"|(?:^|(?<=\n))[ \t]*[(（]?(?:{LETTER}|\d{{1,2}})(?:[.)][ \t]|[．）])[^\n]*"  # options under letters or numbers
    rf"|(?:\G|(?<!{WORD_CHARACTER})){WORD_CHARACTER}*\p{{N}}(?:[\w\p{{N}}.,]*{WORD_CHARACTER})?"
    r"|[+*/=<>^%|\\×÷−±≤≥≠√∙·]+|(?<=[\s\d(])-(?=[\s\d(.])",
    regex.DOTALL,
)
APOSTROPHES = "'’＇׳״"
"""Signs that stand within a word: apostrophes, and what Hebrew puts in abbreviations."""
# what has no width and parts no words, a soft hyphen and a word joiner, is within a word too
_WORD = regex.compile(rf"{LETTERS}(?:[{APOSTROPHES}\u00ad\u2060]{LETTERS})*")
_JOINERS = "\u200c\u200d"
_MARKS = regex.compile(MARKED)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text that may be edited."""

    text: str
    start: int
    index: int
    """Which word of the text it is, counted from 0; protected ones count."""
    after: str
    """The sign that follows the word, with its marks; empty at the end of the text or before something protected."""
    joins: bool
    """Whether a single blank divides it from another word that may be edited."""
    alphabets: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)
    """The letters of its text, as `alphabets` gives them."""

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def letters(self) -> Sequence[str]:
        """Its letters, each with its marks, and the apostrophes among them."""
        return clusters(self.text)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which words may be edited. There is no part-of-speech tagger: `content` goes by a list of words of grammar."""

    min_letters: int = 3
    """Shorter words are left alone. Marks do not count, and each consonant of a Devanagari syllable does."""
    content: bool = False
    """Leave words of grammar ("the", "of", "you") alone."""
    where: Literal["any", "first", "last"] = "any"
    """Try words in random order, from the start of the text, or from its end."""
    among: frozenset[str] = frozenset()
    """Edit these words only, in lower case; all by default."""

    def __post_init__(self) -> None:
        if self.min_letters < 1:
            raise StimulusError(f"min_letters is {self.min_letters}. Words have at least 1 letter.")

    def takes(self, word: str) -> bool:
        """Whether a word may be edited."""
        low = normalise(word.lower())
        return (
            len(_MARKS.sub("", low)) >= self.min_letters
            and low not in NUMBER_WORDS
            and not (self.content and low in FUNCTION_WORDS)
            and (not self.among or low in map(normalise, self.among))
        )


ANY_WORD = Choice()
"""The default: any word of three letters or more."""


def protected_spans(text: str, extra: Iterable[str | Span] = ()) -> tuple[Span, ...]:
    """The spans that no perturbation touches, in order, none over another.

    Code, links and addresses, markers of templates and places of images, fields to fill in, formulas, options under letters,
    everything with a digit, number words, and signs of arithmetic.

    Args:
        text: where they are looked for.
        extra: answers and the like, each wherever it stands as whole words; or spans.

    Raises:
        StimulusError: if a span lies outside the text.
    """
    spans = [found.span() for found in _PROTECTED.finditer(text) if found.end() > found.start()]
    spans += [found.span() for found in _WORD.finditer(text) if found[0].lower() in NUMBER_WORDS]
    for one in extra:
        if isinstance(one, str):
            spans += occurrences(text, one.strip())
        elif 0 <= one[0] <= one[1] <= len(text):
            spans.append(one)
        else:
            raise StimulusError(f"({one[0]}, {one[1]}) is no span of a text of {len(text)} characters. Check the span.")
    merged: list[Span] = []
    for start, end in _whole(text, sorted(spans)):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def words(text: str, kept: Sequence[Span], choice: Choice = ANY_WORD) -> tuple[Word, ...]:
    """The words that may be edited, in the order of the text; those that touch a protected span may not."""
    starts = [start for start, _ in kept]

    def free(start: int, end: int) -> bool:
        before = bisect_right(starts, end) - 1
        return before < 0 or kept[before][1] < start

    ends = _ends(text)
    places = None if ends is None else frozenset(ends)
    found = list(enumerate(match for match in _WORD.finditer(text) if places is None or match.start() in places))
    open_ = [free(match.start(), match.end()) for _, match in found]
    own = alphabets(text)
    made = []
    for (index, match), is_open in zip(found, open_, strict=True):
        if not is_open or not choice.takes(match[0]):
            continue
        end = match.end()
        after = _sign(text, end)
        # without what parts them, a consonant may run together with the next one: more than the blank would be gone
        letter, beyond = clusters(match[0])[-1], _sign(text, end + len(after))
        apart = len(clusters(letter + beyond)) == len((letter, beyond)) or not beyond
        joins = (
            apart
            and index + 1 < len(found)
            and open_[index + 1]
            and found[index + 1][1].start() == end + 1
            and after == " "
        )
        after = after if apart and free(end, end + len(after)) else ""
        made.append(Word(match[0], match.start(), index, after, joins, own))
    return tuple(made)


def order_words(text: str, found: Sequence[Word], choice: Choice, seed: int) -> tuple[Word, ...]:
    """Words in the order in which they are tried: a function of the text and the seed, the same for every kind."""
    if choice.where != "any":
        return tuple(found if choice.where == "first" else reversed(found))
    order = list(found)
    random.Random(f"{seed}\0{text}").shuffle(order)  # noqa: S311 - a choice of words, not a secret
    return tuple(order)


def alphabets(text: str) -> dict[str, tuple[str, ...]]:
    """The letters of a text by their script, in lower case, in the order in which they first stand there; Latin ones are left out.

    They are what other letters of these scripts are drawn from: the text says best which letters its language has, and a script
    of many languages, or of thousands of signs, has few that any one text could have.
    """
    found: dict[str, dict[str, None]] = {}
    for cluster in () if text.isascii() else clusters(text):
        name = script(cluster) if is_letter(cluster) else ""
        if name and name != "Latin":
            found.setdefault(name, {})[cluster.lower().rstrip(_JOINERS)] = None
    return {name: tuple(letters) for name, letters in found.items()}


def _sign(text: str, at: int) -> str:
    """The one cluster that begins at a place; a few characters are enough to see where it ends."""
    return next(iter(clusters(text[at : at + 8])), "")


def _whole(text: str, spans: Sequence[Span]) -> Sequence[Span]:
    """Spans that reach to the ends of the letters and signs that they cut."""
    ends = _ends(text)
    if ends is None:
        return spans
    return [(ends[bisect_right(ends, start) - 1], ends[bisect_left(ends, end)]) for start, end in spans]


def _ends(text: str) -> list[int] | None:
    """Where letters and signs end, after the start of the text; None where each is one character."""
    parts = clusters(text)
    return None if parts is text else list(accumulate(map(len, parts), initial=0))
