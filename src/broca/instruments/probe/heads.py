"""The heads that a probe points to, on their way up the same ladder as any other selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from broca.cache.cache import Cache, Progress
from broca.evidence.conditions import LesionScorer
from broca.evidence.holding import hold, rungs, trial_of
from broca.evidence.overlap import OtherData
from broca.evidence.token_cache import TokenCachedLikelihood
from broca.evidence.trial import Conduct
from broca.evidence.verdict import Guard, Rung
from broca.instruments.probe.head_maps import entropies, preference
from broca.instruments.probe.pruning import importance_order, mask_of, probe_weights
from broca.instruments.probe.statements import Floats, Statements
from broca.models.lm import LM
from broca.models.tokens import Chat
from broca.units import UnitMask


@dataclass(frozen=True, eq=False)
class After:
    """What lesions gave: tables by name, guards and warnings; and the heads that the probe points to, with the rungs that they climbed."""

    tables: Mapping[str, pl.DataFrame]
    guards: tuple[Guard, ...]
    warnings: tuple[str, ...]
    mask: UnitMask | None
    rungs: tuple[Rung, ...]


def importance(kept: Floats, statements: Statements) -> dict[str, Floats]:
    """What heads are pruned by, ``(layer, head)``, the largest first: evenness inverted, and probe weight."""
    found = {name: -values for name, values in entropies(kept, statements).items()}
    useful = (statements.height > 0).astype(np.int64)
    if len(np.unique(useful)) > 1:
        found["probe"] = probe_weights(kept, useful)
    return found


def head_table(kept: Floats, statements: Statements, layers: Sequence[int]) -> pl.DataFrame:
    """One row a head: its entropies, its preference for useful statements, and its weight in a probe of all heads."""
    n_heads = kept.shape[2]
    none = np.full(kept.shape[1:], np.nan)
    even, weights = entropies(kept, statements), importance(kept, statements).get("probe", none)
    columns = {
        "entropy_place": even["place"],
        "entropy_size": even.get("size", none),
        "preference": preference(kept, statements),
        "weight": weights,
    }
    return pl.DataFrame(
        {"layer": np.repeat(layers, n_heads), "head": np.tile(np.arange(n_heads), len(layers))}
        | {name: values.ravel() for name, values in columns.items()},
        schema={"layer": pl.Int64, "head": pl.Int64} | dict.fromkeys(columns, pl.Float64),
    )


def choose_heads(
    heads: pl.DataFrame | None, weights: Floats | None, layers: Sequence[int], percent: float
) -> UnitMask | None:
    """The heads whose attention alone tells useful statements best; None where no head was scored or weighed.

    Where heads were not scored, those with the largest probe weight.

    Args:
        heads: the table of heads.
        weights: probe weight ``(layer, head)``.
        layers: the layers' numbers.
        percent: share of all heads.
    """
    scores = weights
    if heads is not None:
        own = heads.filter(pl.col("target") == heads["target"][0])
        scores = own["f1"].to_numpy().reshape(len(layers), -1)
    if scores is None:
        return None
    count = max(1, round(percent / 100 * scores.size))
    return mask_of(importance_order(scores)[:count], layers, scores.shape[1])


def lesion_heads(
    mask: UnitMask,
    lm: LM,
    data: OtherData,
    *,
    chat: Chat,
    draws: int,
    how: Conduct,
    cache: Cache,
    progress: Progress,
) -> tuple[Rung, Rung]:
    """Lesion the heads, beside random ones: *causal* and *specific*.

    Random heads are of the same layers where there are enough of them for the draws, else of any.

    Args:
        mask: the heads.
        lm: the model.
        data: questions of trees that were not probed, and items of other abilities, without those that were looked at before.
        chat: whether a chat template is used.
        draws: how many random choices.
        how: fills, and what to do where the model lacks the ability.
        cache: what remembers.
        progress: told what is being done.
    """
    asked = data.abilities
    every = tuple(item for group in asked.values() for item in group)
    bench = LesionScorer(lm, every, TokenCachedLikelihood(chat=chat), chat, cache, progress)
    trial = trial_of(bench, mask, how, draws=draws, match=("layer",))
    causal, specific = rungs(*hold(bench, trial, asked, how))
    looked = [data.reason(name) for name in asked]
    return causal.undecided_if(looked[0]), specific.undecided_if(next(filter(None, looked), None))
