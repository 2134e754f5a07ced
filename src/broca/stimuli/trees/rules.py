"""Theories of facts and rules in plain words, and questions that take a known number of steps.

Every theory has several people. Each has a chain of its own from a fact over rules to a value, and the chains of all of
them run over the same properties; so neither the place of a value nor the last one mentioned answers a question.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from broca.errors import StimulusError
from broca.items import CONCLUSION, Tree
from broca.stimuli.options import Count, Seed
from broca.stimuli.trees.prompts import add_question, join_statements

PEOPLE = ("Anne", "Bob", "Clara", "Dan", "Emma", "Fred", "Grace", "Hugo")
PROPERTIES = {
    "colour": ("red", "blue", "green", "white", "black", "yellow"),
    "size": ("big", "small", "tall", "short", "huge", "tiny"),
    "mood": ("happy", "sad", "calm", "angry", "shy", "proud"),
    "nature": ("kind", "cruel", "honest", "greedy", "gentle", "rude"),
    "origin": ("northern", "southern", "eastern", "western", "coastal", "alpine"),
    "wit": ("clever", "dull", "wise", "silly", "sharp", "slow"),
}
"""What somebody can be: one value of each property."""
FORMS = {"all": "All {given} people are {then}.", "if": "If someone is {given} then they are {then}."}
Form = Literal["all", "if", "mixed"]
PATIENCE = 1000
"""Distractors tried for a theory; one that was said already is tried in vain."""


@dataclass(frozen=True, slots=True)
class Theory:
    """Shuffled statements, and for each question (person, level) the edges of its proof."""

    statements: tuple[str, ...]
    kinds: tuple[str, ...]
    people: tuple[str, ...]
    properties: tuple[str, ...]
    """Of the chains, from facts up."""
    values: tuple[tuple[str, ...], ...]
    """What each person is, (person, level)."""
    facts: tuple[int, ...]
    """Where the first fact of each person's chain stands."""
    rules: tuple[tuple[tuple[int, ...], ...], ...]
    """The place of each rule of each person's chain, and of the further facts that it takes: (person, level, place)."""

    def edges(self, person: int, level: int) -> tuple[tuple[int, int], ...]:
        """The proof of what a person is at a level of the chain."""
        found, last = [], self.facts[person]
        for rule, *further in self.rules[person][:level]:
            found += [(premise, rule) for premise in (last, *further)]
            last = rule
        return (*found, (last, CONCLUSION))


def rules(
    *,
    depth: int = 2,
    n: Count = 1024,
    seed: Seed = 0,
    chain: int | None = None,
    people: int = 3,
    premises: int = 1,
    distractors: int = 2,
    shuffled: bool = True,
    form: Form = "all",
    properties: int = 4,
    words: int = 4,
) -> tuple[Tree, ...]:
    """Questions about theories; the same question is put about every person of a theory.

    A fact is a leaf, a rule stands one above the highest of its premises: heights go from 1 to `depth` + 1.

    Args:
        depth: rules that a proof takes; 0 for a question that a fact answers.
        n: questions.
        seed: of the theories.
        chain: rules of each person's chain; the question is about the end of the chain when None, as `depth` says.
        people: in each theory.
        premises: of each rule: one from the rule or fact below it, the others facts.
        distractors: rules and facts from which nothing follows that is asked.
        shuffled: statements in random order; otherwise facts stand before rules, and a rule after those it rests on.
        form: how rules are worded: "All kind people are big.", "If someone is kind then they are big.", or both.
        properties: of the world: chains take one more than they have rules, further premises one each.
        words: of each property that the world has; one more than there are people at least.

    Raises:
        StimulusError: if the numbers do not fit the world.
    """
    length = depth if chain is None else chain
    _fits_world(properties, words, people)
    if n < 1 or distractors < 0:
        raise StimulusError(f"n={n}, distractors={distractors}. Give n of 1 or more, and 0 distractors or more.")
    _fits_chain(depth, length, premises, properties)
    found: list[Tree] = []
    for number in range(-(-n // people)):
        rng = np.random.default_rng([seed, number])
        made = theory(
            rng,
            chain=length,
            people=people,
            premises=premises,
            distractors=distractors,
            shuffled=shuffled,
            form=form,
            world=(properties, words),
        )
        found += [question(made, person, depth, f"rules/{seed}/{number}") for person in range(people)]
    return tuple(found[:n])


def _fits_world(properties: int, words: int, people: int) -> None:
    most = len(next(iter(PROPERTIES.values())))
    if not 2 <= properties <= len(PROPERTIES) or not 3 <= words <= most or not 2 <= people < words:
        raise StimulusError(
            f"properties={properties}, words={words}, people={people}. Give 2 to {len(PROPERTIES)} properties, 3 to "
            f"{most} words, and 2 people or more, but fewer than words."
        )


def _fits_chain(depth: int, chain: int, premises: int, properties: int) -> None:
    spare = properties - chain - 1
    if not (0 <= depth <= chain and spare >= 0):
        raise StimulusError(
            f"depth={depth}, chain={chain}. Give 0 <= depth <= chain <= {properties - 1} (one less than there are properties)."
        )
    if not 1 <= premises <= spare + 1:
        raise StimulusError(
            f"premises={premises}. With {properties} properties, chains of {chain} rules can have 1 to {spare + 1}."
        )


def question(made: Theory, person: int, level: int, group: str) -> Tree:
    """What a person of a theory is at a level of the chain."""
    text, spans = join_statements(made.statements)
    text, query = add_question(text, ask(made.properties[level], made.people[person]))
    return Tree(
        id=f"{group}/{made.people[person]}-{level}",
        text=text,
        statements=spans,
        query=query,
        edges=made.edges(person, level),
        choices=tuple(f" {values[level]}" for values in made.values),
        answer=person,
        group=group,
        kinds=made.kinds,
        tags={"task": "rules", "depth": str(level), "statements": str(len(spans))},
    )


def ask(prop: str, person: str) -> str:
    """The question, as it stands after the statements."""
    return f"\nThe {prop} of {person} is"


def theory(
    rng: np.random.Generator,
    *,
    chain: int,
    people: int,
    premises: int = 1,
    distractors: int = 0,
    shuffled: bool = True,
    form: Form = "all",
    world: tuple[int, int] = (4, 4),
) -> Theory:
    """One theory; see `rules`."""
    cast = _Cast.draw(rng, chain, people, world)
    teller = _Teller(rng, form)
    facts = [teller.fact(name, cast.words[cast.steps[0]][p]) for p, name in enumerate(cast.names[:people])]
    taken = cast.spare[: premises - 1]
    further = [
        tuple(teller.fact(name, cast.words[prop][p]) for prop in taken) for p, name in enumerate(cast.names[:people])
    ]
    chains = []
    for p in range(people):
        with_these = [cast.words[prop][p] for prop in taken]
        steps = [cast.words[prop][p] for prop in cast.steps]
        chains.append([(teller.rule([given, *with_these], then), *further[p]) for given, then in pairwise(steps)])
    for _ in range(PATIENCE):
        if len(teller.said) == people * (chain + premises) + distractors:
            break
        _distract(rng, teller, cast, people, taken)
    else:
        raise StimulusError(
            f"A world of {world[0]} properties with {world[1]} words has no {distractors} distractors for {people} people. "
            "Ask for fewer, or for a larger world."
        )
    order = rng.permutation(len(teller.said)) if shuffled else np.arange(len(teller.said))
    place = {int(old): new for new, old in enumerate(order)}
    return Theory(
        statements=tuple(list(teller.said)[i] for i in order),
        kinds=tuple(list(teller.said.values())[i] for i in order),
        people=cast.names[:people],
        properties=cast.steps,
        values=tuple(tuple(cast.words[prop][p] for prop in cast.steps) for p in range(people)),
        facts=tuple(place[fact] for fact in facts),
        rules=tuple(tuple(tuple(place[i] for i in step) for step in steps) for steps in chains),
    )


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who and what a theory is about: the i-th word of a property is what the i-th person is."""

    names: tuple[str, ...]
    steps: tuple[str, ...]
    spare: tuple[str, ...]
    words: dict[str, list[str]]

    @classmethod
    def draw(cls, rng: np.random.Generator, chain: int, people: int, world: tuple[int, int]) -> _Cast:
        properties = tuple(list(PROPERTIES)[i] for i in rng.permutation(world[0]))
        words = {prop: [PROPERTIES[prop][i] for i in rng.permutation(world[1])] for prop in properties}
        names = tuple(PEOPLE[i] for i in rng.permutation(len(PEOPLE))[: people + 2])
        return cls(names, properties[: chain + 1], properties[chain + 1 :], words)


class _Teller:
    """Statements as they are said; none is said twice."""

    def __init__(self, rng: np.random.Generator, form: Form) -> None:
        self.rng = rng
        self.form = form
        self.said: dict[str, str] = {}

    def fact(self, name: str, value: str) -> int:
        return self._say(f"{name} is {value}.", "fact")

    def rule(self, given: list[str], then: str) -> int:
        form = self.form if self.form != "mixed" else list(FORMS)[self.rng.integers(2)]
        return self._say(FORMS[form].format(given=" and ".join(given), then=then), "rule")

    def _say(self, text: str, kind: str) -> int:
        self.said.setdefault(text, kind)
        return list(self.said).index(text)


def _distract(rng: np.random.Generator, teller: _Teller, cast: _Cast, people: int, taken: tuple[str, ...]) -> None:
    """A fact about somebody else, or beside the point; a rule from what nobody is, or that lacks a premise."""
    p, level, chance = int(rng.integers(people)), int(rng.integers(len(cast.steps))), rng.random()
    beside = cast.spare[len(taken) :]
    if chance < 0.2 and beside:
        teller.fact(cast.names[p], cast.words[beside[rng.integers(len(beside))]][p])
        return
    then = str(rng.choice(cast.words[cast.steps[level]]))
    if chance < 0.4:
        teller.fact(cast.names[people + rng.integers(2)], then)
    elif chance < 0.7 and taken and level:
        wrong = [cast.words[prop][(p + 1) % people] for prop in taken]
        teller.rule([cast.words[cast.steps[level - 1]][p], *wrong], then)
    else:
        below = cast.steps[level - 1] if level else (*cast.spare, cast.steps[-1])[0]
        teller.rule([str(rng.choice(cast.words[below][people:]))], then)
