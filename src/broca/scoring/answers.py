"""Answers read from completions, and marked: numbers, exact matches, overlap of words, choices.

Only what the model wrote is read, never the prompt; a completion that begins with its prompt is cut. What is right comes
from the data. How an answer is taken is a choice that can make or break a result, so the first and the last number are
reported beside the one that counts.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import polars as pl

from broca.errors import StimulusError
from broca.items import Item
from broca.scoring.generation import Generation
from broca.scoring.rows import rows

ANSWER_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "gold": pl.String(),
        "answer": pl.String(),
        "first": pl.String(),
        "last": pl.String(),
        "how": pl.String(),
        "correct": pl.Boolean(),
        "first_correct": pl.Boolean(),
        "last_correct": pl.Boolean(),
        "unparsed": pl.Boolean(),
        "echo": pl.Boolean(),
        "length": pl.Int64(),
    }
)
"""One row a completion. Numbers are written exactly, as ``-1``, ``3/2``; null where there is none.

`answer` counts, and `how` says how it was found: ``boxed``, ``marked`` (after "####"), ``said`` ("the answer is"), ``equals``
(behind the sign after a calculation), or ``first``. `unparsed`: no number that could be an answer. `echo`: the completion
begins with its prompt, or with what follows the prompt's last colon. `length` is in characters, prompt cut.
"""

_SIGN = r"(?:(?<=[=≈:])\s?[-−–+]\s?|(?<=[=≈:] )[-−–+]\s?|(?<![\w.)\]}])[-−–+])(?=[\d.\\])"
_PLAIN = r"(?:\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_LATEX = r"\\[dt]?frac\s*\{\s*(?P<over>[-−]?\d+)\s*\}\s*\{\s*(?P<under>[-−]?\d+)\s*\}"
_NUMBER = re.compile(
    rf"(?P<sign>{_SIGN})?(?:{_LATEX}|(?P<plain>{_PLAIN})(?:/(?P<parts>\d+)(?![\d/]))?(?P<power>[eE][-+]?\d{{1,3}}\b)?)"
)
_OPERATOR = re.compile(
    r"\s*(?:[-+*/×÷−–^·]|\\times|\\div|\\cdot|\bplus\b|\bminus\b|\btimes\b|\b(?:divided|multiplied) by\b)\s*"
)
_EQUALS = re.compile(r"\s*(?:=|≈|\bis\b|\bequals\b|\bgives\b|\bmakes\b)\s*+[$*\\(\[ ]*")
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_MARKED = re.compile(r"####\s*([^\n]+)")
_SAID = re.compile(
    r"\b(?:answer|result|solution|total|sum|difference|product|quotient)\b[^.\n\d]{0,20}?(?:\bis\b|\bequals\b|:|=|≈)"
    r"(?:\s*[$*\\(\[`])*\s*",
    re.IGNORECASE,
)
NAMED = Generation(match="contains")
"""Reads the one choice that stands in a text."""
TOLERANCE = Fraction(1, 10_000)
"""How far a number may be from the right one, as in the published grader: enough for four decimals."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers that a completion gives as its answer."""

    answer: Fraction | None
    first: Fraction | None
    last: Fraction | None
    how: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    start: int
    end: int
    value: Fraction


def number(text: str) -> Fraction | None:
    r"""The number that a text is, exactly; None where it is none, or more than one.

    Signed, with decimals, a fraction, thousands separators, a power of ten, or LaTeX's ``\\frac``.
    """
    text = text.strip().strip("$").strip()
    found = _NUMBER.match(text)
    return _value(found) if found and found.end() == len(text) else None


def read_number(completion: str) -> Reading:
    r"""The answer that a completion gives, with its first and last number.

    In this order: the last ``\\boxed``; the last after ``####``; the last after "the answer is" and its like; the number
    behind a calculation that opens the completion; the first number. Operands of a calculation ("4 + 93", and both of "4 + 93
    =" with nothing behind) are not answers.
    """
    found = [
        _Found(each.end() - len(each[0].lstrip()), each.end(), value)
        for each in _NUMBER.finditer(completion)
        if (value := _value(each)) is not None
    ]
    kept, results = _without_operands(completion, found)
    first, last = (kept[0].value, kept[-1].value) if kept else (None, None)
    for how, pattern in (("boxed", _BOXED), ("marked", _MARKED)):
        inside = [value for each in pattern.finditer(completion) if (value := _within(each[1])) is not None]
        if inside:
            return Reading(inside[-1], first, last, how)
    after = {one.start: one.value for one in kept} | {start: one.value for start, one in results.items()}
    said = [after[each.end()] for each in _SAID.finditer(completion) if each.end() in after]
    if said:
        return Reading(said[-1], first, last, "said")
    if not kept:
        return Reading(None, None, None)
    return Reading(first, first, last, "equals" if kept[0] in results.values() else "first")


def completion_of(text: str, prompt: str) -> tuple[str, bool]:
    """What was written after a prompt, and whether the text begins with it (an echo).

    Cut is the whole prompt, or else the words behind its last colon ("4 + 93 ="), if they are several; white space makes no difference.
    """
    asked = prompt.rpartition(":")[2]
    for part in (prompt, asked if len(asked.split()) > 1 else ""):
        words = part.split()
        if words and (found := re.match(r"\s*" + r"\s*".join(map(re.escape, words)), text)):
            return text[found.end() :], True
    return text, False


def grade_answers(
    ids: Sequence[str], gold: Sequence[str], texts: Sequence[str], *, prompts: Sequence[str] | None = None
) -> pl.DataFrame:
    """The table of `ANSWER_SCHEMA` for answers that are numbers.

    Args:
        ids: of the rows.
        gold: the right answers, from the data.
        texts: what the model wrote.
        prompts: what it was shown; where given, an echo of it is cut and counted.

    Raises:
        StimulusError: if there are not as many of each, or a right answer is no number.
    """
    shown = [""] * len(texts) if prompts is None else prompts
    if not len(ids) == len(gold) == len(texts) == len(shown):
        raise StimulusError(
            f"There are {len(ids)} ids, {len(gold)} right answers, {len(texts)} texts and {len(shown)} prompts. Give as many of each."
        )
    made = []
    for name, right, text, prompt in zip(ids, gold, texts, shown, strict=True):
        value = number(right)
        if value is None:
            raise StimulusError(
                f"Row {name!r}: the right answer {right!r} is no number. Use exact_match or f1 for words."
            )
        written, echo = completion_of(text, prompt) if prompt else (text, False)
        read = read_number(written)
        made.append(
            {
                "id": name,
                "gold": str(value),
                **{
                    key: _fraction_text(one)
                    for key, one in (("answer", read.answer), ("first", read.first), ("last", read.last))
                },
                "how": read.how,
                "correct": _equal(read.answer, value),
                "first_correct": _equal(read.first, value),
                "last_correct": _equal(read.last, value),
                "unparsed": read.answer is None,
                "echo": echo,
                "length": len(written),
            }
        )
    return pl.DataFrame(made, schema=ANSWER_SCHEMA)


def rates(table: pl.DataFrame) -> dict[str, float]:
    """Shares of the rows of `grade_answers`: `correct`, `first_correct`, `last_correct`, `unparsed`, `echo`; mean `length`.

    Raises:
        StimulusError: if the table has no rows: nothing was graded, which is not the same as nothing being right.
    """
    if table.is_empty():
        raise StimulusError("There is nothing to sum up: no completion was graded. Check where they were to come from.")
    names = ("correct", "first_correct", "last_correct", "unparsed", "echo", "length")
    return {name: float(table[name].cast(pl.Float64).sum() / table.height) for name in names}


def exact_match(text: str, gold: Sequence[str]) -> bool:
    """Whether a text is one of the right answers, case, articles, punctuation and white space aside (Rajpurkar et al., 2016)."""
    return any(_plain(text) == _plain(one) for one in gold)


def f1(text: str, gold: Sequence[str]) -> float:
    """The best F1 of the words shared with a right answer, normalised likewise; 1 if both are empty (Rajpurkar et al., 2016).

    Raises:
        StimulusError: if there is no right answer.
    """
    if not gold:
        raise StimulusError("There is no right answer to compare with. Give at least one.")
    return max(_overlap(_plain(text).split(), _plain(one).split()) for one in gold)


def choices(items: Sequence[Item], texts: Sequence[str], match: Generation = NAMED) -> pl.DataFrame:
    """Rows of `broca.scoring.ROW_SCHEMA` for completions that name a choice, as `Generation` reads them.

    Raises:
        StimulusError: if an item's choices cannot be told apart, or there are not as many texts as items.
    """
    if len(items) != len(texts):
        raise StimulusError(f"There are {len(items)} items and {len(texts)} texts. Give one text an item.")
    match.check(items)
    return rows(items, match.read(items, texts))


def _value(found: re.Match[str]) -> Fraction | None:
    negative = (found["sign"] or "").strip() in {"-", "−", "–"}
    if found["over"]:
        under = int(found["under"].replace("−", "-"))
        value = Fraction(int(found["over"].replace("−", "-")), under) if under else None
    else:
        value = Fraction(re.sub(r"[,\u00a0\u202f]", "", found["plain"]) + (found["power"] or ""))
        if found["parts"]:
            value = value / int(found["parts"]) if int(found["parts"]) else None
    return value if value is None or not negative else -value


def _within(text: str) -> Fraction | None:
    """The last number in a marked answer, of which a unit or a dollar may be part."""
    found = [value for each in _NUMBER.finditer(text) if (value := _value(each)) is not None]
    return found[-1] if found else None


def _without_operands(text: str, found: Sequence[_Found]) -> tuple[list[_Found], dict[int, _Found]]:
    """Numbers that are no operands; and, by the place where a calculation begins, its result."""
    kept: list[_Found] = []
    results: dict[int, _Found] = {}
    i = 0
    while i < len(found):
        last = i
        while last + 1 < len(found) and _are_operands(text, found[last], found[last + 1]):
            last += 1
        if last == i:
            kept.append(found[i])
        elif last + 1 < len(found) and _EQUALS.fullmatch(text[found[last].end : found[last + 1].start]):
            results[found[i].start] = found[last + 1]
        i = last + 1
    return kept, results


def _are_operands(text: str, one: _Found, other: _Found) -> bool:
    """Whether two numbers are operands of one calculation; "20 -21" is one too."""
    between = text[one.end : other.start]
    return _OPERATOR.fullmatch(between) is not None or (between.isspace() and text[other.start] in "-−–+")


def _equal(value: Fraction | None, gold: Fraction) -> bool:
    return value is not None and abs(value - gold) < TOLERANCE


def _fraction_text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFC", text).lower()
    text = "".join(character for character in text if character not in string.punctuation)
    return " ".join(word for word in text.split() if word not in {"a", "an", "the"})


def _overlap(said: Sequence[str], right: Sequence[str]) -> float:
    if not said or not right:
        return float(said == right)
    shared = sum((Counter(said) & Counter(right)).values())
    return 2 * shared / (len(said) + len(right))
