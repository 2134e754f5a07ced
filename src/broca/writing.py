"""How people write: letters with the marks on them, the scripts that letters are of, whole words, and scripts without spaces.

A letter here is what a reader counts as one, Unicode's extended grapheme cluster (UAX 29) with every mark behind it: "é" whether composed or not, a
Devanagari or Hangul syllable, a Thai consonant with its vowel and tone. Below are only the library `regex`, and the standard one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

import regex

from broca.items import Span

WORD_CHARACTER = r"[\w\p{N}]"
"""A pattern of `regex` for what words are written with: letters, their marks, joiners, numbers of every kind, underscores."""
_MARKS = r"\p{M}\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}"
# Unicode parts a few vowels and tones of Myanmar and Ahom from their letter, and yet they are marks
# flags are written out, as \X counts back over all flags before each
CLUSTER = rf"(?:\p{{GCB=Regional_Indicator}}{{2}}[{_MARKS}]*|\X)(?:(?=\p{{M}})\X)*"
"""A pattern of `regex` for a letter, sign or space with the marks that belong to it."""
LETTER = rf"(?=\p{{L}}){CLUSTER}"
"""A pattern of `regex` for a letter with its marks."""
LETTERS = rf"\p{{L}}[\p{{L}}{_MARKS}]*"
"""A pattern of `regex` for letters beside each other, with their marks."""
MARKED = rf"[{_MARKS}]*"
"""A pattern of `regex` for the marks that belong to a sign."""

_WORD = regex.compile(rf"{WORD_CHARACTER}+")
_CLUSTER = regex.compile(CLUSTER)

# The scripts of Unicode 15.1; letters of later ones are of no script here.
_SCRIPTS = (
    "Latin Greek Cyrillic Armenian Hebrew Arabic Syriac Thaana Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu "
    "Kannada Malayalam Sinhala Thai Lao Tibetan Myanmar Georgian Hangul Ethiopic Cherokee Canadian_Aboriginal Ogham Runic "
    "Khmer Mongolian Hiragana Katakana Bopomofo Han Yi Old_Italic Gothic Deseret Tagalog Hanunoo Buhid Tagbanwa Limbu "
    "Tai_Le Linear_B Ugaritic Shavian Osmanya Cypriot Buginese Coptic New_Tai_Lue Glagolitic Tifinagh Syloti_Nagri "
    "Old_Persian Kharoshthi Balinese Cuneiform Phoenician Phags_Pa Nko Sundanese Lepcha Ol_Chiki Vai Saurashtra Kayah_Li "
    "Rejang Lycian Carian Lydian Cham Tai_Tham Tai_Viet Avestan Egyptian_Hieroglyphs Samaritan Lisu Bamum Javanese "
    "Meetei_Mayek Imperial_Aramaic Old_South_Arabian Inscriptional_Parthian Inscriptional_Pahlavi Old_Turkic Kaithi Batak "
    "Brahmi Mandaic Chakma Meroitic_Cursive Meroitic_Hieroglyphs Miao Sharada Sora_Sompeng Takri Caucasian_Albanian "
    "Bassa_Vah Duployan Elbasan Grantha Pahawh_Hmong Khojki Linear_A Mahajani Manichaean Mende_Kikakui Modi Mro "
    "Old_North_Arabian Nabataean Palmyrene Pau_Cin_Hau Old_Permic Psalter_Pahlavi Siddham Khudawadi Tirhuta Warang_Citi "
    "Ahom Anatolian_Hieroglyphs Hatran Multani Old_Hungarian SignWriting Adlam Bhaiksuki Marchen Newa Osage Tangut "
    "Masaram_Gondi Nushu Soyombo Zanabazar_Square Dogra Gunjala_Gondi Hanifi_Rohingya Makasar Medefaidrin Old_Sogdian "
    "Sogdian Elymaic Nandinagari Nyiakeng_Puachue_Hmong Wancho Chorasmian Dives_Akuru Khitan_Small_Script Yezidi "
    "Cypro_Minoan Old_Uyghur Tangsa Toto Vithkuqi Kawi Nag_Mundari"
)
_SCRIPT = regex.compile("|".join(rf"(?P<{name}>\p{{Script={name}}})" for name in _SCRIPTS.split()))
_WIDTHS = {"<wide>": " (full width)", "<narrow>": " (half width)"}

WIDE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}\p{Tangut}\p{Nushu}\u30fc\uff70"
"""Of a set: scripts in which nothing is parted by spaces, words of other scripts included. The long marks are of two scripts."""
# Tibetan syllables are parted by a tsheg, which is a mark.
_RUNNING = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Javanese}\p{Balinese}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}"
UNSPACED = rf"[[{WIDE}{_RUNNING}]&&[\p{{L}}\p{{M}}\p{{Nl}}\u0f0b\u0f0c]]"
"""A pattern of `regex` (V1) for a letter or mark of a script that is written without spaces between words."""
_UNSPACED = regex.compile(UNSPACED, regex.V1)
_SPACED = regex.compile(rf"[{WORD_CHARACTER}--{UNSPACED}]", regex.V1)
_MARK = regex.compile(r"\p{M}")


def clusters(text: str) -> Sequence[str]:
    """The letters, signs and spaces of a text, each with the marks that belong to it; together they are the text."""
    # most texts are plain, and a string is the sequence of its characters
    return text if text.isascii() and "\r" not in text else _clusters(text)


@lru_cache(maxsize=1024)
def _clusters(text: str) -> tuple[str, ...]:
    return tuple(_CLUSTER.findall(text))


def words_in(text: str) -> list[str]:
    """The words and numbers of a text, whatever stands between them."""
    return _WORD.findall(text)


def is_letter(cluster: str) -> bool:
    """Whether a cluster is a letter; figures that are written with one, such as 三, are none."""
    return cluster[:1].isalpha() and not cluster[:1].isnumeric()


@lru_cache(maxsize=65536)
def script(letter: str) -> str:
    """The script of a letter, as Unicode names it, forms of full and of half width apart; empty for letters of none or of several."""
    found = _SCRIPT.match(letter)
    if found is None or found.lastgroup is None:
        return ""
    form, *_ = unicodedata.decomposition(letter[0]).split(" ")
    return found.lastgroup + _WIDTHS.get(form, "")


def normalise(text: str) -> str:
    """A text in Unicode's form NFC, in which what looks the same is the same."""
    return unicodedata.normalize("NFC", text)


def is_unspaced(cluster: str) -> bool:
    """Whether a cluster is of a script that is written without spaces between words."""
    return _UNSPACED.match(cluster) is not None


def occurrences(text: str, phrase: str, *, ignore_case: bool = False) -> tuple[Span, ...]:
    """Where a phrase stands in a text as whole words; where its script has no spaces, wherever it stands.

    Composed and decomposed accents are the same, and no letter is found without its marks.
    """
    plain, wanted = normalise(text), normalise(phrase)
    if not wanted:
        return ()
    spans: list[Span] = []
    for found in _matches(wanted, plain, ignore_case=ignore_case):
        start, end = found
        if (not spans or start >= spans[-1][1]) and _is_whole(plain, start, end):
            spans.append(found)
    if plain == text or not spans:
        return tuple(spans)
    # letter by letter both forms are the same
    ends = dict(zip(_ends(plain), _ends(text), strict=True))
    return tuple((ends[start], ends[end]) for start, end in spans if start in ends and end in ends)


def _matches(phrase: str, text: str, *, ignore_case: bool) -> Iterator[Span]:
    """Every place of a phrase, those that overlap too."""
    for found in re.finditer(rf"(?=({re.escape(phrase)}))", text, re.IGNORECASE if ignore_case else 0):
        yield found.span(1)


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether no word goes on beyond these characters, and no mark."""
    if _MARK.match(text, end):
        return False
    first, last = clusters(text[start:end])[0], clusters(text[start:end])[-1]
    before, after = _SPACED.match(text[start - 1 : start]), _SPACED.match(text, end)
    return (before is None or is_unspaced(first)) and (after is None or is_unspaced(last))


def _ends(text: str) -> list[int]:
    """Where each letter of a text ends, after the start of the text."""
    return [0, *accumulate(map(len, clusters(text)))]
