"""The courses that stories of `beliefs` can take, and how one is told and asked about.

A course is a line of events; ``?`` marks one that happens in half of the stories. `Teller` says what each event means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from broca.organisms.beliefs.lexicon import Value
from broca.organisms.beliefs.phrases import Split
from broca.organisms.beliefs.story import DETAIL, FEW, Cast, Teller, held_out, phrases_at, pick

COURSES: dict[str, tuple[str, ...]] = {
    "false-belief": (
        "leave move return?",
        "leave move unaware return?",
        "leave move return? unaware",
        "move-absent unaware?",
        "leave return leave move",
        "move leave move return?",
        "stay move leave move",
        "rival-stay leave move return?",
        "leave rival-stay move",
        "leave move other-told return?",
        "snap leave move return?",
        "prepare leave move",
    ),
    "true-belief": (
        "stay move",
        "move-present",
        "move",
        "leave return move",
        "leave return move-present",
        "leave move see return?",
        "leave move tell return?",
        "leave move return tell",
        "rival-leave stay move",
        "stay rival-leave move",
        "move stay move",
        "leave nothing return",
        "leave nothing return",
        "snap stay move",
        "stay move snap",
        "move-absent tell",
    ),
    "photograph-before": (
        "snap move show?",
        "prepare snap move show?",
        "snap stay move",
        "snap leave move return?",
        "move-after-snap show?",
        "leave return snap move",
        "snap move unaware",
        "snap leave move see",
        "move snap move show?",
        "snap rival-leave move",
    ),
    "photograph-after": (
        "move snap show?",
        "prepare move snap show?",
        "stay move snap",
        "leave move return snap",
        "leave return move snap",
        "move move snap",
        "prepare move-present snap",
        "snap nothing show?",
        "move snap nothing",
        "rival-leave move snap show?",
    ),
}

RIVALS = frozenset(
    course
    for ability in ("false-belief", "true-belief")
    for course in COURSES[ability]
    if {"rival-stay", "rival-leave", "other-told"} & set(course.split())
)
"""Courses in which somebody else stays, leaves or is told: whoever mixes people up gets the belief wrong."""

EVENTS = {
    "leave": "leave",
    "stay": "stay",
    "return": "back",
    "unaware": "unaware",
    "other-told": "gossip",
    "snap": "snap",
    "nothing": "aside",
}
"""The events that `Teller` has a method for."""


@dataclass(frozen=True, slots=True)
class Story:
    """A told story with one question about it."""

    text: str
    question: str
    answer: str
    foil: str
    kind: str
    course: str
    templates: tuple[str, ...]
    first: str
    last: str
    origin: str
    """What shortcuts would answer: of the two asked about, the one said first, the one said last, the original one."""
    now: str
    """Where the thing really is at the end."""
    names: tuple[str, str]
    thing: str
    values: tuple[str, str]
    slots: Mapping[str, str] = field(default_factory=dict)
    """What the question's pattern was filled with, and another one can be."""


def least_detail(ability: str) -> float:
    """Stories of an ability are told with a rival only if their detail is above this."""
    courses = COURSES[ability]
    place = next(i for i, course in enumerate(courses) if course in RIVALS)
    return place / len(courses) if place >= FEW else 0.0


def tell(ability: str, rng: np.random.Generator, split: Split, *, course: str = "", detail: float = DETAIL) -> Story:
    """A story of `ability`, and a question about it; see `narrate`."""
    return ask(*narrate(ability, rng, split, course=course, detail=detail), ability)


def narrate(
    ability: str,
    rng: np.random.Generator,
    split: Split,
    *,
    course: str = "",
    detail: float = DETAIL,
) -> tuple[Teller, str]:
    """A story that has been told and can be asked about, and its course.

    Args:
        ability: a key of `COURSES`, or "reality" or "memory", which are asked of every course.
        rng: where chance comes from.
        split: whose phrases and combinations may be used.
        course: one course of the ability; any of them when empty.
        detail: how much makes it hard, from 0 to 1: what is told beyond the events, in how many ways, and from how many
            people and things its own are taken.
    """
    cast = Cast.draw(rng, split, breadth=detail)
    teller = Teller(rng, split, cast, detail)
    courses = COURSES.get(ability) or tuple(c for kind in COURSES.values() for c in kind)
    course = course or pick(rng, courses[: max(FEW, math.ceil(detail * len(courses)))])
    teller.begin()
    asides = rng.random(12) < 0.06
    for event, aside in zip(course.split(), asides, strict=False):
        if aside:
            teller.aside()
        if not event.endswith("?") or rng.random() < 0.5:
            happen(teller, event.removesuffix("?"))
    if asides[-1]:
        teller.aside()
    return teller, course


def happen(teller: Teller, event: str) -> None:
    """Tell one event."""
    match event.partition("-"):
        case ["move", _, how]:
            if how == "after-snap":
                teller.picture = teller.history[-1]
            teller.move({"": "", "after-snap": "lead-before"}.get(how, f"lead-{how}"))
        case ["rival", _, what]:
            teller.rival({"stay": "stay", "leave": "leave-gone"}[what])
        case ["see" | "tell", *_]:
            teller.learn("tell" if teller.absence == "asleep" else event)
        case ["prepare" | "show", *_]:
            teller.say(event)
        case _:
            getattr(teller, EVENTS[event])()


def ask(teller: Teller, course: str, ability: str) -> Story:
    """The question of `ability` about a story that has been told, with its answer and the most tempting other value."""
    history, now = teller.history, teller.history[-1]
    kind = (
        ability.partition("-")[0] if ability.startswith("photograph") else "belief" if "belief" in ability else ability
    )
    answers = {"belief": teller.belief, "photograph": teller.picture, "reality": now, "memory": history[0]}
    answer = answers[kind]
    assert answer is not None
    foil = _foil(teller, answer)
    slots = teller.shuffle_slots(answer, foil)
    question = teller.words(kind, slots)
    words = [answer.word, foil.word]
    spots = {word: _spots(teller, word) for word in words}
    return Story(
        " ".join(teller.sentences),
        question,
        answer.word,
        foil.word,
        ability,
        course,
        tuple(teller.templates),
        min(words, key=lambda w: spots[w][0]),
        max(words, key=lambda w: spots[w][1]),
        history[0].word,
        now.word,
        teller.cast.names[:2],
        teller.cast.thing,
        (teller.cast.values[0].word, teller.cast.values[1].word),
        {**teller.slots, **slots},
    )


def reask(story: Story, rng: np.random.Generator, split: Split, *, detail: float = DETAIL) -> str:
    """The question of a story by another pattern of its bank, where there can be one that with the story belongs to `split`.

    Args:
        story: which was asked about.
        rng: where chance comes from.
        split: as the story's.
        detail: as the story's.
    """
    *told, own = story.templates
    phrases = phrases_at(own.partition("/")[0], split, detail)
    others = [
        phrase for phrase in phrases if phrase.id != own and phrase.text.format_map(story.slots) != story.question
    ]
    fitting = [each for each in others if held_out(story.course, *told, each.id) == (split == "held-out")]
    return pick(rng, fitting or others).text.format_map(story.slots)


def fits(story: Story, split: Split) -> bool:
    """Whether the way this story and its question are put together, course and patterns, belongs to `split`."""
    return held_out(story.course, *story.templates) == (split == "held-out")


def misleads(story: Story) -> bool:
    """Whether a question about a belief is asked of one of the `RIVALS`."""
    return "belief" in story.kind and story.course in RIVALS


def _spots(teller: Teller, word: str) -> tuple[int, int]:
    """Where `word` is said first and last in the story; before and after everything when it is not said."""
    said = [
        i for i, w in enumerate(" ".join(teller.sentences).replace(".", " ").replace(",", " ").split()) if w == word
    ]
    return (said[0], said[-1]) if said else (10**6, -1)


def _foil(teller: Teller, answer: Value) -> Value:
    """Another value of the story: one the thing really took if there is one, else the next in line."""
    taken = [value for value in teller.history if value != answer]
    if not taken:
        return teller.cast.values[3 if len(teller.cast.values) > 3 and teller.rng.random() < 0.5 else 1]
    return taken[-1] if teller.rng.random() < 0.7 else taken[0]
