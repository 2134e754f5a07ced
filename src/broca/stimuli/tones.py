"""Tones of short texts: for or against, formal or casual. Contrasts in which only the tone differs, and items that ask for it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from broca.errors import StimulusError
from broca.items import Contrast, Item, Stimulus
from broca.stimuli import paradigms
from broca.stimuli.natural.texts import BAD, GOOD, PARTS
from broca.stimuli.options import Count, Seed, Wording

Pairs = Annotated[int, Field(ge=4, le=10_000)]

SPEECH = (
    ("I regret to inform you that the {} has been delayed.", "sorry but the {} is gonna be late, ok?"),
    ("We kindly request that you return the {} promptly.", "hey, just bring the {} back quick, yeah?"),
    ("It would be appreciated if you could examine the {}.", "can you just have a look at the {} or what?"),
    ("Please accept our sincere apologies concerning the {}.", "oops, my bad about the {}, lol."),
    ("The committee has approved the proposal regarding the {}.", "yep, they said the {} thing is cool."),
    ("I am writing to enquire about the availability of the {}.", "so, is the {} still up for grabs?"),
    ("We wish to express our gratitude for the {}.", "thanks a bunch for the {}, you rock!"),
    ("One must exercise considerable caution with the {}.", "watch it with the {}, for real."),
    (
        "Should you require further details of the {}, do not hesitate to write.",
        "wanna know more on the {}? just text me.",
    ),
    ("The {} is to be submitted no later than Monday.", "gotta hand in the {} by Monday, guys."),
    ("It is my considerable pleasure to recommend the {}.", "you totally gotta try the {}!"),
    ("The undersigned hereby acknowledges receipt of the {}.", "got the {}, cheers!"),
    ("We are obliged to decline your offer of the {}.", "nah, we don't want the {}."),
    ("The {} exceeded our expectations in every respect.", "whoa, the {} was way better than I thought."),
    ("Kindly refrain from mentioning the {} at the meeting.", "don't bring up the {} in there, dude."),
    ("The {} remains unavailable until further notice.", "no clue when the {} is back, sorry!"),
)
"""A formal sentence and a casual one that say the same of a thing; each pair of them is a group."""
_THINGS = (
    "report",
    "order",
    "car",
    "letter",
    "parcel",
    "room",
    "ticket",
    "project",
    "phone",
    "contract",
    "garden",
    "key",
)
_ASKED = ("Text: {}\nStyle:", "{} The style of this text is")


def sentiment(*, n: Pairs = 160, seed: Seed = 0) -> Contrast:
    """Reviews in praise (positive) against reviews that blame (negative): pairs of the same frame. The word that judges is the group.

    Args:
        n: pairs.
        seed: of the things that are judged.
    """
    stream = random.Random(f"sentiment/{seed}")  # noqa: S311 - stimuli, no secrets
    sides: tuple[list[Stimulus], list[Stimulus]] = ([], [])
    for number in range(n):
        part = stream.choice(PARTS)
        for side, words, sign in zip(sides, (GOOD, BAD), "+-", strict=True):
            word = words[number % len(words)]
            side.append(Stimulus(f"sentiment:{number}{sign}", f"The {part} was {word}.", word))
    source = f"Generated for this project: one-sentence reviews in praise, against reviews that blame. Paradigm: {paradigms.SENTIMENT}."
    return Contrast("sentiment", tuple(sides[0]), tuple(sides[1]), source=source)


def formality(*, n: Pairs = 160, seed: Seed = 0) -> Contrast:
    """Formal sentences (positive) against casual ones that say the same of the same thing (negative), paired; a pair of sentences is a group.

    Args:
        n: pairs.
        seed: of the things.
    """
    made = [(number, group, *pair) for number, (group, pair) in enumerate(_speech(n, seed))]
    formal = tuple(Stimulus(f"formality:{number}+", one, group) for number, group, one, _ in made)
    casual = tuple(Stimulus(f"formality:{number}-", other, group) for number, group, _, other in made)
    source = f"Generated for this project: formal sentences, against casual ones that say the same. Paradigm: {paradigms.FORMALITY}."
    return Contrast("formality", formal, casual, paired=True, source=source)


def formality_items(*, n: Count = 160, seed: Seed = 0, wording: Wording = 1) -> tuple[Item, ...]:
    """Items with the ability ``formality``: is a sentence formal, or casual? Half are of either kind.

    Args:
        n: items.
        seed: of the things, and of the order of the choices.
        wording: 1 or 2: the same items in other words.

    Raises:
        StimulusError: if there are fewer than 2.
    """
    if n < 2:
        raise StimulusError(f"n is {n}, and items are half formal and half casual. Give 2 or more.")
    stream = random.Random(f"formality items/{seed}")  # noqa: S311 - stimuli, no secrets
    items: list[Item] = []
    for number, (group, pair) in enumerate(_speech((n + 1) // 2, seed + 1)):
        for text, answer in zip(pair, ("formal", "casual"), strict=True):
            choices = ("formal", "casual") if stream.random() < 0.5 else ("casual", "formal")
            prompt = _ASKED[wording - 1].format(text)
            items.append(
                Item(f"formality:{number}:{answer}", prompt, choices, choices.index(answer), "formality", group)
            )
    return tuple(items[:n])


def _speech(n: int, seed: int) -> Sequence[tuple[str, tuple[str, str]]]:
    """The group, and the two sentences of each pair, groups in turn."""
    stream = random.Random(f"formality/{seed}")  # noqa: S311 - stimuli, no secrets
    out = []
    for number in range(n):
        at = number % len(SPEECH)
        thing = stream.choice(_THINGS)
        out.append((f"speech {at}", (SPEECH[at][0].format(thing), SPEECH[at][1].format(thing))))
    return out
