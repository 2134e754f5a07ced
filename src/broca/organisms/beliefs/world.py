"""The world of `beliefs`: items of every ability, and plain narrative, train and held out.

What is held out never occurs in training, by construction: a pair of main characters, a thing with its two places, a pair
of numbers belongs to one part or the other by its hash, and the sentence patterns come from two disjoint banks.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import get_args

import numpy as np

from broca.errors import StimulusError
from broca.items import Item
from broca.organisms.beliefs.arithmetic import addition
from broca.organisms.beliefs.arithmetic import reask as reask_sum
from broca.organisms.beliefs.courses import Story, fits, least_detail, misleads, reask, tell
from broca.organisms.beliefs.lexicon import COLOURS, COUNTED, Value
from broca.organisms.beliefs.phrases import Split, bank
from broca.organisms.beliefs.story import DETAIL, Cast, article, pick
from broca.registry import unknown
from broca.stimuli.options import Wording
from broca.tries import first

ABILITIES = (
    "false-belief",
    "true-belief",
    "photograph",
    "reality",
    "memory",
    "arithmetic-easy",
    "arithmetic-hard",
    "rival-belief",
)
"""What items can ask. `rival-belief` are false and true beliefs, half and half, in stories in which somebody else stays, leaves
or is told; `false-belief` and `true-belief` are those in all other stories. `photograph` mixes pictures made before and after the move, half and half."""


_HALVES = {
    "photograph": ("photograph-before", "photograph-after"),
    "rival-belief": ("false-belief", "true-belief"),
}


def items(
    ability: str, n: int, seed: int = 0, split: Split = "held-out", *, detail: float = DETAIL, wording: Wording = 1
) -> tuple[Item, ...]:
    """`n` items of one ability.

    Each prompt ends in ``Answer:``; each choice is one word (or number) with its space before it. Of each choice pair, the
    right one stands first in half of the items.

    Args:
        ability: one of `ABILITIES`.
        n: how many.
        seed: the same seed gives the same items; different abilities and splits draw independently.
        split: "train", or "held-out".
        detail: how much detail makes the stories hard, from 0 to 1: see `courses.narrate`.
        wording: 1 or 2: the same stories and sums, asked about by another pattern of the same bank. Ids and groups stay.

    Raises:
        UnknownName: for an ability or split that this world does not have.
        StimulusError: if detail is none, or too little for the ability.
    """
    if ability not in ABILITIES:
        raise unknown("Ability", ability, ABILITIES)
    _check_detail(ability, detail)
    rng = _generator(ability, seed, split)
    made = (_item(ability, number, rng, split, detail, wording=wording) for number in range(n))
    return tuple(replace(item, id=f"{ability}/{split}/{seed}/{number}") for number, item in enumerate(made))


def narrative(n: int, seed: int = 0, split: Split = "held-out", patterns: Split | None = None) -> tuple[str, ...]:
    """`n` short plain stories without a question: their people and things of `split`, and so their patterns if not said.

    Raises:
        UnknownName: for a split that this world does not have.
    """
    rng = _generator("narrative", seed, split)
    return tuple(plain(rng, split, patterns or split) for _ in range(n))


def prompt(story: str, question: str) -> str:
    """How a question is put: after its story if it has one."""
    return f"Story: {story}\nQuestion: {question}\nAnswer:" if story else f"Question: {question}\nAnswer:"


def plain(rng: np.random.Generator, split: Split, patterns: Split) -> str:
    """One plain story of three to six sentences."""
    cast = Cast.draw(rng, split)
    slots = cast.slots(rng)
    slots |= {"She": slots["she"].capitalize(), "at_place": _place(rng, cast).at, "things": pick(rng, COUNTED)}
    colour = pick(rng, COLOURS)
    slots |= {"some": str(rng.integers(2, 10)), "colour": colour, "a_colour": article(colour)}
    middle = bank("middle", patterns)
    chosen = [middle[i] for i in rng.permutation(len(middle))[: int(rng.integers(1, 5))]]
    phrases = [pick(rng, bank("open", patterns)), *chosen, pick(rng, bank("close", patterns))]
    return " ".join(phrase.text.format_map(slots) for phrase in phrases)


def _place(rng: np.random.Generator, cast: Cast) -> Value:
    return pick(rng, [place for place in cast.scene.places if place.word != cast.thing])


def _generator(ability: str, seed: int, split: str) -> np.random.Generator:
    if split not in get_args(Split):
        raise unknown("Split", split, get_args(Split))
    return np.random.default_rng([seed, split == "held-out", *ability.encode()])


def _item(
    ability: str, number: int, rng: np.random.Generator, split: Split, detail: float, *, wording: Wording
) -> Item:
    right = int(rng.integers(2))
    if ability.startswith("arithmetic"):
        made = addition(rng, split, hard=ability == "arithmetic-hard")
        question = made.question if wording == 1 else reask_sum(made, _further(ability, number, split), split)
        words, text, group = (str(made.answer), str(made.foil)), prompt("", question), made.template
        tags = {"template": made.template, "numbers": f"{made.a} {made.b}", "first": "", "last": "", "origin": ""}
    else:
        kind = _HALVES.get(ability, (ability, ability))[number % 2]
        story = first(
            partial(_story, kind, rng, split, detail, rival=ability == "rival-belief"), _none(ability, detail)
        )
        question = (
            story.question if wording == 1 else reask(story, _further(ability, number, split), split, detail=detail)
        )
        words, text = (story.answer, story.foil), prompt(story.text, question)
        group = f"{story.course}|{story.templates[-1]}"
        tags = _tags(story)
    choices = (f" {words[0]}", f" {words[1]}") if right == 0 else (f" {words[1]}", f" {words[0]}")
    return Item("", text, choices, right, ability, group, tags)


def _further(ability: str, number: int, split: str) -> np.random.Generator:
    """Chance of its own for the second wording of an item, so that the items themselves do not depend on it."""
    return np.random.default_rng([number, split == "held-out", *ability.encode()])


def _story(kind: str, rng: np.random.Generator, split: Split, detail: float, *, rival: bool) -> Story | None:
    """A story; None if it is of the other split, or has a rival where none is wanted."""
    story = tell(kind, rng, split, detail=detail)
    return story if fits(story, split) and misleads(story) == rival else None


def _none(ability: str, detail: float) -> str:
    return f"No story of the ability {ability!r} is told at detail {detail:g}. Give more detail (1 is the most)."


def _check_detail(ability: str, detail: float) -> None:
    """Refuse at once what no number of draws would give: rivals come only in courses that are told with enough detail."""
    if not 0 <= detail <= 1:
        raise StimulusError(f"detail is {detail}. Give 0 (bare events) to 1 (all that the world can say).")
    least = max(map(least_detail, _HALVES["rival-belief"]))
    if ability == "rival-belief" and detail <= least:
        raise StimulusError(
            f"At detail {detail:g} no story is told in which somebody else stays, leaves or is told, so there are no items of "
            f"'rival-belief'. Give a detail above {least:.3g}."
        )


def _tags(story: Story) -> dict[str, str]:
    """What is known of a story.

    ``first``, ``last`` and ``origin`` are what shortcuts would answer; ``names``, ``thing`` and ``values`` are the
    combinations by which train and held-out stories differ.
    """
    return {
        "kind": story.kind,
        "course": story.course,
        "template": " ".join(story.templates),
        "first": story.first,
        "last": story.last,
        "origin": story.origin,
        "now": story.now,
        "names": " ".join(story.names),
        "thing": story.thing,
        "values": " ".join(story.values),
    }
