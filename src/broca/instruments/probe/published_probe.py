"""The probe as the code of Hou et al. (2023) runs it, beside ours: its prompts, labels, features, folds and baseline, quirks included.

There are two recipes: GPT-2's for lists of numbers, and LLaMA's for statements in words, whose untrained networks are read in another
way than the trained one is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from broca.errors import StatisticsError
from broca.instruments.probe.scores import SYMBOLS, TARGETS, PublishedScores
from broca.instruments.probe.statements import Floats, Statements, looked_at, scale_by_text
from broca.models.twins import untrained_twin
from broca.specs.pooling import PRESETS, Pooling
from broca.stats.f1 import probing_score
from broca.stats.hou2023 import cross_validated_f1, row_cut_f1

if TYPE_CHECKING:
    from broca.instruments.probe.steps import Work


@dataclass(frozen=True, slots=True)
class Recipe:
    """How trees are shown, read and scored."""

    demos: int
    """Solved questions before each prompt of the trained model."""
    pooling: Pooling
    twin_pooling: Pooling
    """Of untrained networks."""
    f1: Callable[[str, Statements, Floats], float]
    """Of a target and features ``(row, layer)`` of all statements."""


def of_numbers(target: str, statements: Statements, x: Floats) -> float:
    """Folds cut at a row; steps in two columns: every useful number, and the last step of its own list."""
    rows, y = statements.target(target)
    if target == "step":
        last = np.zeros(len(statements.trees), np.int64)
        np.maximum.at(last, statements.text, statements.height)
        y = np.column_stack([np.ones_like(y), (statements.height == last[statements.text])[rows]])
    return row_cut_f1(x[rows], y, len(statements.trees))


def of_sentences(target: str, statements: Statements, x: Floats) -> float:
    """Five folds of rows; steps are classes."""
    rows, y = statements.target(target)
    return cross_validated_f1(x[rows], y)


GPT2 = Recipe(0, PRESETS["gpt2-paper"], PRESETS["gpt2-paper"], of_numbers)
LLAMA = Recipe(
    4,
    PRESETS["llama-code"],
    Pooling("mean", "mean", "mean", ("query", "heads", "span"), bos="without", skip=1),
    of_sentences,
)


def published_scores(work: Work) -> tuple[PublishedScores, tuple[str, ...]]:
    """The published scores of a probe's task, and why one is missing.

    Raises:
        StimulusError: if a tree does not fit the model, or the task has none with published labels.
    """
    spec = work.spec
    recipe = GPT2 if spec.task == "kth" else LLAMA
    shown = Statements.of(spec.published_trees(work.lm, recipe.demos))
    bare = Statements.of(spec.published_trees(work.lm, 0)) if recipe.demos else shown
    own = _read(work, shown, recipe.pooling, None)
    random = [_read(work, bare, recipe.twin_pooling, spec.seed + i) for i in range(spec.twins)]
    found, missing = {}, []
    for target in TARGETS:
        try:
            f1, *others = (recipe.f1(target, *each) for each in ((shown, own), *((bare, x) for x in random)))
        except StatisticsError as error:
            missing.append(f"{SYMBOLS[target]} has no published score: {error}")
            continue
        score = float(probing_score(f1, np.mean(others))) if others else None
        found[target] = {"f1_published": f1, "score_published": score}
    return found, tuple(missing)


def _read(work: Work, statements: Statements, how: Pooling, twin: int | None) -> Floats:
    """Features ``(row, layer)`` of the model, or of the untrained twin of a seed."""
    values, _ = looked_at(
        work.lm,
        statements.trees,
        how,
        chat=work.spec.chat,
        cache=work.cache,
        progress=partial(work.progress, "looking at attention as published"),
        twin=None if twin is None else (f"untrained {twin}", partial(untrained_twin, work.lm, twin)),
    )
    return scale_by_text(values, statements.text, how)[..., 0]
