"""Stories of `beliefs`: a cast, a course of events told in sentences, and what follows from them.

The teller keeps the truth while it tells: where the thing is, where its holder thinks it is, what the picture shows. So an
answer is right by construction, whichever sentences are chosen.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from broca.organisms.beliefs.lexicon import HE, MEDIA, NAMES, SCENES, Scene, Value
from broca.organisms.beliefs.phrases import Phrase, Split, bank
from broca.tries import first

T = TypeVar("T")
HELD_OUT_PART = 5
"""One in so many combinations is held out."""
DETAIL = 1.0
"""How rich the stories of the world are, between bare events among few people and things (0) and all that it can say (1)."""
FEW = 3
"""So many phrases of each bank are said in stories without detail."""


def held_out(*words: str) -> bool:
    """Whether this combination of words, in any order, belongs to the held-out part."""
    return zlib.crc32("|".join(sorted(words)).encode()) % HELD_OUT_PART == 0


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of `options`."""
    return options[int(rng.integers(len(options)))]


def article(word: str) -> str:
    """`word` with its indefinite article."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def phrases_at(name: str, split: Split, detail: float) -> tuple[Phrase, ...]:
    """The phrases of a bank that stories of such detail use."""
    phrases = bank(name, split)
    return phrases[: max(FEW, math.ceil(detail * len(phrases)))]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who and what a story is about; `values` are in the order in which the thing takes them, uninvolved ones last."""

    names: tuple[str, str, str]
    scene: Scene
    thing: str
    other: str
    values: tuple[Value, ...]
    medium: str

    @classmethod
    def draw(cls, rng: np.random.Generator, split: Split, *, breadth: float = 1.0) -> Cast:
        """A cast whose pair of names, and whose thing with its two places, both belong to `split`.

        A `breadth` below 1 takes it from a smaller part of the names and scenes, down to a few of each.
        """
        held = split == "held-out"
        known = NAMES[: 8 + round(breadth * len(NAMES))]

        def draw_names() -> list[str] | None:
            names = [known[i] for i in rng.permutation(len(known))[:3]]
            return names if held_out(*names[:2]) == held else None

        names = first(draw_names, f"No pair of {len(known)} names belongs to the part {split!r}.")
        scene = pick(rng, SCENES[: 2 + round(breadth * (len(SCENES) - 2))])

        def draw_places() -> tuple[str, str, tuple[Value, ...]] | None:
            thing, other = (scene.things[i] for i in rng.permutation(len(scene.things))[:2])
            values = tuple(scene.places[i] for i in rng.permutation(len(scene.places)))
            clash = thing in (scene.name, *(v.word for v in values[:4]))
            return None if clash or held_out(thing, values[0].word, values[1].word) != held else (thing, other, values)

        thing, other, values = first(draw_places, f"Nothing in the scene {scene.name!r} belongs to the part {split!r}.")
        medium = pick(rng, [m for m in MEDIA if m != thing])
        return cls((names[0], names[1], names[2]), scene, thing, other, values, medium)

    def slots(self, rng: np.random.Generator) -> dict[str, str]:
        """What the sentences of this story put into their slots, values of moves apart."""
        a, b, c = self.names
        made, make, tool = MEDIA[self.medium]
        return {
            "A": a,
            "B": b,
            "C": c,
            "she": "he" if a in HE else "she",
            "her": "his" if a in HE else "her",
            "he": "he" if b in HE else "she",
            "X": self.thing,
            "a_X": article(self.thing),
            "Y": self.other,
            "a_Y": article(self.other),
            "s": self.scene.name,
            "at_s": self.scene.at,
            "out": pick(rng, self.scene.outside),
            "M": self.medium,
            "made": made,
            "make": make,
            "tool": tool,
        }


def naming(**values: Value) -> dict[str, str]:
    """The slots ``old``, ``at_old``, ``to_old``, ``away_old``, ``a_old`` for a value called ``old``, and so on."""
    found = {}
    for role, value in values.items():
        found |= {role: value.word, f"at_{role}": value.at, f"to_{role}": value.to}
        found |= {f"away_{role}": value.away, f"a_{role}": article(value.word)}
    return found


@dataclass(slots=True)
class Teller:
    """Tells a story sentence by sentence and keeps what is true in it."""

    rng: np.random.Generator
    split: Split
    cast: Cast
    detail: float = 1.0
    """How much of what makes stories hard is said, from 0 to 1: many phrases, other places, "not in", leads, asides."""
    sentences: list[str] = field(default_factory=list)
    templates: list[str] = field(default_factory=list)
    history: list[Value] = field(default_factory=list)
    belief: Value | None = None
    picture: Value | None = None
    watching: bool = True
    absence: str = "gone"
    slots: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.slots = self.cast.slots(self.rng)

    def chance(self, part: float) -> bool:
        """True in `part` of the cases when all detail is told."""
        return bool(self.rng.random() < part * self.detail)

    def words(self, name: str, slots: Mapping[str, str] | None = None) -> str:
        """A phrase of a bank, filled in; its template is noted."""
        phrases = phrases_at(name, self.split, self.detail)

        def pick_phrase() -> Phrase | None:
            phrase = pick(self.rng, phrases)
            return None if "next}" in phrase.text and self.rng.random() > self.detail else phrase

        phrase = first(
            pick_phrase, f"Every phrase of the bank {name!r} says what comes later. Give more detail (1 is the most)."
        )
        self.templates.append(phrase.id)
        return phrase.text.format_map({**self.slots, **(slots or {})})

    def say(self, name: str, *, lead: str = "", slots: Mapping[str, str] | None = None) -> None:
        """Add a sentence, behind a `lead` taken from the bank of that name."""
        text = self.words(name, slots)
        if lead:
            text = f"{self.words(lead, slots)} {text}"
        self.sentences.append(text[0].upper() + text[1:])

    def shuffle_slots(self, *values: Value) -> dict[str, str]:
        """The slots one, two (, three) for these values in random order."""
        order = self.rng.permutation(len(values))
        return naming(**{role: values[i] for role, i in zip(("one", "two", "three"), order, strict=False)})

    # -- events -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Set the scene, name the places (sometimes), put the thing somewhere."""
        first, second, *rest = self.cast.values
        if self.chance(0.6):
            self.say("setting-three" if self.rng.random() < 0.3 else "setting")
        if self.chance(0.8):
            if self.rng.random() < 0.35:
                self.say("places-three", slots=self.shuffle_slots(first, second, rest[0]))
            else:
                self.say("places", slots=self.shuffle_slots(first, second))
        self.say("place", slots=naming(new=first, next=second))
        self.history, self.belief = [first], first

    def move(self, lead: str = "") -> None:
        """B moves the thing on to the next value, and sometimes back to the first."""
        old = self.history[-1]
        again = len(self.history) > 1 and self.rng.random() < 0.3
        new = self.history[0] if again else self.cast.values[len(self.history)]
        slots = naming(old=old, new=new)
        back = "-back" if self.chance(0.5) else ""
        if not lead and self.chance(0.5):
            lead = "lead"
        self.say(f"move{back}", lead=lead, slots=slots)
        self.history.append(new)
        if (self.watching or lead == "lead-present") and lead != "lead-absent":
            self.belief = new

    def leave(self) -> None:
        """A stops seeing what happens: goes away, sleeps, or turns away."""
        self.absence = pick(self.rng, ("gone", "gone", "gone", "gone", "asleep", "turned"))
        self.say(f"leave-{self.absence}")
        self.watching = False

    def stay(self) -> None:
        """A is said to be there."""
        self.say("stay")

    def back(self) -> None:
        """A is there again, and sees what happens from now on."""
        self.say(f"return-{self.absence}")
        self.watching = True

    def learn(self, how: str) -> None:
        """A learns where the thing is: `how` names the bank, "see" from outside or "tell"."""
        self.say(how)
        self.belief = self.history[-1]

    def unaware(self) -> None:
        """A is said not to learn of it."""
        self.say(pick(self.rng, ("not-see", "not-tell")))

    def snap(self) -> None:
        """A makes a picture of how things are now."""
        self.say("snap")
        self.picture = self.history[-1]

    def gossip(self) -> None:
        """Somebody else learns of it."""
        self.say("tell-other")

    def rival(self, what: str) -> None:
        """The third one does what A does not: stays, or goes away."""
        c = self.cast.names[2]
        swap = {"A": c, "she": "he" if c in HE else "she", "her": "his" if c in HE else "her"}
        self.say(what, slots=swap)

    def aside(self) -> None:
        """Something that changes nothing."""
        if self.rng.random() < 0.45:
            self.say("other-thing", slots=naming(third=self.cast.values[3]))
        else:
            self.say("filler-three" if self.rng.random() < 0.3 else "filler")
