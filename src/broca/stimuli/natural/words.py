"""Functions of words that examples show: opposites, past tense, plural; and a list of words that comes again."""

from __future__ import annotations

import random
from collections.abc import Sequence

from broca.stimuli.natural.lists import rows
from broca.stimuli.natural.questions import Ability, Level, Question, shuffle

LENGTHS: dict[Level, int] = {"easy": 5, "usual": 8, "hard": 14}
"""Words of a list that comes again."""
COMMON = 30
"""Entries of a list of words that are common: the first ones."""


def function(name: str, wordings: tuple[str, str]) -> Ability:
    """A function of words.

    Easy: common words, and wrong answers that are other words' answers; usual: the word itself is among the wrong answers; hard: with
    another form of it, or a word near it.
    """

    def questions(stream: random.Random, level: Level) -> list[Question]:  # noqa: ARG001 - nothing is drawn
        entries = rows(name)
        answers = [entry[1] for entry in entries]
        own = entries[:COMMON] if level == "easy" else entries
        return [_function(entry, answers, wordings, level) for entry in own]

    return Ability(questions, choices=4, shots=5)


def _function(entry: Sequence[str], answers: Sequence[str], wordings: tuple[str, str], level: Level) -> Question:
    word, answer, *further = entry
    regular = f"{word}s"
    near = {"easy": (), "usual": (word,), "hard": (word, *(further or (regular,)))}[level]
    foils = tuple(other for other in answers if other not in (answer, word, *further))
    one, two = (wording.format(word) for wording in wordings)
    return Question((one, two), answer, foils, word, near=near, end="")


def copying() -> Ability:
    """A list of unrelated words that begins again: the next word is the one that followed before. Longer lists are harder."""
    return Ability(_copies, choices=4)


def fresh_list(text: str) -> str:
    """A text of `copying` with a list of other words in the place of the one that begins again: nothing in it comes again."""
    said = text.rstrip(",").replace(",", "").split()
    length = said.index(said[0], 1)
    others = [entry[0] for entry in rows("plural") if entry[0] not in said]
    told = [*random.Random(text).sample(others, length), *said[length:]]  # noqa: S311 - stimuli, no secrets
    return f"{', '.join(told)}," if text.endswith(",") else " ".join(told)


def _copies(stream: random.Random, level: Level) -> list[Question]:
    words = [entry[0] for entry in rows("plural")]
    length = LENGTHS[level]
    found: list[Question] = []
    for answer in words:
        for copy in range(5):
            told = stream.sample([word for word in words if word != answer], length - 1)
            # never the first word, and never the last: the second list has begun, and goes on
            place = 1 + (copy + len(found)) % (length - 2)
            told.insert(place, answer)
            again = told[:place]
            foils = tuple(shuffle([word for word in told if word != answer and word not in again[-1:]], stream))
            found.append(Question((" ".join(told + again), ", ".join([*told, *again]) + ","), answer, foils, answer))
    return found
