"""Abilities in natural language that small models have: items made from word lists and sentences of our own.

benchmark("facts/capitals", level="hard")
benchmark("incontext/antonyms", shots=8, wording=2)
benchmark("recall/capitals")                        # the control: the same answers, repeated from the text

Every ability comes in three levels and two wordings. What is right, and which of the choices, is balanced; the groups that give examples
are never asked about. In both wordings the same is asked, among the same choices.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import Field

from broca.items import Item
from broca.stimuli.natural import facts, grammar, numbers, tales, texts, words
from broca.stimuli.natural.questions import Ability, Draw, Level, Shots, Wording, draw, items
from broca.stimuli.options import Seed

__all__ = ["ABILITIES", "Draw", "ability_draws", "natural"]

Number = Annotated[int, Field(ge=1, le=10_000)]

ABILITIES: dict[str, Ability] = {
    "facts/capitals": facts.relation(facts.CAPITALS, lambda country: country.capital),
    "facts/languages": facts.relation(facts.LANGUAGES, lambda country: country.language),
    "facts/currencies": facts.relation(facts.CURRENCIES, lambda country: country.currency),
    "facts/continents": facts.relation(facts.CONTINENTS, lambda country: country.continent),
    "kinds": facts.membership("kinds", facts.KINDS, split=None, plain=False),
    "colours": facts.membership("colours", facts.COLOURS, split=";", plain=True),
    "grammar/agreement": grammar.agreement(),
    "grammar/anaphora": grammar.anaphora(),
    "incontext/antonyms": words.function("antonyms", ("{} ->", "The opposite of {} is")),
    "incontext/past": words.function("past", ("{} ->", "Today I {}, yesterday I")),
    "incontext/plural": words.function("plural", ("{} ->", "One {}, two")),
    "incontext/copying": words.copying(),
    "arithmetic/sums": numbers.calculation("+", "plus", lambda a, b: a + b),
    "arithmetic/differences": numbers.calculation("-", "minus", lambda a, b: a - b),
    "arithmetic/comparison": numbers.comparison(),
    "sentiment": texts.sentiment(),
    "negation": texts.negation(),
    "order/transitive": texts.order(),
    "stories/belief": tales.tale("belief"),
    "stories/photograph": tales.tale("photograph"),
    "stories/reality": tales.tale("reality"),
    "stories/memory": tales.tale("memory"),
}
"""The abilities in natural language, by name."""


def natural(
    name: str,
    *,
    n: Number = 240,
    seed: Seed = 0,
    shots: Shots | None = None,
    level: Level = "usual",
    wording: Wording = 1,
) -> tuple[Item, ...]:
    """Items of an ability in natural language.

    Args:
        name: of `ABILITIES`.
        n: items.
        seed: of all draws.
        shots: examples before each question, from groups that are never asked about; by default as many as the ability usually has.
        level: how hard: what that means is said of each ability.
        wording: 1 or 2: the same items in other words.

    Raises:
        StimulusError: if the ability cannot spare so many examples.
    """
    return _items(name, n=n, seed=seed, shots=shots, level=level, wording=wording)


@lru_cache(maxsize=32)
def _items(name: str, *, n: int, seed: int, shots: int | None, level: Level, wording: Wording) -> tuple[Item, ...]:
    """Remembered, since a study asks for the same ones again and again."""
    return items(name, ability_draws(name, n=n, seed=seed, shots=shots, level=level), level=level, wording=wording)


def ability_draws(name: str, *, n: int, seed: int, shots: int | None, level: Level) -> list[Draw]:
    """What is asked, before it is put into words.

    Raises:
        StimulusError: as `natural`.
    """
    return draw(name, ABILITIES[name], n=n, seed=seed, shots=shots, level=level)
