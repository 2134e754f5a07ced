"""Do answers need the question to see what the proof needs? Attention edges cut, useful against matched useless ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from broca.cache.cache import Cache, Progress
from broca.cache.mapping import map_cached
from broca.errors import StatisticsError
from broca.evidence.token_cache import TokenCachedLikelihood
from broca.interventions.edges import EdgeLesion, edges_between
from broca.items import Tree, fingerprint
from broca.models.lm import LM
from broca.stats.intervals import Interval
from broca.stats.pairs import paired_bootstrap, sign_flip_p

CHUNK = 64
"""Trees a cell."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One tree with the useful statement that is hidden from its question, and a useless one like it."""

    tree: Tree
    useful: int
    useless: int


def match_cuts(trees: Sequence[Tree], *, seed: int) -> list[Cut]:
    """A useful statement of each tree, drawn at random, and the useless one most like it: of its kind, then nearest in place.

    Trees without a useless statement are left out, and statements that hold part of the question are never taken.
    """
    found = []
    for tree in trees:
        free = [i for i, (start, end) in enumerate(tree.statements) if end <= tree.query[0] or start >= tree.query[1]]
        useful, useless = ([i for i in free if tree.useful[i] is kind] for kind in (True, False))
        if not useful or not useless:
            continue
        one = useful[np.random.default_rng([seed, *tree.id.encode()]).integers(len(useful))]
        kinds = tree.kinds or ("",) * len(tree.statements)
        other = min(useless, key=lambda i: (kinds[i] != kinds[one], abs(i - one), i))
        found.append(Cut(tree, one, other))
    return found


@dataclass(frozen=True, slots=True)
class _Cutting:
    """The task of scoring a chunk of trees, by where it starts, with "useful" or "useless" statements hidden, or none."""

    cuts: tuple[Cut, ...]
    scorer: TokenCachedLikelihood

    def key(self, lm: LM, part: tuple[str, int], /) -> dict[str, Any]:
        hidden, start = part
        chunk = self.cuts[start : start + CHUNK]
        return {
            "cell": "edges",
            "trees": fingerprint([[cut.tree.fingerprint, cut.useful, cut.useless] for cut in chunk]),
            "hidden": hidden,
            "scorer": repr(self.scorer),
            "condition": list(lm.condition),
        }

    def __call__(self, lm: LM, part: tuple[str, int], /) -> pl.DataFrame:
        hidden, start = part
        chunk = self.cuts[start : start + CHUNK]
        items = [cut.tree.item for cut in chunk]
        if hidden == "nothing":
            return self.scorer(lm, items)
        spans = [cut.tree.statements[getattr(cut, hidden)] for cut in chunk]
        edges = edges_between(lm, [c.tree.text for c in chunk], [c.tree.query for c in chunk], spans)
        with lm.under(EdgeLesion(edges)):
            return self.scorer(lm, items)


def cut_edges(
    lm: LM, trees: Sequence[Tree], *, seed: int, n_bootstrap: int, cache: Cache, progress: Progress
) -> pl.DataFrame:
    """What hiding a useful, or a matched useless, statement from the question does to the answers.

    One row each, and one for their difference ("useful - useless"): accuracy, change of accuracy and of the answer's margin in
    nats with their intervals over theories, p of sign flips. Empty where no tree has both kinds of statement.

    Raises:
        GuardError: if the model's class bypasses the attention interface, or its cache cannot be shared between options.
    """
    once = list({cut.tree.text: cut for cut in match_cuts(trees, seed=seed)}.values())
    if not once:
        return pl.DataFrame(schema=_SCHEMA)
    starts = range(0, len(once), CHUNK)
    names = ("nothing", "useful", "useless")
    parts = [(hidden, start) for hidden in names for start in starts]
    task = _Cutting(tuple(once), TokenCachedLikelihood(chat="never"))
    made = map_cached(task, parts, lm, cache, lambda done, total: progress("cutting edges", done, total))
    tables: dict[str, pl.DataFrame] = {}
    for hidden, _ in parts:
        part = next(made)
        assert isinstance(part, pl.DataFrame)
        tables[hidden] = pl.concat([tables[hidden], part]) if hidden in tables else part
    groups = np.array([cut.tree.cluster for cut in once])
    pairs = {
        "useful": ("useful", "nothing"),
        "useless": ("useless", "nothing"),
        "useful - useless": ("useful", "useless"),
    }
    rows = [
        _comparison_row(name, tables[a], tables[b], groups, {"n": n_bootstrap, "seed": seed})
        for name, (a, b) in pairs.items()
    ]
    return pl.DataFrame(rows, schema=_SCHEMA)


_SCHEMA = {"hidden": pl.String, "n": pl.Int64} | dict.fromkeys(
    ("accuracy", "effect", "low", "high", "p", "margin", "margin_low", "margin_high"), pl.Float64
)


def _comparison_row(
    name: str, table: pl.DataFrame, base: pl.DataFrame, groups: np.ndarray, boot: dict[str, int]
) -> dict[str, Any]:
    right, before = (each["correct"].cast(float).to_numpy() for each in (table, base))
    score, score_before = (each["score"].cast(float).fill_null(float("nan")).to_numpy() for each in (table, base))
    effect, margin = _difference(right, before, groups, boot), _difference(score, score_before, groups, boot)
    return {
        "hidden": name,
        "n": len(right),
        "accuracy": float(right.mean()),
        "effect": effect.value,
        "low": effect.low,
        "high": effect.high,
        "p": sign_flip_p(right, before, groups=groups, seed=boot["seed"]),
        "margin": margin.value,
        "margin_low": margin.low,
        "margin_high": margin.high,
    }


def _difference(a: np.ndarray, b: np.ndarray, groups: np.ndarray, boot: dict[str, int]) -> Interval:
    try:
        return paired_bootstrap(a, b, groups=groups, **boot)
    except StatisticsError:
        return Interval(float(np.nanmean(a - b)), float("nan"), float("nan"))
