"""A prompt put together piece by piece, with the place of each statement noted on the way."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from broca.errors import StimulusError
from broca.items import Span, Tree


def join_statements(statements: Sequence[str], *, between: str = " ") -> tuple[str, tuple[Span, ...]]:
    """The statements as one text, and where each stands in it.

    Args:
        statements: what is said, in order.
        between: what stands between two statements.
    """
    text, spans = "", []
    for number, statement in enumerate(statements):
        text += between if number else ""
        spans.append((len(text), len(text) + len(statement)))
        text += statement
    return text, tuple(spans)


def add_question(text: str, question: str, *, whole: bool = False) -> tuple[str, Span]:
    """The text with the question after it, and where the question stands: leading white space is a part of it only if `whole`."""
    start = len(text) + (0 if whole else len(question) - len(question.lstrip()))
    return text + question, (start, len(text) + len(question))


def prepend(tree: Tree, text: str) -> Tree:
    """The tree with a text before its own."""
    start, end = tree.query
    return replace(
        tree,
        text=text + tree.text,
        statements=tuple((a + len(text), b + len(text)) for a, b in tree.statements),
        query=(start + len(text), end + len(text)),
    )


def add_demos(trees: Sequence[Tree], pool: Sequence[str], n: int, seed: int) -> tuple[Tree, ...]:
    """The trees, each behind `n` solved questions that are drawn from `pool` with replacement, by Python's generator.

    Raises:
        StimulusError: if there are none to draw from.
    """
    if not pool:
        raise StimulusError(
            "There are no solved questions to draw demos from. Give a file that has some, by demos_path."
        )
    draw = random.Random(seed)  # noqa: S311 - a published draw, not a secret
    return tuple(prepend(tree, "".join(draw.choices(pool, k=n))) for tree in trees)


def check_demos(demos: int, *, paper_compat: bool) -> None:
    """Refuse demos that there are no published prompts for.

    Raises:
        StimulusError: if `demos` is negative, or given without `paper_compat`.
    """
    if demos < 0 or (demos and not paper_compat):
        raise StimulusError(
            f"demos is {demos} and paper_compat {str(paper_compat).lower()}. Demos are solved questions in the wording of the "
            "published prompts: give how many, with paper_compat=true, or leave them out."
        )
