"""Where somebody looks for a thing, and the controls of it: where it is in a photograph, where it is, and where it was."""

from __future__ import annotations

import random
from typing import Literal

from broca.stimuli.natural.questions import Ability, Level, Question
from broca.stimuli.natural.texts import NAMES

Ask = Literal["belief", "photograph", "reality", "memory"]

PLACES = ("box", "bag", "drawer", "basket", "cupboard", "bucket", "suitcase", "jar", "pot", "closet")
THINGS = ("ball", "apple", "key", "book", "coin", "letter", "toy", "ring", "cake", "watch")
IDLE = ("The sun is shining.", "A dog barks outside.", "It is a quiet day.", "A clock ticks on the wall.")
"""What the hard level says in between."""


def tale(ask: Ask) -> Ability:
    """Stories of a thing and two places. Half of the answers are the place that it was in first, and half the other one.

    In half of the belief stories the thing is moved while somebody is away, in the rest before; a photograph is likewise taken before or
    after. In half of the other stories something else is moved (reality), or the place that it was in first is named second
    (memory). Hard: with idle sentences in between; easy: without the sentence that names the places.
    """

    def questions(stream: random.Random, level: Level) -> list[Question]:
        pairs = [(one, two) for i, one in enumerate(PLACES) for two in PLACES[i + 1 :]]
        return [
            _tale(ask, places, stale=stale, stream=stream, level=level)
            for pair in pairs
            for places in (pair, (pair[1], pair[0]))
            for stale in (True, False)
            for _ in range(2)
        ]

    return Ability(questions, choices=2, shots=2, gap="\n\n")


def _tale(ask: Ask, places: tuple[str, str], *, stale: bool, stream: random.Random, level: Level) -> Question:
    first, second = places
    one, two = stream.sample(NAMES, 2)
    thing, other = stream.sample(THINGS, 2)
    idle = [stream.choice(IDLE) for _ in range(4)]
    order = places if ask != "memory" or stale else (second, first)
    opening = [] if level == "easy" and ask != "memory" else [f"There is a {order[0]} and a {order[1]} in the room."]
    put, move = f"{one} puts the {thing} in the {first}.", f"{two} moves the {thing} to the {second}."
    middle, ends = {
        "belief": (
            [put, *([f"{one} goes out.", move, f"{one} comes back."] if stale else [move, f"{one} goes out.", f"{one} comes back."])],
            (f"{one} looks for the {thing} in the", f"{one} thinks that the {thing} is in the"),
        ),
        "photograph": (
            [put, *([f"{one} takes a photograph.", move] if stale else [move, f"{one} takes a photograph."])],
            (f"In the photograph the {thing} is in the", f"The photograph shows the {thing} in the"),
        ),
        "reality": (
            [put, f"{one} goes out.", f"{two} moves the {other if stale else thing} to the {second}.", f"{one} comes back."],
            (f"Now the {thing} is in the", f"The {thing} really is in the"),
        ),
        "memory": (
            [put, f"{one} goes out.", move, f"{one} comes back."],
            (f"At first the {thing} was in the", f"In the beginning the {thing} was in the"),
        ),
    }[ask]  # fmt: skip
    pairs = zip(middle, idle, strict=False)
    told = [*opening, *((f"{line} {pause}" for line, pause in pairs) if level == "hard" else middle)]
    answer, foil = (first, second) if ask == "memory" or stale else (second, first)
    asked = tuple(" ".join([*told, end]) for end in ends)
    where = ("named" if ask == "memory" else "in"), ("first" if answer == order[0] else "second")
    return Question((asked[0], asked[1]), answer, (foil,), " and ".join(sorted(places)), kind=" ".join(where))
