"""Agreement of verbs and of reflexive pronouns with a subject that stands farther away than another noun."""

from __future__ import annotations

import random

from broca.stimuli.natural.questions import Ability, Level, Question

NOUNS = (
    *("key", "door", "car", "book", "picture", "letter", "table", "lamp", "boat", "house", "bottle", "flower"),
    *("road", "bridge", "bell", "shirt", "clock", "map", "tower", "garden", "window", "engine", "coin", "chair"),
    *("teacher", "farmer", "doctor", "pilot", "singer", "lawyer", "driver", "student"),
)
"""Nouns whose plural ends in s."""
SIZES = ("old", "new", "big", "small")
PLACES = ("near", "behind", "beside", "next to")
VERBS = (("is", "are"), ("was", "were"), ("has", "have"))
"""Singular and plural."""

HE = (
    *("king", "boy", "man", "father", "uncle", "brother", "husband", "prince"),
    *("grandfather", "gentleman", "nephew", "duke", "son", "waiter", "actor"),
)
SHE = (
    *("queen", "girl", "woman", "mother", "aunt", "sister", "wife", "princess"),
    *("grandmother", "lady", "niece", "duchess", "daughter", "waitress", "actress"),
)
ACTS = (
    "hurt",
    "blamed",
    "praised",
    "saw",
    "admired",
    "washed",
    "injured",
    "described",
    "liked",
    "hated",
    "saved",
    "found",
)


def agreement() -> Ability:
    """The verb of a subject. Easy: it stands beside it; usual: a noun of the other number stands between; hard: two of them do."""
    return Ability(_verbs, choices=2)


def _verbs(stream: random.Random, level: Level) -> list[Question]:
    between = {"easy": 0, "usual": 1, "hard": 2}[level]
    found: list[Question] = []
    for noun in NOUNS:
        for many, pair in ((many, pair) for many in (False, True) for pair in VERBS):
            for size in SIZES:
                others = stream.sample([other for other in NOUNS if other != noun], 2)[:between]
                place = stream.sample(PLACES, 2)
                away = "".join(
                    f" {at} the {other}{'' if many else 's'}" for at, other in zip(place, others, strict=False)
                )
                subject = f"The {size} {noun}{'s' if many else ''}{away}"
                found.append(
                    Question(
                        (subject, f"I think that {subject[0].lower()}{subject[1:]}"),
                        pair[many],
                        (pair[not many],),
                        noun,
                    )
                )
    return found


def anaphora() -> Ability:
    """The reflexive of a subject.

    Easy: nobody else is named; usual: somebody of the other gender is, before; hard: before or behind, half and half.
    """
    return Ability(_reflexives, choices=2)


def _reflexives(stream: random.Random, level: Level) -> list[Question]:
    found: list[Question] = []
    for nouns, others, own, foil in ((HE, SHE, "himself", "herself"), (SHE, HE, "herself", "himself")):
        for noun in nouns:
            for number, act in enumerate(ACTS):
                other, place = stream.choice(others), stream.choice(PLACES)
                behind = level == "hard" and number % 2
                subject = f"{noun} {place} the {other}" if behind else noun
                before = level != "easy" and not behind
                one, two = ("The {} said that the", "The {} watched while the") if before else ("The", "Yesterday the")
                wordings = f"{one.format(other)} {subject} {act}", f"{two.format(other)} {subject} {act}"
                found.append(Question(wordings, own, (foil,), noun))
    return found
