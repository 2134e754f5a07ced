"""Do trees that can be read well from attention have answers that are right, and that stay right under corruption?

One row an example, theories as clusters: overlapping subsets of examples, whose correlation has no valid p, are not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from broca.cache.cache import Cache, Progress, silent
from broca.errors import StatisticsError, StimulusError
from broca.evidence.conditions import INTACT, LesionScorer
from broca.evidence.token_cache import TokenCachedLikelihood
from broca.instruments.probe.statements import Floats
from broca.items import Tree
from broca.models.lm import LM
from broca.models.tokens import Chat
from broca.stats.intervals import Interval
from broca.stats.logit import logit
from broca.stats.pairs import paired_bootstrap, sign_flip_p
from broca.stimuli.corruption import CorruptedTree, How, corrupt


def correct(lm: LM, trees: Sequence[Tree], *, chat: Chat, cache: Cache, progress: Progress = silent) -> pl.DataFrame:
    """One row a tree: whether the model answers it, and by what margin."""
    (rows,) = LesionScorer(lm, [tree.item for tree in trees], TokenCachedLikelihood(chat=chat), chat, cache).tables(
        [INTACT], progress=lambda done, total: progress("answering", done, total)
    )
    return rows


def margin_regression(name: str, right: np.ndarray, margin: Floats, groups: Sequence[str]) -> dict[str, Any]:
    """The logistic regression of being right on the probe's margin; where it has no estimate, why."""
    row: dict[str, Any] = {"link": name, "n": len(right)} | dict.fromkeys(("slope", "low", "high", "p"), None)
    known = np.isfinite(margin)
    try:
        # Per standard deviation of the margin: odds of different targets can then be compared.
        found = logit(right[known], margin[known] / margin[known].std(), groups=np.asarray(groups)[known])
    except (StatisticsError, FloatingPointError) as error:
        return row | {"undefined": str(error)}
    return row | {
        "slope": found.slope.value,
        "low": found.slope.low,
        "high": found.slope.high,
        "p": found.p,
        "undefined": None,
    }


LINKS = (
    {"link": pl.String, "n": pl.Int64}
    | dict.fromkeys(("slope", "low", "high", "p"), pl.Float64)
    | {"undefined": pl.String}
)


def corrupt_trees(trees: Sequence[Tree], how: How, *, seed: int) -> list[tuple[int, CorruptedTree]]:
    """The trees that can be corrupted this way, by where they stand."""
    found = []
    for i, tree in enumerate(trees):
        try:
            found.append((i, corrupt(tree, how, seed=seed, others=trees if how == "insert" else ())))
        except StimulusError:
            continue
    return found


def under_corruption(
    lm: LM,
    trees: Sequence[Tree],
    intact: pl.DataFrame,
    hows: Sequence[How],
    *,
    chat: Chat,
    seed: int,
    n_bootstrap: int,
    cache: Cache,
    progress: Progress,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Accuracy under each corruption beside that of the same trees intact; and one row a corrupted tree, with what was touched.

    Being right is what it was for the intact tree: with a useful statement negated, fewer right answers mean that it was read.
    """
    rows, items = [], []
    for done, how in enumerate(hows):
        progress("corrupting", done, len(hows))
        made = corrupt_trees(trees, how, seed=seed)
        if not made:
            rows.append({"corruption": how, "n": 0})
            continue
        after = correct(lm, [each.tree for _, each in made], chat=chat, cache=cache)
        at = [i for i, _ in made]
        before = intact[at]
        a, b = after["correct"].cast(float).to_numpy(), before["correct"].cast(float).to_numpy()
        groups = np.array([trees[i].cluster for i in at])
        change = _change(a, b, groups, n_bootstrap, seed)
        rows.append(
            {"corruption": how, "n": len(made), "intact": float(b.mean()), "corrupted": float(a.mean()), "change": change.value,
             "low": change.low, "high": change.high, "p": sign_flip_p(a, b, groups=groups, seed=seed)}
        )  # fmt: skip
        items.append(
            pl.DataFrame(
                {"corruption": how, "tree": at, "id": before["id"], "statement": [each.index for _, each in made],
                 "intact": before["correct"], "corrupted": after["correct"]},
                schema=_ITEMS,
            )
        )  # fmt: skip
    progress("corrupting", len(hows), len(hows))
    return pl.DataFrame(rows, schema=_SCHEMA), pl.concat(items) if items else pl.DataFrame(schema=_ITEMS)


_SCHEMA = {"corruption": pl.String, "n": pl.Int64} | dict.fromkeys(
    ("intact", "corrupted", "change", "low", "high", "p"), pl.Float64
)
_ITEMS = {"corruption": pl.String, "tree": pl.Int64, "id": pl.String, "statement": pl.Int64, "intact": pl.Boolean,
          "corrupted": pl.Boolean}  # fmt: skip


def _change(a: np.ndarray, b: np.ndarray, groups: np.ndarray, n: int, seed: int) -> Interval:
    try:
        return paired_bootstrap(a, b, groups=groups, n=n, seed=seed)
    except StatisticsError:
        return Interval(float((a - b).mean()), float("nan"), float("nan"))
