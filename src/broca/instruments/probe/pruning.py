"""Pruning curves: heads taken away one after the other, in several orders, by lesions that are shown to do something.

The published curves hand transformers a `head_mask`, which version 5 ignores; here heads are held at a fill where they are
written, beside random orders, and each order is also run backwards in effect: keep these heads alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl

from broca.cache.cache import Cache, Progress, silent
from broca.errors import StatisticsError
from broca.evidence import guards
from broca.evidence.agreement import first_order_effects
from broca.evidence.conditions import INTACT, Condition, Lesioning, LesionScorer
from broca.evidence.token_cache import TokenCachedLikelihood
from broca.evidence.verdict import Guard
from broca.instruments.probe.spec import Pruning
from broca.instruments.probe.statements import Floats, Ints
from broca.interventions.lesion import Lesion
from broca.items import Item
from broca.models.lm import LM
from broca.models.tokens import Chat
from broca.sites import Site
from broca.stats.nulls import dose_response
from broca.units import UnitMask


def how_many(level: float, total: int, count: Literal["share", "published"]) -> int:
    """Heads at a level in percent."""
    return int(level / 100 * total) + 1 if count == "published" else max(1, round(level / 100 * total))


def importance_order(importance: Floats) -> Ints:
    """Heads by falling importance, those without one last; ties in the order of layers and heads."""
    return np.argsort(-np.nan_to_num(importance.ravel(), nan=-np.inf), kind="stable")


def orders_of(
    spec: Pruning,
    lm: LM,
    items: Sequence[Item],
    importance: Mapping[str, Floats],
    layers: Sequence[int],
    *,
    chat: Chat,
    cache: Cache,
    progress: Progress = silent,
) -> tuple[dict[str, Ints], tuple[str, ...]]:
    """Each order that can be had, and what could not, in words.

    Args:
        spec: which are wanted.
        lm: the model.
        items: by which the gradient is taken.
        importance: ``(layer, head)`` of the other orders, by name.
        layers: the layers' numbers.
        chat: whether a chat template is used.
        cache: what remembers.
        progress: told what is being done.
    """
    found, missing = {}, []
    for name in spec.orders:
        if name == "gradient":
            scores = first_order_effects(
                lm, items, [Site(layer, "z") for layer in layers], "head", chat=chat, cache=cache, progress=progress
            )
            values = None if scores is None else np.abs(np.stack([scores[Site(layer, "z")] for layer in layers]))
        else:
            values = importance.get(name)
        if values is None:
            missing.append(f"There is no order by {name} for this task or model, so none was pruned by it.")
        else:
            found[name] = importance_order(values)
    return found, tuple(missing)


def conditions(
    spec: Pruning, orders: Mapping[str, Ints], layers: Sequence[int], n_heads: int, *, seed: int
) -> list[Condition[UnitMask]]:
    """Every lesion of every curve that lesions a head. `localizer` names the order, `side` the mode."""
    total = len(layers) * n_heads
    draws = [np.random.default_rng([seed, draw]).permutation(total) for draw in range(spec.draws)]
    made = []
    for mode in spec.modes:
        for level in spec.levels:
            n = how_many(level, total, spec.count)
            for name, heads in orders.items():
                mask = mask_of(heads[:n] if mode == "remove" else heads[n:], layers, n_heads)
                made += [Condition("lesion", mask, name, mode, level, fill) for fill in spec.fills]
            for seed_of, heads in enumerate(draws):
                mask = mask_of(heads[:n] if mode == "remove" else heads[n:], layers, n_heads)
                made.append(Condition("random", mask, "random", mode, level, spec.fills[0], seed_of))
    return [condition for condition in made if condition.mask.count]


def mask_of(heads: Ints, layers: Sequence[int], n_heads: int) -> UnitMask:
    """Heads, counted through the layers in order, as a mask."""
    flags = np.zeros((len(layers), n_heads), dtype=bool)
    flags.ravel()[heads] = True
    return UnitMask({Site(layer, "z"): row for layer, row in zip(layers, flags, strict=True)}, "head")


def pruning_curves(
    spec: Pruning,
    lm: LM,
    items: Sequence[Item],
    orders: Mapping[str, Ints],
    layers: Sequence[int],
    *,
    chat: Chat,
    seed: int,
    cache: Cache,
    progress: Progress,
) -> tuple[pl.DataFrame, pl.DataFrame, tuple[Guard, ...]]:
    """The curves, the area under each beside that of random orders, and the guards.

    Returns:
        accuracy and mean score of each order, mode, fill and level; areas by order and mode; guards.

    Raises:
        GuardError: if holding heads at their own values changes a logit.
    """
    bench = LesionScorer(lm, items, TokenCachedLikelihood(chat=chat), chat, cache, progress)
    every = conditions(spec, orders, layers, lm.anatomy.n_heads, seed=seed)
    fills = bench.fills(spec.fills, [Site(layer, "z") for layer in layers], seed)
    checks = guards.probe(lm, items, chat)
    passed = (
        guards.identity(lm, every[0].mask, checks),
        guards.effect(lm, Lesion(every[0].mask, fills[spec.fills[0]]), checks),
    )
    force = Lesioning(fills, "all")
    tables = bench.tables([INTACT, *every], force, lambda done, total: progress("pruning heads", done, total))
    labels = ["condition", "localizer", "side", "dose", "fill", "k", "seed"]
    curves = (
        pl.concat(tables)
        .group_by(labels, maintain_order=True)
        .agg(pl.col("correct").mean().alias("accuracy"), pl.col("score").mean(), pl.len().alias("n"))
        .rename({"localizer": "order", "side": "mode", "dose": "level"})
    )
    return curves, areas(curves, spec), passed


def areas(curves: pl.DataFrame, spec: Pruning) -> pl.DataFrame:
    """Mean accuracy over the levels of each order, beside that of random orders: one test for a whole curve.

    Negative `beyond`: the order costs more than random ones do.
    """
    rows = []
    for mode in spec.modes:
        of = curves.filter((pl.col("mode") == mode) & (pl.col("fill") == spec.fills[0])).sort(
            "level", maintain_order=True
        )
        levels = sorted(of["level"].unique().to_list())
        random = of.filter(pl.col("condition") == "random").partition_by("seed", maintain_order=True)
        null = [draw["accuracy"].to_list() for draw in random]
        for part in of.filter(pl.col("condition") == "lesion").partition_by("order", maintain_order=True):
            if len(levels) < 2 or len(null) < 1:
                continue
            try:
                found = dose_response(levels, part["accuracy"].to_numpy(), np.array(null))
            except StatisticsError:
                continue
            rows.append(
                {"order": part["order"][0], "mode": mode, "area": found.area, "beyond": found.area - found.null.value,
                 "random_low": found.null.low, "random_high": found.null.high, "p": found.p}
            )  # fmt: skip
    schema = {"order": pl.String, "mode": pl.String} | dict.fromkeys(
        ("area", "beyond", "random_low", "random_high", "p"), pl.Float64
    )
    return pl.DataFrame(rows, schema=schema)


def probe_weights(values: Floats, y: Ints) -> Floats:
    """|weight| ``(layer, head)`` of a logistic regression of useful statements on the standardised attention of every head."""
    from sklearn.linear_model import LogisticRegression

    x = values.reshape(len(values), -1)
    spread = x.std(0)
    x = (x - x.mean(0)) / np.where(spread > 0, spread, 1)
    fitted = LogisticRegression(max_iter=1000).fit(x, y)
    return np.abs(fitted.coef_[0]).reshape(values.shape[1:])
