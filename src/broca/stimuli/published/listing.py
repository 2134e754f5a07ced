"""Options that stand in the text of a question: behind ``Options:`` or ``Choices:``, or from a line that begins with the first one.

``A: x, B: y`` or ``(A) x (B) y``, in capitals or not. The first option says how the others are marked, so that an option may read
``(A)`` itself: what is marked in another way is words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from broca.errors import StimulusError
from broca.stimuli.answers import LETTERS
from broca.stimuli.tables import short_repr

_FIRST = r"(?:\(a\)|a:)"
_LABEL = re.compile(rf"(?:Options|Choices):(?=\s*{_FIRST})", re.IGNORECASE)
_FIRST_LINE = re.compile(rf"^{_FIRST}", re.IGNORECASE | re.MULTILINE)
_MARK = re.compile(r"(?:^|(?<=[\s,]))(?:\((?P<bracketed>[A-Za-z])\):?|(?P<plain>[A-Za-z]):)")
_HINT = re.compile(r"\s*(?:Hint:.*?\n[^\S\n]*(?=Question:))?(?:Question:|Hint:)?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Listing:
    """A question that lists its options, taken apart."""

    question: str
    """Without what stands before it (a hint on how to answer, ``Question:``) and without the options."""
    options: tuple[str, ...]
    """As they stand, white space and all; the comma that divides two is no part of them."""
    published_question: str
    """The question as Jamaa et al. (2025) show it: all up to the first ``question:`` is cut off, white space is kept, and options
    that have no label are left in it."""


def listing(text: str) -> Listing:
    """The question and the options of a text.

    Raises:
        StimulusError: There is no question, or there are fewer than two options, one is empty, or their letters do not follow one
            another.
    """
    label, first = _LABEL.search(text), _FIRST_LINE.search(text)
    end, start = label.span() if label else (first.start(), first.start()) if first else (0, len(text))
    options = _options(text[start:])
    if len(options) < 2 or not all(option.strip() for option in options):
        raise StimulusError(
            f"no options were found in {short_repr(text)}. They stand behind 'Options:', or on lines of their own, as 'A: x, B: y' or "
            "'(A) x (B) y', none of them empty."
        )
    hint = _HINT.match(text, 0, end)
    question = text[hint.end() if hint else 0 : end].strip()
    if not question:
        raise StimulusError(
            f"there is no question before the options of {short_repr(text)}. Mend the row, or leave it out."
        )
    before = re.search("question:", text, re.IGNORECASE)
    shown_question = re.split(r"\n(?:Options|Choices):", text[before.end() if before else 0 :], maxsplit=1)[0]
    return Listing(question, options, shown_question)


def _options(text: str) -> tuple[str, ...]:
    """What stands between marks that are like the first one and follow one another from a on."""
    marks = [(mark, mark.lastgroup, mark[mark.lastgroup or 0]) for mark in _MARK.finditer(text)]
    if not marks:
        return ()
    _, kind, first = marks[0]
    same = [(mark, LETTERS.index(letter.lower()), letter) for mark, own, letter in marks if own == kind]
    found: list[re.Match[str]] = []
    for mark, place, letter in same:
        if letter.islower() != first.islower():
            continue
        if place == len(found):
            found.append(mark)
        elif place == len(found) - 1:
            raise StimulusError(f"the option {letter} comes twice in {short_repr(text)}. Mend the row.")
    for _, place, letter in same:
        # of the other case, a letter is a mark where it would be the next one, and words elsewhere
        if found and (place > len(found) if letter.islower() == first.islower() else place == len(found)):
            wanted = LETTERS[len(found)] if first.islower() else LETTERS[len(found)].upper()
            raise StimulusError(
                f"the option {letter} comes where {wanted} should, in {short_repr(text)}. Mend the row."
            )
    ends = [*(mark.start() for mark in found[1:]), len(text)]
    return tuple(text[mark.end() : end].strip().rstrip(",") for mark, end in zip(found, ends, strict=True))
