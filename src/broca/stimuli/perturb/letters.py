"""Spots: where one word can be perturbed, and what may then stand there.

Each function takes a word and lists its spots without any chance; the draw is made elsewhere. No spot leaves the text as
it is, and none parts a letter from its marks. What replaces a capital is a capital.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import accumulate, pairwise

import regex

from broca.stimuli.perturb import layouts
from broca.stimuli.perturb.words import APOSTROPHES, Word
from broca.writing import clusters, is_letter, is_unspaced, normalise, script

Spot = tuple[int, int, tuple[str, ...]]
"""First character in the text, the one after the last, and what may replace them; each is as likely."""

Spots = Callable[[Word], Sequence[Spot]]

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_VOWELS = frozenset("aeiouAEIOU")
_STOP = "."
_INNER_ORDERS = 8
_ENDS = regex.compile(r"\p{Terminal_Punctuation}")


def transpose(word: Word) -> list[Spot]:
    """Two letters beside each other trade places."""
    return [
        spot
        for i, (a, b) in enumerate(pairwise(word.letters))
        if not _same(a, b) and is_letter(a) and is_letter(b)
        for spot in _spot(word, i, i + 2, [(b, a)])
    ]


def delete(word: Word) -> list[Spot]:
    """A letter is missing; never the only one."""
    if len(word.letters) < 2:
        return []
    return [spot for i, _ in _letters(word) for spot in _spot(word, i, i + 1, [()])]


def insert(word: Word) -> list[Spot]:
    """Another letter than those beside it is put in between two letters or at the end."""
    letters = word.letters
    found: list[Spot] = []
    for i in range(1, len(letters) + 1):
        beside = letters[i - 1 : i + 1]
        name = next((own for own in map(script, (*beside, *letters)) if own), "")
        found += _spot(word, i, i, [(other,) for other in _but(word, name, beside)])
    return found


def duplicate(word: Word) -> list[Spot]:
    """A letter is typed twice."""
    return [spot for i, letter in _letters(word) for spot in _spot(word, i + 1, i + 1, [(letter.lower(),)])]


def substitute(word: Word) -> list[Spot]:
    """Another letter stands in its place."""
    return [
        spot
        for i, letter in _letters(word)
        for spot in _spot(word, i, i + 1, _like(letter, _but(word, script(letter), [letter])))
    ]


def keyboard(layout: str, word: Word) -> list[Spot]:
    """A letter beside it on the keyboard stands in its place."""
    by = _neighbours(layout)
    return [
        spot
        for i, letter in _letters(word)
        if letter.lower() in by
        for spot in _spot(word, i, i + 1, _like(letter, by[letter.lower()]))
    ]


def homoglyph(word: Word) -> list[Spot]:
    """A Cyrillic or Greek letter that looks the same stands in its place."""
    return _replace_letters(word, layouts.HOMOGLYPHS)


def leet(word: Word) -> list[Spot]:
    """A digit or sign that looks alike stands in its place."""
    return _replace_letters(word, {letter: layouts.LEET.get(letter.lower(), ()) for letter in word.letters})


def ocr(word: Word) -> list[Spot]:
    """What a scanner takes a letter or two for."""
    letters, at = word.letters, _places(word)
    return [
        (at[i], at[i + n], layouts.OCR[read])
        for n in (1, 2)
        for i in range(len(letters) + 1 - n)
        if (read := "".join(letters[i : i + n])) in layouts.OCR
    ]


def zero_width(word: Word) -> list[Spot]:
    """A character without width stands between two letters."""
    return [(at, at, layouts.INVISIBLE) for at in _places(word)[1:-1]]


def case(word: Word) -> list[Spot]:
    """A letter is in the other case."""
    return [
        spot
        for i, letter in _letters(word)
        if letter.swapcase() != letter
        for spot in _spot(word, i, i + 1, [(letter.swapcase(),)])
    ]


def vowels(word: Word) -> list[Spot]:
    """All vowels but a first letter are missing ("slv ths sm")."""
    letters = word.letters
    places = [i for i, letter in enumerate(letters) if letter in _VOWELS and i]
    if not places or len(places) == len(letters):
        return []
    first, last = places[0], places[-1] + 1
    return _spot(word, first, last, [[letter for letter in letters[first:last] if letter not in _VOWELS]])


def shuffle(word: Word) -> list[Spot]:
    """The letters between the first and the last are in another order; of words that are parted by spaces, as `repeat`."""
    inner = tuple(word.letters[1:-1])
    if len(inner) < 2 or not all(map(is_letter, inner)) or any(map(is_unspaced, inner)):
        return []
    # orders drawn from the word itself: the same word has the same few
    draw = random.Random(word.text)  # noqa: S311 - an order of letters, not a secret
    orders = {tuple(draw.sample(inner, len(inner))) for _ in range(_INNER_ORDERS)}
    orders |= {inner[::-1], inner[1:] + inner[:1]}
    return _spot(word, 1, len(inner) + 1, sorted(orders - {inner}, key="".join))


def split(word: Word) -> list[Spot]:
    """A blank stands between two letters."""
    return [(at, at, (" ",)) for at in _places(word)[1:-1]]


def merge(word: Word) -> list[Spot]:
    """The blank after the word is missing."""
    return [(word.end, word.end + 1, ("",))] if word.joins else []


def stray_stop(word: Word) -> list[Spot]:
    """A full stop stands between two letters, or in the place of the blank after the word."""
    inside = [(at, at, (_STOP,)) for at in _places(word)[1:-1]]
    return [*inside, (word.end, word.end + 1, (_STOP,))] if word.joins else inside


def dropped_punctuation(word: Word) -> list[Spot]:
    """The comma, stop or other mark after the word is missing, or the apostrophe in it; a colon stays."""
    marks = [(word.end, word.end + len(word.after), ("",))] if _ends(word.after) else []
    return marks + [
        spot for i, letter in enumerate(word.letters) if letter in APOSTROPHES for spot in _spot(word, i, i + 1, [()])
    ]


def excess_punctuation(word: Word) -> list[Spot]:
    """A mark stands after the word that has none, or stands there three times."""
    if _ends(word.after):
        return [(word.end, word.end, (word.after * 2,))]
    return [(word.end, word.end, (",", ".", "!", "..."))] if word.joins else []


def repeat(word: Word) -> list[Spot]:
    """The word stands twice; where words are not parted by spaces, none can be told from what stands beside it."""
    if any(map(is_unspaced, word.letters)):
        return []
    return [
        (
            word.end,
            word.end,
            (f" {word.text.lower() if normalise(word.text).istitle() and word.text != 'I' else word.text}",),
        )
    ]


def grammar(word: Word) -> list[Spot]:
    """The word stands twice, or, once in four, a comma stands after it."""
    spots = repeat(word)
    return [*spots, *spots, *spots, (word.end, word.end, (",",))] if word.joins else spots


def several(*kinds: Spots) -> Spots:
    """The spots of any of these kinds, each kind as likely as its spots are many."""
    return lambda word: [spot for kind in kinds for spot in kind(word)]


def replace_listed(names: Mapping[str, tuple[str, ...]], word: Word) -> list[Spot]:
    """Another word of a list stands in its place."""
    others = names.get(word.text.lower())
    return [(word.start, word.end, tuple(alike(word.text, other) for other in others))] if others else []


def alike(word: str, other: str) -> str:
    """`other` with the capitals of `word`, if these are none, the first, or all."""
    if word.isupper() and len(word) > 1:
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other


def _letters(word: Word) -> list[tuple[int, str]]:
    return [(i, letter) for i, letter in enumerate(word.letters) if is_letter(letter)]


def _places(word: Word) -> list[int]:
    """Where each letter begins in the text, and where the last one ends."""
    return list(accumulate(map(len, word.letters), initial=word.start))


def _spot(word: Word, first: int, last: int, others: Iterable[Sequence[str]]) -> list[Spot]:
    """The spot over some letters of a word, with the rows of letters that may stand there; none if no row may.

    A row may not run together with what is beside it: then more would change than the kind says.
    """
    letters = word.letters
    before, after = letters[max(first - 1, 0) : first], letters[last : last + 1]
    kept = tuple(["".join(row) for row in others if _stand_apart((*before, *row, *after))])
    start = word.start + len("".join(letters[:first]))
    return [(start, start + len("".join(letters[first:last])), kept)] if kept else []


def _stand_apart(letters: tuple[str, ...]) -> bool:
    whole = "".join(letters)
    return len(whole) == len(letters) if whole.isascii() else tuple(clusters(whole)) == letters


def _replace_letters(word: Word, by: Mapping[str, tuple[str, ...]]) -> list[Spot]:
    return [
        spot
        for i, letter in _letters(word)
        if by.get(letter)
        for spot in _spot(word, i, i + 1, [(other,) for other in by[letter]])
    ]


def _like(letter: str, others: Iterable[str]) -> list[tuple[str]]:
    return [(other.upper() if letter.isupper() else other,) for other in others]


def _same(one: str, other: str) -> bool:
    return normalise(one.lower()) == normalise(other.lower())


def _but(word: Word, name: str, letters: Iterable[str]) -> tuple[str, ...]:
    """Other letters of a script than these: of Latin the 26, of others those that the text has."""
    taken = [normalise(letter.lower()) for letter in letters]
    if name == "Latin":
        return _latin("".join(taken))
    return tuple(letter for letter in word.alphabets.get(name, ()) if normalise(letter) not in taken)


@cache
def _latin(taken: str) -> tuple[str, ...]:
    return tuple(letter for letter in _ALPHABET if letter not in taken)


def _ends(sign: str) -> bool:
    """Whether a sign ends a clause or sentence in some script, as ``,.;!?`` do in Latin; colons and signs between words do not."""
    if not sign or _ENDS.fullmatch(sign) is None:
        return False
    return not {"COLON", "WORDSPACE", "SEPARATOR"} & set(unicodedata.name(sign, "").split())


@cache
def _neighbours(layout: str) -> Mapping[str, str]:
    return layouts.neighbours(layout)


ON_KEYBOARDS: Mapping[str, Spots] = {layout: partial(keyboard, layout) for layout in layouts.ROWS}
"""`keyboard` on each layout."""
