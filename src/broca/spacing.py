"""Whether a space stands between a text and what follows it, as a person would write: after a word one does, after "(" none.

Only the end of the text and the start of what follows are read, and earlier quotation marks where one ends the text: an opening
mark and a closing one may look the same. What is put between is the caller's affair.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import regex

from broca.writing import UNSPACED, WIDE, clusters, is_unspaced

_DIRECTIONS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks of direction, which have no width and part nothing."""
_JOINERS = "\u200b\u200c\u200d\u2060\u00ad\ufeff"
"""No width either, and they say that nothing else stands there: zero-width spaces and joiners, soft hyphens."""
_LEANING = "¿¡@\u0640\u1361"
"""Inverted marks, the at sign, the Arabic letter that only prolongs a word, the Ethiopic sign between words."""
_TIGHT = regex.compile(
    r"[^\s:\p{Pd}−][\p{Pd}−]+$|[^\s=<>!:+*/&|^~%\\·‧\p{Pd}−][=<>!:+*/&|^~%\\·‧\p{Pd}−]*[=</&^\\·‧]$|[\p{L}\p{N}]_$"
)
"""A sign between words or numbers that does not stand apart from what is before it: "well-", "7+5=", "km/", but not "7 + 5 ="."""
_NEGATIVE = regex.compile(r"[=<>*/+^,]\s*[-−–]$")
"""A sign that belongs to the number behind it: "x = -"."""
_CLOSING = regex.compile(
    r"(?:[.,;:!?…%‰\p{Pe}\p{Pf}]|[\u0964\u0965\u060c\u061b\u061f\u06d4])+(?:\s|$)|['’](?:s|t|re|ve|ll|d|m)\b|n['’]t\b"
)
_TAG = regex.compile(r"<\p{L}[\w:-]*(?:\s[^<>]*)?(?<!/)>$|<\|[^<>|]*\|>$")
_BOLD = regex.compile(r"(?:^|[\s\p{Ps}])\*\*$")
_ELISION = regex.compile(
    r"(?<![\p{L}\p{M}])(?:[cdjlmnosty]|(?:jus|lors|puis|quoi|quel|pres)?qu|(?:d?a|de|ne|su|co|que|be)ll|un|quest|sant|gl)['’]$",
    regex.IGNORECASE,
)
"""An article or the like that French and Italian write together with its word; and O'Brien, o'clock."""
_FULL = regex.compile(rf"(?:([{WIDE}\uff21-\uff3a\uff41-\uff5a])|({UNSPACED}))\p{{M}}*[\p{{N}}\p{{So}}…’”]*$", regex.V1)

_CLOSERS = {
    '"': '"”', "'": "'’", "“": '”"', "„": '“”"', "‟": "”", "‘": "’'", "‚": "‘’", "«": "»", "»": "«»", "‹": "›", "›": "‹›", "”": "”",
    "’": "’", "`": "`'",
}  # fmt: skip
"""What closes each sign that opens a quotation; several languages, so several for some."""
_QUOTE = regex.compile(rf"""\"{{3}}|'{{3}}|`+|[{"".join(_CLOSERS)}]""")
_PREFIX = regex.compile(r"(?<!\w)(?:[fbru]|[fb]r|r[fb])$", regex.IGNORECASE)
"""What stands before a string in code."""


def is_space_between(before: str, after: str) -> bool:
    """Whether a person would put a space between a text and what follows it.

    None stands where either brings white space; after an opening bracket or quotation mark (unless the text writes one
    after these), a hyphen, dash or other sign that touches the word before it, an opening tag; after and before full-width
    punctuation; and between words of scripts that are written without spaces.
    """
    text, more = before.rstrip(_DIRECTIONS), after.lstrip(_DIRECTIONS)
    if not text or not more or text[-1].isspace() or more[0].isspace() or text[-1] in _JOINERS:
        return False
    return not (_runs_on(text, more) or _leans(text) or (more[0].isnumeric() and _NEGATIVE.search(text[-16:])))


def is_closing(text: str) -> bool:
    """Whether a text begins with what no space stands before: a stop, a closing bracket, the rest of "isn't"."""
    return _CLOSING.match(text) is not None


def _runs_on(text: str, more: str) -> bool:
    """Whether script or width leave no room for a space."""
    if _is_wide_sign(text[-1]) or _is_wide_sign(more[0]):
        return True
    found = _FULL.search(text[-64:])
    return found is not None and (found[1] is not None or is_unspaced(clusters(more[:16])[0]))


def _is_wide_sign(character: str) -> bool:
    return unicodedata.category(character)[0] == "P" and unicodedata.east_asian_width(character) in "WF"


def _leans(text: str) -> bool:
    """Whether the text ends in something that belongs to what follows."""
    last = clusters(text[-16:])[-1][0]
    kind = unicodedata.category(last)
    if last in _CLOSERS and kind != "Ps":
        role = _role(text)
        return role == "opens" or (role == "apostrophe" and _ELISION.search(text) is not None)
    if kind == "Ps":
        earlier = [found.end() for found in regex.finditer(regex.escape(last), text[:-1])]
        return not earlier or not all(text[at].isspace() for at in earlier)
    if kind == "Sc":
        return _is_prefix(last, text)
    if last == "#":
        return len(text) == 1 or text[-2].isspace()
    return last in _LEANING or any(pattern.search(text[-256:]) for pattern in (_TIGHT, _TAG, _BOLD))


def _is_prefix(sign: str, text: str) -> bool:
    """Whether the sign of a currency at the end of a text begins an amount: "costs $", "US$", but not "5 €", "$x$"."""
    touched = text.rstrip(sign)
    bare = touched.rstrip()
    if bare[-1:].isnumeric():
        return False
    if touched != bare or not bare or unicodedata.category(bare[-1]) == "Ps":
        return True
    return text.count(sign) % 2 == 1 and (bare[-1].isupper() or not bare[-1].isalnum())


Role = Literal["opens", "closes", "apostrophe"]


@dataclass(frozen=True, slots=True)
class _Quotation:
    """A quotation that is open."""

    sign: str
    spaced: bool
    """Whether white space follows the sign, as in « oui »."""


def _role(text: str) -> Role:
    """What the quotation mark at the end of a text does."""
    stack: list[_Quotation] = []
    begun: list[_Quotation] = []
    role, ended = "apostrophe", -1
    for at, end, sign in _quotes(text):
        before = text[max(at - 3, 0) : at]
        room = not before or before[-1].isspace()
        last = next((i for i in range(len(stack) - 1, -1, -1) if sign in _CLOSERS[stack[i].sign]), None)
        if last is not None and (stack[last].spaced if room else unicodedata.category(before[-1]) != "Ps"):
            del stack[last:]
            role, ended = "closes", end
        elif room or (ended != at and _begins(before, sign)):
            stack.append(_Quotation(sign, spaced=text[end : end + 1].isspace()))
            begun.append(stack[-1])
            role = "opens"
        else:
            role = "apostrophe"
    earlier = [one.spaced for one in begun[:-1] if one.sign == text[-1]]
    return "closes" if role == "opens" and earlier and all(earlier) else role


def _quotes(text: str) -> Iterator[tuple[int, int, str]]:
    """Quotation marks and where they stand, threefold ones as one, without apostrophes within words."""
    for found in _QUOTE.finditer(text):
        at, end = found.span()
        inside = text[at - 1 : at].isalpha() and text[end : end + 1].isalpha()
        if not (inside and found[0] in "'’"):
            yield at, end, found[0][0]


def _begins(before: str, sign: str) -> bool:
    """Whether a sign that touches what is before it, and closes nothing, begins a quotation."""
    last = before[-1]
    if last.isnumeric() or last.isalpha() or unicodedata.category(last)[0] == "M":
        # feet, inches and apostrophes; in code and in scripts without spaces quotations begin right behind a letter
        return unicodedata.category(sign) == "Pi" or is_unspaced(last) or _PREFIX.search(before[-3:]) is not None
    return last == "’" or (unicodedata.category(last) not in ("Pe", "Pf") and last not in ".,;!?…")
