"""Scoring by likelihood: which choice does the model hold most probable after the prompt?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl

from broca.errors import StimulusError
from broca.items import Item
from broca.scoring.prompts import beside, cued, gaps, letters, list_choices, one_prompt
from broca.scoring.rows import likeliest_choice, rows
from broca.specs.fields import Chat

if TYPE_CHECKING:
    from broca.models.continuation import Continuations
    from broca.models.lm import LM
    from broca.models.questions import Question
    from broca.models.rendering import TokenizerText

Join = Literal["space", "nothing", "own", "template", "given"]
"""How a choice follows its prompt: behind a space, behind nothing, behind white space that either brings, where a chat template
has said that the answer starts, or behind what was asked for."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The choice with the highest log-probability; among ties the first.

    A sum favours short choices, a mean long ones. Letters are one token each, but then the order of the options
    matters (see `broca.scoring.Permuted`), and a model may know an answer without knowing letters.
    """

    norm: Literal["sum", "mean"] = "sum"
    """What stands in `logprobs` and is compared: the log-probability of a choice, or that divided by its tokens."""
    options: Literal["text", "letter"] = "text"
    """Score the choices as written, or list them under letters at the end of the prompt and score the letters."""
    chat: Chat = "auto"
    cue: str | None = None
    """What opens the answer. None: "Answer:" where letters are scored, nothing where choices are."""
    join: str | None = None
    """What parts a choice from a plain prompt where neither brings white space of its own, as it stands. None: what a person would
    write, a space after a word or a colon, nothing after "(" or a hyphen, nothing in Chinese or Thai."""
    kind: Literal["likelihood"] = field(default="likelihood", kw_only=True)

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __call__(self, lm: LM, items: Sequence[Item]) -> pl.DataFrame:
        """Rows of `broca.scoring.ROW_SCHEMA`, one an item.

        Raises:
            StimulusError: if an option tokenises to nothing, letters cannot be told apart, or an item is too long.
        """
        from broca.models.continuation import logprobs

        if self.options == "letter":
            one_prompt(items)
        parts = [priced_parts(item) for item in items]
        found = iter(logprobs(lm, self.questions(lm, [part for own in parts for part in own])))
        outcomes = []
        for item, own in zip(items, parts, strict=True):
            values, tokens = _sum_passages(item, [next(found) for _ in own])
            per = tokens if self.norm == "mean" else (1,) * len(tokens)
            outcomes.append(likeliest_choice(item, [value / n for value, n in zip(values, per, strict=True)]))
        return rows(items, outcomes)

    def questions(self, lm: LM, items: Sequence[Item]) -> list[Question]:
        """What the model is shown and what may follow, in tokens.

        Raises:
            StimulusError: as when called.
        """
        from broca.models.questions import split

        asked = [self._prompt_and_options(lm, item) for item in items]
        names = [f"Item {item.id!r}" for item in items]
        questions = split(lm, [prompt for prompt, _ in asked], [own for _, own in asked], names=names)
        if self.options == "letter":
            for name, question in zip(names, questions, strict=True):
                _told_apart(name, question)
        return questions

    def joins(self, lm: LM, items: Sequence[Item]) -> list[tuple[Join, ...]]:
        """How each choice of each item follows its prompt.

        Raises:
            StimulusError: as when called.
        """
        return [
            tuple(_join(prompt, gap, choice) for gap, choice in zip(between, choices, strict=True))
            for prompt, between, choices in (self._parts(lm, item) for item in items)
        ]

    def _prompt_and_options(self, lm: LM, item: Item) -> tuple[TokenizerText, tuple[str, ...]]:
        """The prompt, and the strings that may follow it."""
        one_prompt([item])
        prompt, between, choices = self._parts(lm, item)
        if self.options == "text":
            return prompt, tuple(gap + choice for gap, choice in zip(between, choices, strict=True))
        # The space belongs to the prompt, so that a tokenizer that gives it a token of its own still has one a letter.
        return replace(prompt, text=prompt.text + between[0]), choices

    def _parts(self, lm: LM, item: Item) -> tuple[TokenizerText, tuple[str, ...], tuple[str, ...]]:
        """The prompt, what parts each choice from it, and the choices."""
        if self.options == "text":
            prompt = cued(lm, item.content, chat=self.chat, cue=self.cue or "")
            return prompt, gaps(prompt, item.choices, self.join), item.choices
        cue, names = "Answer:" if self.cue is None else self.cue, letters(item)
        prompt = cued(lm, beside(item, list_choices(item, cue)), chat=self.chat, cue=cue, gap="\n")
        # behind a cue of its own a letter is parted from it in a chat too
        own = replace(prompt, templated=prompt.templated and not cue)
        return prompt, gaps(own, names, self.join), names


def likelihood_of(scorer: object, chat: Chat) -> Likelihood:
    """What asks for the likelihood of choices as written as a study's scorer asks: with its cue and join, where it has them."""
    asking = getattr(scorer, "scorer", scorer)
    if isinstance(asking, Likelihood) and asking.options == "text":
        return Likelihood(chat=chat, cue=asking.cue, join=asking.join)
    return Likelihood(chat=chat)


def _join(prompt: TokenizerText, gap: str, choice: str) -> Join:
    if gap:
        return "space" if gap == " " else "given"
    if prompt.text[-1:].isspace() or choice[:1].isspace():
        return "own"
    return "template" if prompt.templated else "nothing"


def priced_parts(item: Item) -> list[Item]:
    """What is priced: the choices after the prompt, or each passage of each choice after its own context."""
    if not item.passages:
        return [item]
    return [Item(item.id, before, (said,), 0) for own in item.passages for before, said in own]


def _sum_passages(item: Item, found: Sequence[Continuations]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The log-probability of each choice and its tokens, those of its passages summed."""
    if not item.passages:
        return found[0].logprobs, found[0].tokens
    each = iter(found)
    sums = [[next(each) for _ in own] for own in item.passages]
    return (
        tuple(math.fsum(one.logprobs[0] for one in own) for own in sums),
        tuple(sum(one.tokens[0] for one in own) for own in sums),
    )


def _told_apart(name: str, question: Question) -> None:
    """Letters that start with the same token would not be compared by what makes them letters."""
    if len({option[0] for option in question.options}) < len(question.options):
        raise StimulusError(
            f"{name}: two of its {len(question.options)} option letters start with the same token in this tokenizer, so "
            "the letters cannot be told apart. Score it by text (options='text')."
        )
