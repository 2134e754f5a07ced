"""What stands beside an ability in natural language: the same answers as the next word of a list, and contrasts that localize it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, NamedTuple

from pydantic import Field

from broca.errors import StimulusError
from broca.items import Contrast, Item, Stimulus
from broca.stimuli import paradigms
from broca.stimuli.natural import ABILITIES, Number, ability_draws, natural, tales
from broca.stimuli.natural.questions import MOST_SHOTS, Draw, Level, Wording, draw
from broca.stimuli.natural.words import fresh_list
from broca.stimuli.options import Seed

RECALLED = {
    f"recall/{name.rpartition('/')[2]}": name
    for name in ABILITIES
    if name.partition("/")[0] in ("facts", "kinds", "colours", "arithmetic", "sentiment")
    or name in ("incontext/antonyms", "incontext/past", "incontext/plural")
    if name != "arithmetic/comparison"
}
"""The controls by name, and the ability whose answers each has. Where the choices stand in the text already, or are two forms of a
word, there is none."""

_BETWEEN = (", ", "; ")
"""What parts the words of a list, in either wording."""
_ROUNDS = 2
"""How often the whole list is said before it is asked for."""

Pairs = Annotated[int, Field(ge=2, le=10_000)]
ContrastShots = Annotated[int, Field(ge=0, le=MOST_SHOTS)]
Sides = tuple[str, str]


def recall(
    name: str, *, n: Number = 240, seed: Seed = 0, level: Level = "usual", wording: Wording = 1
) -> tuple[Item, ...]:
    """The control of an ability: its very answers among its very choices, which come next in a list that is said again and again.

    "Oslo, Rome, Paris, Oslo, Rome, Paris, Oslo," goes on without knowing any capital. Item by item, group and answer are those of the
    ability with these options.

    Args:
        name: of `RECALLED`.
        n: items.
        seed: of all draws.
        level: of the ability.
        wording: 1 or 2: the same items, other marks between the words.
    """
    asked = natural(RECALLED[name], n=n, seed=seed, level=level)
    return tuple(_recall_item(name, item, f"{name}/{seed}/{number}", wording) for number, item in enumerate(asked))


def _recall_item(name: str, item: Item, seed: str, wording: Wording) -> Item:
    stream = random.Random(seed)  # noqa: S311 - stimuli, no secrets
    words = stream.sample(item.choices, len(item.choices))
    said = [*words * _ROUNDS, *words[: words.index(item.choices[item.answer])]]
    between = _BETWEEN[wording - 1]
    tags = {**item.tags, "wording": str(wording), "examples": ""}
    return replace(item, prompt=f"{between.join(said)}{between.rstrip()}", ability=name, tags=tags)


def _choices_shown(drawn: Draw, wording: Wording) -> Sides:
    """Examples as they are, and with their answers moved on by one: the same words, and no relation between them."""
    answers = [each.answer for each in drawn.examples]
    return drawn.prompt(wording), drawn.prompt(wording, [*answers[1:], *answers[:1]])


def _complete(drawn: Draw, wording: Wording) -> Sides:
    """The sentence as it goes on rightly, and wrongly."""
    asked = drawn.prompt(wording)
    return f"{asked} {drawn.question.answer}", f"{asked} {next(c for c in drawn.choices if c != drawn.question.answer)}"


def _begun_again(drawn: Draw, wording: Wording) -> Sides:
    """A list that begins again, and the same beginning behind a list of other words."""
    asked = drawn.prompt(wording)
    return asked, fresh_list(asked)


class Kind(NamedTuple):
    """What the two sides of a contrast are."""

    sides: Callable[[Draw, Wording], Sides]
    shots: int
    """Examples before each."""
    source: str


_SHOTS = Kind(
    _choices_shown, 5, f"what examples show, against the same words in another order. Paradigm: {paradigms.SHOTS}"
)
_GRAMMAR = Kind(_complete, 0, f"sentences that agree, against those that do not. Paradigm: {paradigms.AGREEMENT}")

_COPYING = Kind(
    _begun_again,
    0,
    f"lists that begin again, against the same words behind a list of others. Paradigm: {paradigms.INDUCTION}",
)

CONTRASTS: dict[str, Kind] = {
    **dict.fromkeys((name for name in ABILITIES if name.startswith("facts/")), _SHOTS),
    **dict.fromkeys(("kinds", "colours", "incontext/antonyms", "incontext/past", "incontext/plural"), _SHOTS),
    "incontext/copying": _COPYING,
    **dict.fromkeys(("grammar/agreement", "grammar/anaphora"), _GRAMMAR),
}
"""The contrasts that localize an ability, by its name."""


def natural_contrast(
    name: str,
    *,
    n: Pairs = 120,
    seed: Seed = 0,
    shots: ContrastShots | None = None,
    level: Level = "usual",
    wording: Wording = 1,
) -> Contrast:
    """The contrast that localizes an ability in natural language, in pairs of the same words.

    Args:
        name: of `CONTRASTS`.
        n: pairs.
        seed: of all draws.
        shots: examples before each; by default 5, and none before sentences that agree or do not.
        level: how hard.
        wording: 1 or 2: the same pairs in other words.

    Raises:
        StimulusError: if the two sides differ in the examples, and there are fewer than two.
    """
    sides, usual, source = CONTRASTS[name]
    shots = usual if shots is None else shots
    if usual and shots < 2:
        raise StimulusError(
            f"The sides of {name!r} differ in the order of the answers of examples, and shots is {shots}. Give 2 or more."
        )
    drawn: Sequence[Draw] = ability_draws(name, n=n, seed=seed, shots=shots, level=level)
    positive: list[Stimulus] = []
    negative: list[Stimulus] = []
    for number, each in enumerate(drawn):
        for side, sign, text in zip((positive, negative), "+-", sides(each, wording), strict=True):
            side.append(Stimulus(f"{name.rpartition('/')[2]}:{number}{sign}", text, each.question.group))
    return Contrast(
        name, tuple(positive), tuple(negative), paired=True, source=f"Generated for this project: {source}."
    )


def belief_contrast(*, n: Pairs = 120, seed: Seed = 0, level: Level = "usual", wording: Wording = 1) -> Contrast:
    """Stories of what somebody believes (positive) against stories of what a photograph shows: pairs of the same people, things and places.

    Args:
        n: pairs, half of them of what is out of date.
        seed: of all draws.
        level: how hard.
        wording: 1 or 2: the same pairs in other words.
    """
    positive, negative = (
        tuple(
            Stimulus(f"{ask}:{number}", each.prompt(wording), each.question.group)
            for number, each in enumerate(draw("stories", tales.tale(ask), n=n, seed=seed, shots=0, level=level))
        )
        for ask in ("belief", "photograph")
    )
    source = (
        "Generated for this project: stories of beliefs against stories of photographs, out of date half and half. "
    )
    source += f"Paradigm: {paradigms.BELIEF}."
    return Contrast("stories/belief", positive, negative, paired=True, source=source)
