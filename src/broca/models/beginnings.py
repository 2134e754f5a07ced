"""Which prompts begin alike: the same examples, instruction or template, that one reading may stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broca.models.questions import Question, common_prefix

SHORTEST = 16
"""Tokens of a beginning that is worth a pass of its own."""
FEWEST = 256
"""Tokens that must be spared by it, and"""
SHARE = 0.25
"""of all tokens of the prompts, at least this share."""


@dataclass(frozen=True, slots=True)
class Family:
    """Questions whose prompts begin alike: their places in the list, and how many tokens they share (0: read whole)."""

    rows: tuple[int, ...]
    prefix: int = 0


def families(questions: Sequence[Question]) -> list[Family]:
    """Part questions by how their prompts begin.

    Prompts in the order of their tokens stand beside those that they share most with: a family ends where the next one shares less
    than half of what it shares. What one reading of the beginning would hardly spare is read whole, together.
    """
    found, whole = [], []
    for rows, prefix in _runs(questions):
        spared = (len(rows) - 1) * prefix
        total = sum(len(questions[i].shared) for i in rows)
        if prefix >= SHORTEST and spared >= max(FEWEST, SHARE * total):
            found.append(Family(tuple(sorted(rows)), prefix))
        else:
            whole += rows
    return [*found, Family(tuple(sorted(whole)))] if whole else found


def _runs(questions: Sequence[Question]) -> list[tuple[list[int], int]]:
    runs: list[tuple[list[int], int]] = []
    order = sorted(range(len(questions)), key=lambda i: questions[i].shared.ids)
    for i in order:
        # One token of each prompt must be left to go on from.
        ids = questions[i].shared.ids[:-1]
        if runs:
            rows, prefix = runs[-1]
            shared = common_prefix(questions[rows[0]].shared.ids[:prefix], ids)
            if shared >= SHORTEST and 2 * shared >= prefix:
                rows.append(i)
                runs[-1] = rows, shared
                continue
        runs.append(([i], len(ids)))
    return runs
