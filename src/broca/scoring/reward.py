"""Scores of completions by a reward model: of the clean question with the completion, as raw logits.

model = RewardModel.load("OpenAssistant/reward-model-deberta-v3-large-v2")
rows = rewards(model, completions, cache="rewards.sqlite")
summary(rows, "raw_score"), differences(rows, "raw_score")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from broca.models.reward import RewardModel
from broca.scoring.completions import Completion, cached_answers, hashes

REWARD_SCHEMA = pl.Schema(
    {
        "row_id": pl.String,
        "kind": pl.String,
        "group": pl.String,
        "model": pl.String,
        "label": pl.String,
        "prompt_hash": pl.String,
        "completion_hash": pl.String,
        "raw_score": pl.Float64,
        "truncated": pl.Boolean,
    }
)
"""One row a completion, in the order given. `truncated`: the pair was too long for the model and lost its end."""


def rewards(model: RewardModel, completions: Sequence[Completion], *, cache: str | Path | None = None) -> pl.DataFrame:
    """The table of `REWARD_SCHEMA`. Completions that are the same after the same question are scored once.

    Args:
        model: the reward model.
        completions: what is scored.
        cache: a file in which scores are kept by the model's weights, question and completion.

    Raises:
        StimulusError: if there are no completions, or one comes twice.
        RunError: if the cache is no such file, or cannot be written.
    """
    columns = hashes(completions)

    def answer(asked: list[tuple[Any, ...]]) -> list[list[Any]]:
        return [[each.value, each.truncated] for each in model.logits([(one[0], one[1]) for one in asked])]

    pairs = [(one.question, one.text) for one in completions]
    found = cached_answers(["reward", model.fingerprint, model.form], pairs, answer, cache=cache)
    columns |= {"model": [model.name] * len(found), "label": [model.label] * len(found)}
    values = {"raw_score": [value for value, _ in found], "truncated": [cut for _, cut in found]}
    return pl.DataFrame({name: (columns | values)[name] for name in REWARD_SCHEMA}, schema=REWARD_SCHEMA)
