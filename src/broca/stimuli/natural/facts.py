"""What is known of countries and things: a relation asked for by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from broca.stimuli.natural.lists import Country, countries, lists
from broca.stimuli.natural.questions import Ability, Level, Question

Frames = tuple[tuple[str, ...], tuple[str, ...]]
"""The sentences of either wording, as many of one as of the other."""

WELL_KNOWN = 44
"""Countries of the list that are well known: the first ones."""
TYPICAL = 5
"""Things of each class that are typical: the first ones."""

CAPITALS: Frames = (
    ("The capital of {} is", "The capital city of {} is", "{}'s capital is", "They flew to the capital of {},"),
    ("The government of {} sits in", "{} is ruled from its capital,", "Capital of {}:", "{}, capital city:"),
)
LANGUAGES: Frames = (
    ("The language of {} is", "People in {} speak", "In {} most people speak", "The official language of {} is"),
    ("Books in {} are written in", "Children in {} learn to read", "The language spoken in {} is", "{}, language:"),
)
CURRENCIES: Frames = (
    (
        "The currency of {} is the",
        "People in {} pay with the",
        "The money of {} is called the",
        "In {} one pays with the",
    ),
    ("Prices in {} are given in the", "{}'s currency is the", "Wages in {} are paid in the", "{}, currency: the"),
)
CONTINENTS: Frames = (
    ("{} is a country in", "{} lies in", "The continent of {} is", "{} is part of"),
    (
        "On a map of the world you find {} in",
        "{} belongs to the continent of",
        "They went to {}, a country in",
        "{}, continent:",
    ),
)
KINDS: Frames = (
    ("{} is a kind of", "{} is a type of", "{} is one sort of"),
    ("{} belongs to the kind called", "{} counts as a kind of", "{}, which is a sort of"),
)
COLOURS: Frames = (
    ("The colour of {} is", "{} has a colour, and it is", "The usual colour of {} is"),
    ("{} is coloured", "{}: the colour is", "When I think of {} I see the colour"),
)


def relation(frames: Frames, value: Callable[[Country], str]) -> Ability:
    """A relation of countries. Easy: well-known countries; hard: the wrong answers are of the country's own continent where there are enough."""

    def questions(stream: random.Random, level: Level) -> list[Question]:  # noqa: ARG001 - nothing is drawn
        known = [each for each in countries() if value(each) != "-"]
        own = [each for each in known if level != "easy" or each in countries()[:WELL_KNOWN]]
        return [
            made
            for each in own
            for made in _frame_questions(frames, each.name, value(each), _others(each, known, value, level))
        ]

    return Ability(questions, choices=4)


def _others(one: Country, known: Sequence[Country], value: Callable[[Country], str], level: Level) -> tuple[str, ...]:
    wrong = dict.fromkeys(value(each) for each in known if value(each) != value(one))
    near = dict.fromkeys(value(each) for each in known if each.continent == one.continent and value(each) != value(one))
    return tuple(near if level == "hard" and len(near) >= 3 else wrong)


def membership(name: str, frames: Frames, *, split: str | None, plain: bool) -> Ability:
    """Things and the class that they are of, from a table of lists. Easy: the first things of each list; hard: six choices instead of four."""

    def questions(stream: random.Random, level: Level) -> list[Question]:  # noqa: ARG001 - nothing is drawn
        table: dict[str, str] = lists()[name]
        found: list[Question] = []
        for answer, things in table.items():
            foils = tuple(other for other in table if other != answer)
            members = [each.strip() for each in things.split(split)]
            for thing in members[:TYPICAL] if level == "easy" else members:
                found += _frame_questions(frames, thing if plain else _article(thing), answer, foils)
        return found

    return Ability(questions, choices={"easy": 4, "usual": 4, "hard": 6}, shots=3)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _frame_questions(frames: Frames, thing: str, answer: str, foils: tuple[str, ...]) -> list[Question]:
    return [
        Question((_sentence(one, thing), _sentence(two, thing)), answer, foils, thing, frame=number)
        for number, (one, two) in enumerate(zip(*frames, strict=True))
    ]


def _sentence(frame: str, thing: str) -> str:
    text = frame.format(thing)
    return text[0].upper() + text[1:]
