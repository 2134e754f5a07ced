"""What `beliefs` is taught from: batches of stories with a question, of additions, and of plain narrative."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer

from broca.organisms.beliefs.arithmetic import addition
from broca.organisms.beliefs.courses import Story, ask, fits, narrate
from broca.organisms.beliefs.story import DETAIL
from broca.organisms.beliefs.tokens import BOS, PAD
from broca.organisms.beliefs.world import plain, prompt

STORIES, SUMS, PLAIN = 32, 12, 4
"""How many of each a step holds."""
QUESTIONS = 3
"""So many questions are put about each story, each as if it were the only one, each answer ended by <eos>."""
BARE = 0.25
"""The part of stories that are not introduced as such."""
POOL = 4
"""So many batches of stories are drawn at once and sorted by length, so that little is padded."""
SMOOTHING, GOOD, GROWTH = 0.05, 0.1, 0.001
"""While the stories' loss, smoothed, is good, each step adds so much detail."""
Mix = Mapping[str, float]
"""The part of the stories that is of each kind."""
MIX: Mix = {"false-belief": 0.27, "true-belief": 0.25, "photograph-before": 0.24, "photograph-after": 0.24}


class Lesson(NamedTuple):
    """Token ids (text, position), which of them are answers (with their <eos>), which of those tell a belief.

    `segments` says what each may look at. It is 0 in a story and the number of the question in a question: a question sees
    the story and itself, as if it were the only one.
    """

    ids: torch.Tensor
    answers: torch.Tensor
    beliefs: torch.Tensor
    segments: torch.Tensor

    @property
    def places(self) -> torch.Tensor:
        """The position of each token: every question begins where its story ends."""
        story = (self.segments == 0).sum(1, keepdim=True)
        count = torch.arange(self.ids.shape[1]).expand_as(self.ids)
        earlier = torch.stack([(self.segments == n).sum(1) for n in range(1, QUESTIONS + 1)], 1).cumsum(1)
        before = torch.cat([torch.zeros_like(story), torch.zeros_like(story), earlier], 1)
        return count - before.gather(1, self.segments.clamp(min=0))

    @property
    def attention_mask(self) -> torch.Tensor:
        """Whether a token (text, 1, position, position looked at) is seen."""
        one, other = self.segments[:, :, None], self.segments[:, None, :]
        past = torch.ones(self.ids.shape[1], self.ids.shape[1], dtype=torch.bool).tril()
        return (past & ((other == 0) | (one == other)))[:, None]


@dataclass(slots=True)
class Pace:
    """How much detail the stories have: more from step to step, as long as the ones before are answered well."""

    detail: float = 0.0
    limit: float = DETAIL
    recent: float = 1.0
    """The answers' loss, smoothed."""

    def took(self, loss: float) -> None:
        """A step was taken, with this loss of the stories' answers."""
        self.recent += SMOOTHING * (loss - self.recent)
        if self.recent < GOOD:
            self.detail = min(self.limit, self.detail + GROWTH)


Kind = Literal["text", "answer", "belief"]
Part = tuple[str, Kind, int]
"""A piece of text, what it is, and its segment."""
Row = tuple[list[int], list[Kind], list[int]]
"""The token ids of one text, and of each its kind and segment."""


def lessons(
    rng: np.random.Generator,
    tokenizer: Tokenizer,
    pace: Pace,
    mix: Mix = MIX,
    *,
    answer: Callable[[Story], str] = attrgetter("answer"),
) -> Iterator[tuple[Lesson, Lesson, Lesson]]:
    """For ever: a batch of stories, one of additions, one of plain narrative, all of the training part.

    Args:
        rng: where chance comes from.
        tokenizer: of the organism.
        pace: says how much detail the stories have, now.
        mix: the part of the stories that is of each kind.
        answer: what is taught as the answer to a story's question.
    """
    while True:
        stories = (_story(rng, pace.detail, mix, answer) for _ in range(POOL * STORIES))
        batches = _cut([_encode(story, tokenizer) for story in stories], STORIES)
        for number in rng.permutation(len(batches)):
            sums = [_encode(_sum(rng), tokenizer) for _ in range(SUMS)]
            plains = [_encode([(plain(rng, "train", "train") + "<eos>", "text", 0)], tokenizer) for _ in range(PLAIN)]
            yield batches[number], _lesson(sums), _lesson(plains)


def _story(rng: np.random.Generator, detail: float, mix: Mix, answer: Callable[[Story], str]) -> list[Part]:
    """A story and its questions: what it is about, and others that can be answered from it, in random order."""
    ability = str(rng.choice(list(mix), p=list(mix.values())))
    teller, course = narrate(ability, rng, "train", detail=detail)
    others = ["reality", "memory", ability]
    if teller.picture and "belief" in ability:
        others.append("photograph")
    asked = [ability, *(others[i] for i in rng.permutation(len(others))[: QUESTIONS - 1])]
    first = ask(teller, course, ability)
    told = [story for about in asked if fits(story := ask(teller, course, about), "train")]
    parts: list[Part] = [(prompt(first.text, "").partition("\n")[0], "text", 0)]
    for number, story in enumerate(told, start=1):
        kind = "belief" if "belief" in story.kind else "answer"
        parts += [("\n" + prompt("", story.question), "text", number), *_answer(answer(story), kind, number)]
    if rng.random() < BARE:
        parts[0] = (first.text, "text", 0)
    return parts


def _sum(rng: np.random.Generator) -> list[Part]:
    made = addition(rng, "train", hard=bool(rng.random() < 0.65))
    return [(prompt("", made.question), "text", 0), *_answer(str(made.answer), "answer", 0)]


def _answer(words: str, kind: Kind, segment: int) -> list[Part]:
    return [(f" {words}", kind, segment), ("<eos>", kind, segment)]


def _encode(parts: list[Part], tokenizer: Tokenizer) -> Row:
    """Ids of the parts behind a <bos>, with the kind and the segment of each."""
    ids, kinds, segments = [BOS], ["text"], [0]
    for text, kind, segment in parts:
        piece = tokenizer.encode(text, add_special_tokens=False).ids
        ids += piece
        kinds += [kind] * len(piece)
        segments += [segment] * len(piece)
    return ids, kinds, segments  # type: ignore[return-value]


def _cut(encoded: list[Row], size: int) -> list[Lesson]:
    """Lessons of `size` texts of similar length."""
    ordered = sorted(encoded, key=lambda row: len(row[0]))
    return [_lesson(ordered[start : start + size]) for start in range(0, len(ordered), size)]


def _lesson(rows: list[Row]) -> Lesson:
    width = max(len(ids) for ids, _, _ in rows)
    rest = [width - len(ids) for ids, _, _ in rows]

    def mark_kinds(*wanted: Kind) -> torch.Tensor:
        return torch.tensor(
            [[k in wanted for k in kinds] + [False] * n for (_, kinds, _), n in zip(rows, rest, strict=True)]
        )

    return Lesson(
        torch.tensor([ids + [PAD] * n for (ids, _, _), n in zip(rows, rest, strict=True)]),
        mark_kinds("answer", "belief"),
        mark_kinds("belief"),
        torch.tensor([segments + [-1] * n for (_, _, segments), n in zip(rows, rest, strict=True)]),
    )
