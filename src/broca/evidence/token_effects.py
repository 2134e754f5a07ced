"""Where a lesion is felt: how much more or less probable it makes each token of an item's prompt, and of the right answer behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from broca.evidence.conditions import Condition, LesionScorer
from broca.evidence.effects import rows_of
from broca.evidence.tables import TOKEN_EFFECTS
from broca.evidence.trial_scores import TrialScores
from broca.items import Item, fingerprint
from broca.models.force import Intervention
from broca.models.lm import LM
from broca.models.questions import Question
from broca.models.surprise import token_surprise
from broca.models.tokens import Tokens
from broca.scoring import Likelihood
from broca.specs.cost import Phase

SHOWN = 8
"""Items of the own ability that are read, those whose margins the lesion moved most."""
LONGEST = 2048
"""Tokens of an item that is read: the logits of all of them are held at once."""


def token_effects(
    bench: LesionScorer, scores: TrialScores, force: Callable[[Condition[Any]], tuple[Intervention, ...]]
) -> pl.DataFrame | None:
    """What the claim's lesion does to each token of the items that it moved most; None where no choices are priced.

    Args:
        bench: the model, and how its items are scored.
        scores: of the trial.
        force: what each condition puts in force.
    """
    asking = _asking(bench.scorer)
    items = {item.id: item for item in scores.abilities[scores.own] if _is_read(item)}
    moved = [items[name] for name in _most_moved(scores) if name in items][:SHOWN]
    if asking is None or not moved:
        return None
    lm, forced = bench.lm, force(scores.trial.claim)
    read = [(item, *_with_answer(asking.questions(lm, [item])[0], item)) for item in moved]
    chosen = [each for each in read if len(each[1]) <= LONGEST]
    if not chosen:
        return None
    key = {
        "cell": "token effects",
        "items": fingerprint([item.fingerprint for item, _, _ in chosen]),
        "scorer": repr(bench.scorer),
        "condition": [*lm.condition, *(each.fingerprint for each in forced)],
    }

    def compute() -> pl.DataFrame:
        bench.progress("reading tokens", 0, 1)
        texts = [text for _, text, _ in chosen]
        intact = token_surprise(lm, texts)
        with lm.under(*forced):
            lesioned = token_surprise(lm, texts)
        rows = [
            {
                "id": item.id,
                "token": at,
                "text": lm.tokenizer.decode([token]),
                "answer": at >= len(text) - n_answer,
                "change": float(before[at - 1] - after[at - 1]) if at else None,
            }
            for (item, text, n_answer), before, after in zip(chosen, intact, lesioned, strict=True)
            for at, token in enumerate(text.ids)
        ]
        bench.progress("reading tokens", 1, 1)
        return pl.DataFrame(rows, schema={name: column.dtype for name, column in TOKEN_EFFECTS.columns.items()})

    found = bench.cache(key, compute)
    assert isinstance(found, pl.DataFrame)
    return found


def token_effect_phases(lm: LM, items: Sequence[Item], scorer: object) -> list[Phase]:
    """What is read for it at most: the longest items, intact and lesioned.

    Args:
        lm: the model.
        items: of the own ability.
        scorer: how they are scored.
    """
    asking = _asking(scorer)
    read = [item for item in items if _is_read(item)]
    if asking is None or not read:
        return []
    questions = asking.questions(lm, read)
    most = sorted((len(question.shared) + question.longest for question in questions), reverse=True)[:SHOWN]
    return [Phase("reading tokens", sum(most), 2)]


def _asking(scorer: object) -> Likelihood | None:
    asking = getattr(scorer, "scorer", scorer)
    return asking if isinstance(asking, Likelihood) else None


def _with_answer(question: Question, item: Item) -> tuple[Tokens, int]:
    """The prompt with the right answer behind it, and how many tokens that has."""
    answer = question.options[item.answer]
    return question.shared.with_answer(answer), len(answer)


def _is_read(item: Item) -> bool:
    return not item.images and not item.passages


def _most_moved(scores: TrialScores) -> list[str]:
    """Items of the own ability, those whose margin the claim's lesion moved most first."""
    rows = scores.items.filter(pl.col("ability") == scores.own)
    intact = rows.filter(pl.col("condition") == "intact").select("id", "score")
    both = intact.join(rows_of(rows, scores.claim).select("id", "score"), on="id", suffix="_lesion")
    moved = both.with_columns(moved=(pl.col("score_lesion") - pl.col("score")).abs()).filter(
        pl.col("moved").is_finite()
    )
    return moved.sort("moved", "id", descending=[True, False])["id"].to_list()
