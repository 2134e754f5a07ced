"""Questions in natural language, and how items are drawn from them: balanced, with examples that are never asked."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.options import Wording

T = TypeVar("T")

Level = Literal["easy", "usual", "hard"]
MOST_SHOTS = 10
"""Examples that every ability can spare, at every level."""
Shots = Annotated[int, Field(ge=0, le=MOST_SHOTS)]

FEWEST_GROUPS = 20
"""Groups that are asked about at least, however many give examples."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question: in two wordings, with what is right and what may stand beside it."""

    wordings: tuple[str, str]
    """What the answer follows, without the space between."""
    answer: str
    foils: tuple[str, ...]
    """Wrong answers, of which an item has some."""
    group: str
    kind: str = ""
    """What is balanced: each kind is asked about equally often. By default the answer."""
    frame: int = 0
    """Which of several sentences of a wording it is: examples have the frame of what is asked."""
    near: tuple[str, ...] = ()
    """Wrong answers that every item has."""
    end: str = "."
    """What ends it as an example."""

    @property
    def balance(self) -> str:
        return self.kind or self.answer

    def text(self, wording: Wording, answer: str | None = None) -> str:
        """The question as an example: with its answer, or with another one."""
        return f"{self.wordings[wording - 1]} {self.answer if answer is None else answer}{self.end}"


@dataclass(frozen=True, slots=True)
class Ability:
    """An ability: all that can be asked about, how many choices an item has, and how many examples stand before it."""

    questions: Callable[[random.Random, Level], Sequence[Question]]
    choices: int | Mapping[Level, int]
    shots: int = 0
    """The usual number of examples."""
    gap: str = "\n"
    """What parts examples."""

    def count(self, level: Level) -> int:
        """How many choices an item of this level has."""
        return self.choices if isinstance(self.choices, int) else self.choices[level]


@dataclass(frozen=True, slots=True)
class Draw:
    """A question as it is asked: behind which examples, among which choices."""

    question: Question
    examples: tuple[Question, ...]
    choices: tuple[str, ...]
    place: int
    """Of the right answer among the choices."""
    gap: str = field(default="\n", repr=False)

    def prompt(self, wording: Wording, answers: Sequence[str] | None = None) -> str:
        """The examples and the question; with other answers of the examples where these are given."""
        own = [each.answer for each in self.examples] if answers is None else answers
        told = [each.text(wording, answer) for each, answer in zip(self.examples, own, strict=True)]
        return self.gap.join([*told, self.question.wordings[wording - 1]])


def draw(name: str, ability: Ability, *, n: int, seed: int, shots: int | None, level: Level) -> list[Draw]:
    """Draw questions, kinds and groups and positions in turn; the order at the end is shuffle.

    The wording has no part in it: in both wordings the same is asked, among the same choices, behind the same examples.

    Args:
        name: of the ability, which with the level and the seed decides.
        ability: what can be asked.
        n: items.
        seed: of all draws.
        shots: examples before each; None for the usual number. Their groups are never asked about.
        level: how hard.

    Raises:
        StimulusError: if so many examples would leave fewer than 20 groups to ask about.
    """
    stream = random.Random(f"{name}/{level}/{seed}")  # noqa: S311 - stimuli, no secrets
    pool = list(ability.questions(stream, level))
    count = ability.shots if shots is None else shots
    kept = _examples(name, pool, count, stream)
    frames = 1 + max(question.frame for question in pool)
    asked = [question for question in pool if question.group not in kept]
    kinds = _by_kind(asked, stream)
    examples = _Examples([question for question in pool if question.group in kept], count, stream)
    foils = _Foils(ability.count(level) - 1, frozenset(question.answer for question in asked), stream)
    found: list[Draw] = []
    for i in range(n):
        turn, kind = divmod(i, len(kinds))
        own = kinds[kind]
        visit, group = divmod(turn, len(own))
        framed = [question for question in own[group] if question.frame == visit % frames]
        question = framed[visit // frames % len(framed)]
        choices = foils.of(question)
        place = (turn + kind) % (len(choices) + 1)
        found.append(
            Draw(
                question,
                examples.of(question.frame, visit),
                (*choices[:place], question.answer, *choices[place:]),
                place,
                ability.gap,
            )
        )
    stream.shuffle(found)
    return found


def items(name: str, drawn: Iterable[Draw], *, level: Level, wording: Wording) -> tuple[Item, ...]:
    """Items of what was drawn; the tags say the level, the wording, and of which groups the examples are."""
    return tuple(
        Item(
            id=f"{name.rpartition('/')[2]}:{number}",
            prompt=each.prompt(wording),
            choices=each.choices,
            answer=each.place,
            ability=name,
            group=each.question.group,
            tags={
                "kind": each.question.balance,
                "level": level,
                "wording": str(wording),
                "examples": "|".join(example.group for example in each.examples),
            },
        )
        for number, each in enumerate(drawn)
    )


class _Examples:
    """Sets of examples: one for each frame and visit, kinds in turn."""

    def __init__(self, pool: Sequence[Question], count: int, stream: random.Random) -> None:
        self._kinds = _by_kind(pool, stream)
        self._count, self._stream = count, stream
        self._sets: dict[tuple[int, int], tuple[Question, ...]] = {}

    def of(self, frame: int, visit: int) -> tuple[Question, ...]:
        if not self._count:
            return ()
        if (frame, visit) not in self._sets:
            self._sets[frame, visit] = self._draw(frame)
        return self._sets[frame, visit]

    def _draw(self, frame: int) -> tuple[Question, ...]:
        left = [shuffle(own, self._stream) for own in shuffle(self._kinds, self._stream)]
        found: list[Question] = []
        while len(found) < self._count:
            taken = {each.group for each in found}
            for own in left:
                fresh = next((i for i, group in enumerate(own) if group[0].group not in taken), None)
                if fresh is not None and len(found) < self._count:
                    found.append(self._stream.choice([each for each in own.pop(fresh) if each.frame == frame]))
                    taken.add(found[-1].group)
        return tuple(shuffle(found, self._stream))


def _by_kind(pool: Sequence[Question], stream: random.Random) -> list[list[list[Question]]]:
    """For each kind, for each of its groups, the questions; all in random order."""
    found: dict[str, dict[str, list[Question]]] = defaultdict(lambda: defaultdict(list))
    for question in pool:
        found[question.balance][question.group].append(question)
    return shuffle(
        [shuffle([shuffle(own, stream) for own in groups.values()], stream) for groups in found.values()], stream
    )


def _examples(name: str, pool: Sequence[Question], count: int, stream: random.Random) -> set[str]:
    """The groups that give examples: three times as many as there are examples, where that leaves enough, kinds in turn."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for question in pool:
        if question.group not in kinds[question.balance]:
            kinds[question.balance].append(question.group)
    spare = len({question.group for question in pool}) - FEWEST_GROUPS
    if count > spare:
        raise StimulusError(
            f"{name} can spare {max(spare, 0)} groups of items for examples, and shots is {count}. Give {max(spare, 0)} at most."
        )
    wanted = min(3 * count, spare)
    found: list[str] = []
    left = [shuffle(groups, stream) for groups in shuffle(list(kinds.values()), stream)]
    while len(found) < wanted:
        for groups in left:
            fresh = [group for group in groups if group not in found]
            if fresh and len(found) < wanted:
                found.append(fresh[0])
    return set(found)


class _Foils:
    """Wrong answers: the near ones, then those that were used least, so that each is wrong about as often as it is right.

    Answers of examples come last: they are right nowhere. Where a question has had its wrong answers already, any others are drawn.
    """

    def __init__(self, count: int, right: frozenset[str], stream: random.Random) -> None:
        self._count, self._right, self._stream = count, right, stream
        self._used: Counter[str] = Counter()
        self._had: set[tuple[str, frozenset[str]]] = set()

    def of(self, question: Question) -> tuple[str, ...]:
        rest = shuffle([foil for foil in question.foils if foil not in question.near], self._stream)
        found = self._first(question, sorted(rest, key=self._rank))
        for _ in range(20):
            if (question.wordings[0], frozenset(found)) not in self._had:
                break
            found = self._first(question, sorted(shuffle(rest, self._stream), key=lambda foil: foil not in self._right))
        self._used.update(found)
        self._had.add((question.wordings[0], frozenset(found)))
        return tuple(shuffle(found, self._stream))

    def _rank(self, foil: str) -> tuple[bool, int]:
        return foil not in self._right, self._used[foil]

    def _first(self, question: Question, rest: Sequence[str]) -> list[str]:
        return [*question.near, *rest][: self._count]


def shuffle(things: Sequence[T], stream: random.Random) -> list[T]:
    """In random order."""
    return stream.sample(list(things), len(things))
