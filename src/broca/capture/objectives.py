"""What is differentiated to ask how much a weight matters: numbers made of the log-probabilities of sequences.

An objective turns a question into rows (sequences, of which some tokens are priced), and the rows' log-probabilities into
terms. Each term's gradient is squared by itself, weighted, and added: the square is always that of one sample, never of a
batch's mean. Your own objective is any object with these two methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from broca.errors import StimulusError
from broca.models.questions import Question
from broca.models.tokens import Tokens
from broca.specs.fields import ObjectiveName


@dataclass(frozen=True, slots=True)
class Row:
    """A sequence of which the tokens from `start` on are priced, each by those before it."""

    ids: tuple[int, ...]
    start: int

    @property
    def n(self) -> int:
        """How many tokens are priced."""
        return len(self.ids) - self.start


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """A question with its answer; a text is a question without options.

    Raises:
        StimulusError: if it has pictures, which weights are not scored on.
    """

    question: Question
    answer: int = 0

    def __post_init__(self) -> None:
        if self.question.shared.view is not None:
            raise StimulusError(
                f"{self.question.shared.text[:60]!r} has pictures, and weights are scored on words alone. Give items without."
            )


Term = tuple[Tensor | float, Tensor]
"""A weight, and the number whose gradient is squared."""


class Objective(Protocol):
    """What is differentiated."""

    def rows(self, asked: AnsweredQuestion) -> tuple[Row, ...]:
        """The sequences that the model must price for one sample."""
        ...

    def terms(self, logprobs: Tensor, n: Tensor) -> list[Term]:
        """Weights and numbers from the rows' summed log-probabilities and their lengths, both ``(row,)``."""
        ...


@dataclass(frozen=True, slots=True)
class Gold:
    """The mean negative log-probability of the right answer's tokens: the empirical Fisher of the answer."""

    def rows(self, asked: AnsweredQuestion) -> tuple[Row, ...]:
        return (_options(asked)[asked.answer],)

    def terms(self, logprobs: Tensor, n: Tensor) -> list[Term]:
        return [(1.0, -logprobs[0] / n[0])]


@dataclass(frozen=True, slots=True)
class Against:
    """The log-odds of the right answer against the others: with two options the difference of their log-probabilities."""

    def rows(self, asked: AnsweredQuestion) -> tuple[Row, ...]:
        rows = _options(asked)
        if len(rows) < 2:
            raise StimulusError(f"{asked.question.shared.text[:60]!r} has one option, so nothing to contrast it with.")
        return (rows[asked.answer], *(row for i, row in enumerate(rows) if i != asked.answer))

    def terms(self, logprobs: Tensor, n: Tensor) -> list[Term]:  # noqa: ARG002 - the protocol's shape
        return [(1.0, logprobs[0] - logprobs[1:].logsumexp(0))]


@dataclass(frozen=True, slots=True)
class Expectation:
    """Squared gradients of each option's log-probability, weighted by the model's own probability of that option.

    The Fisher information about the choice between the options, which needs no label (Kunstner et al., 2019).
    """

    def rows(self, asked: AnsweredQuestion) -> tuple[Row, ...]:
        return _options(asked)

    def terms(self, logprobs: Tensor, n: Tensor) -> list[Term]:  # noqa: ARG002
        chances = logprobs.detach().softmax(0)
        choice = logprobs.log_softmax(0)
        return [(chance, value) for chance, value in zip(chances, choice, strict=True)]


@dataclass(frozen=True, slots=True)
class LastToken:
    """The last token of the prompt, predicted from those before it: as published, which never looks at the answer."""

    def rows(self, asked: AnsweredQuestion) -> tuple[Row, ...]:
        ids = asked.question.shared.ids
        return (_check_row(Row(ids, len(ids) - 1)),)

    def terms(self, logprobs: Tensor, n: Tensor) -> list[Term]:
        return [(1.0, -logprobs[0] / n[0])]


@dataclass(frozen=True, slots=True)
class Whole:
    """The mean negative log-probability of every token of the text, the right answer included where there is one."""

    def rows(self, asked: AnsweredQuestion) -> tuple[Row, ...]:
        question = asked.question
        ids = question.shared.ids + (question.options[asked.answer] if question.options else ())
        return (_check_row(Row(ids, 1)),)

    def terms(self, logprobs: Tensor, n: Tensor) -> list[Term]:
        return [(1.0, -logprobs[0] / n[0])]


OBJECTIVES: Mapping[ObjectiveName, Objective] = {
    "gold": Gold(),
    "contrast": Against(),
    "expectation": Expectation(),
    "last-token": LastToken(),
    "full": Whole(),
}


def text(tokens: Tokens) -> AnsweredQuestion:
    """A text as a sample: it has no options, so only `LastToken` and `Whole` can look at it."""
    return AnsweredQuestion(Question(tokens, ()))


def without_bos(asked: AnsweredQuestion) -> AnsweredQuestion:
    """The sample without the special tokens in front of its text."""
    return AnsweredQuestion(Question(asked.question.shared.bare, asked.question.options), asked.answer)


def coefficients(objective: Objective, logprobs: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
    """How each term moves with each row's log-probability, ``(term, row)``, and the terms' weights, ``(term,)``."""
    with torch.enable_grad():
        values = logprobs.detach().clone().requires_grad_()
        terms = objective.terms(values, n)
        slopes = [torch.autograd.grad(value, values, retain_graph=True)[0] for _, value in terms]
    weights = torch.tensor([float(weight) for weight, _ in terms], dtype=logprobs.dtype, device=logprobs.device)
    return torch.stack(slopes), weights


def _options(asked: AnsweredQuestion) -> tuple[Row, ...]:
    shared = asked.question.shared
    if not asked.question.options:
        raise StimulusError(
            f"{shared.text[:60]!r} is a text without an answer. Score it with the objective 'full' or 'last-token'."
        )
    return tuple(Row(shared.ids + option, len(shared)) for option in asked.question.options)


def _check_row(row: Row) -> Row:
    if row.start < 1 or row.n < 1:
        raise StimulusError("A text of one token predicts nothing. Use longer texts.")
    return row
