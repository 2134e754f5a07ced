"""Short texts and what follows from them: sentiment, negation, order."""

from __future__ import annotations

import random
from itertools import pairwise

from broca.stimuli.natural.lists import rows
from broca.stimuli.natural.questions import Ability, Level, Question

GOOD = (
    *("wonderful", "delightful", "excellent", "brilliant", "charming", "superb", "fantastic", "lovely", "beautiful"),
    *("amazing", "perfect", "enjoyable", "great", "terrific", "marvellous", "splendid"),
)
BAD = (
    *("terrible", "horrible", "awful", "boring", "dreadful", "disappointing", "disgusting", "poor", "ugly"),
    *("miserable", "unpleasant", "annoying", "bad", "pathetic", "useless", "painful"),
)
PARTS = ("film", "meal", "hotel", "book", "concert", "show", "trip", "play", "restaurant", "game", "service", "story")

THINGS = ("first one", "second one", "new one", "old one", "other one", "next one", "last one", "best one")

NAMES = (
    *(
        "Tom",
        "Ben",
        "Sam",
        "Max",
        "Paul",
        "Jack",
        "Mark",
        "Luke",
        "Adam",
        "Fred",
        "Carl",
        "Peter",
        "Hugo",
        "Leo",
        "Otto",
    ),
    *(
        "Anna",
        "Mary",
        "Emma",
        "Lucy",
        "Kate",
        "Jane",
        "Sara",
        "Rosa",
        "Grace",
        "Helen",
        "Ruth",
        "Alice",
        "Clara",
        "Nora",
        "Vera",
    ),
)
SCALES = (
    ("taller", "shorter", "tallest"),
    ("older", "younger", "oldest"),
    ("faster", "slower", "fastest"),
    ("richer", "poorer", "richest"),
    ("stronger", "weaker", "strongest"),
)
"""More, less, and most."""
PEOPLE: dict[Level, int] = {"easy": 2, "usual": 3, "hard": 4}


def sentiment() -> Ability:
    """Whether a review is for or against. Easy: one sentence; usual: two; hard: something of the other kind is conceded first or last."""
    return Ability(_reviews, choices=2, shots=4)


def _reviews(stream: random.Random, level: Level) -> list[Question]:
    found: list[Question] = []
    for words, others, own, foil in ((GOOD, BAD, "positive", "negative"), (BAD, GOOD, "negative", "positive")):
        for word in words:
            for copy in range(10):
                one, two = stream.sample(PARTS, 2)
                second, other = stream.choice([each for each in words if each != word]), stream.choice(others)
                text = {
                    "easy": f"The {one} was {word}.",
                    "usual": f"The {one} was {word}. The {two} was {second}.",
                    "hard": f"The {two} was {other}, but on the whole the {one} was {word}."
                    if copy % 2
                    else f"On the whole the {one} was {word}, although the {two} was {other}.",
                }[level]
                found.append(
                    Question((f"Review: {text}\nSentiment:", f"{text} This review is"), own, (foil,), word, end="\n")
                )
    return found


def negation() -> Ability:
    """What a thing is that is not so, half of the items; the rest say it without the word "not", so that the word alone tells nothing."""
    return Ability(_denials, choices=2, shots=4)


def _denials(stream: random.Random, level: Level) -> list[Question]:
    found: list[Question] = []
    pairs = [(one, other) for one, other in rows("adjectives")]
    for word, other in [pair for one in pairs for pair in (one, one[::-1])]:
        for denied in (True, False):
            for _ in range(3):
                thing = stream.choice(THINGS)
                before = {
                    "easy": "",
                    "usual": f"{stream.choice(NAMES)} says: ",
                    "hard": f"{stream.choice(NAMES)} thinks that it is {stream.choice((word, other))}. But ",
                }[level]
                told = f"{before}{'The' if level == 'easy' else 'the'} {thing} is {'not ' if denied else ''}{word}."
                answer, foil = (other, word) if denied else (word, other)
                found.append(
                    Question(
                        (f"{told} So it is", f"{told} The {thing} is therefore"),
                        answer,
                        (foil,),
                        min(word, other),
                        kind="denied" if denied else "affirmed",
                    )
                )
    return found


def order() -> Ability:
    """Who is most of all, from comparisons of two: first, between and last are said in every order. More people are harder."""
    return Ability(_orders, choices=PEOPLE, shots=4)


def _orders(stream: random.Random, level: Level) -> list[Question]:
    found: list[Question] = []
    for name in NAMES:
        for copy in range(10):
            more, less, most = SCALES[copy % len(SCALES)]
            people = [name, *stream.sample([other for other in NAMES if other != name], PEOPLE[level] - 1)]
            told = [
                f"{a} is {more} than {b}." if stream.random() < 0.5 else f"{b} is {less} than {a}."
                for a, b in pairwise(people)
            ]
            text = " ".join(stream.sample(told, len(told)))
            found.append(
                Question(
                    (f"{text} The {most} is", f"{text} Who is the {most}? It is"),
                    name,
                    tuple(people[1:]),
                    name,
                )
            )
    return found
