"""The conditions of a causal test, and what the model scores under each: one cell a condition and chunk of items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.capture.activations import capture
from broca.capture.reduce import Gather, Moments
from broca.engines.cells import cells
from broca.engines.memo import Memo, Part
from broca.interventions.lesion import Fill, Lesion, Mean, Noise, Positions, Resample, Zero
from broca.items import Item, fingerprint
from broca.models.lm import LM
from broca.models.tokens import Pool
from broca.sites import Site
from broca.studies.maps import cell
from broca.units import Grain, UnitMask

FillName = Literal["zero", "mean", "noise", "resample"]

CHUNK = 64
"""Items a cell: what a killed run loses at most."""

DONORS = 64
"""Prompts that a resample fill draws from."""


NOTHING = UnitMask({Site(0, "resid_post"): np.zeros(1, dtype=bool)})
"""The selection of the intact condition."""


NO_FILLS: Mapping[FillName, Fill] = {}


@dataclass(frozen=True, slots=True)
class Condition:
    """What is in force while items are scored, and what it is called in the tables."""

    name: Literal["intact", "lesion", "random"]
    mask: UnitMask = NOTHING
    localizer: str = ""
    side: str = ""
    dose: float = 0.0
    fill: FillName = "zero"
    seed: int = -1

    @property
    def address(self) -> dict[str, Any]:
        """What finds the condition's rows in the tables."""
        return {
            "condition": self.name,
            "localizer": self.localizer,
            "side": self.side,
            "dose": self.dose,
            "fill": self.fill if self.mask.count else "",
            "seed": self.seed,
        }


@dataclass(frozen=True, slots=True)
class Scoring:
    """The task of scoring a chunk of items, by where it starts, under a condition."""

    items: tuple[Item, ...]
    scorer: Any
    fills: Mapping[FillName, Fill]
    positions: Positions

    def key(self, lm: LM, part: tuple[Condition, int], /) -> dict[str, Any]:
        condition, start = part
        return {
            "cell": "score",
            "items": fingerprint([item.fingerprint for item in self.items[start : start + CHUNK]]),
            "scorer": repr(self.scorer),
            "condition": [*lm.condition, *(lesion.fingerprint for lesion in self._lesions(condition))],
        }

    def __call__(self, lm: LM, part: tuple[Condition, int], /) -> pl.DataFrame:
        condition, start = part
        with lm.under(*self._lesions(condition)):
            return self.scorer(lm, self.items[start : start + CHUNK])

    def _lesions(self, condition: Condition) -> tuple[Lesion, ...]:
        if condition.name == "intact":
            return ()
        return (Lesion(condition.mask, self.fills[condition.fill], self.positions),)


@dataclass(frozen=True, slots=True)
class Bench:
    """A model with the items it is to answer, how they are scored, and the memo of what was answered before."""

    lm: LM
    items: Sequence[Item]
    scorer: Any
    chat: Any
    memo: Memo

    def tables(
        self,
        conditions: Sequence[Condition],
        fills: Mapping[FillName, Fill] = NO_FILLS,
        positions: Positions = "all",
        progress: Callable[[int, int], None] | None = None,
    ) -> list[pl.DataFrame]:
        """Under each condition, one row an item."""
        starts = range(0, len(self.items), CHUNK)
        parts = [(condition, start) for condition in conditions for start in starts]
        task = Scoring(tuple(self.items), self.scorer, fills, positions)
        scored = cells(task, parts, self.lm, self.memo, progress)
        tables = []
        for condition in conditions:
            rows = pl.concat([_table(next(scored)) for _ in starts])
            labels = condition.address | {"k": condition.mask.count}
            tables.append(rows.select([pl.lit(value).alias(name) for name, value in labels.items()] + [pl.all()]))
        return tables

    def fills(self, names: Sequence[FillName], sites: Sequence[Site], seed: int) -> dict[FillName, Fill]:
        """The fills asked for, measured on the items' own prompts with the model intact.

        Mean and noise use each unit's mean over all tokens (special tokens left out); resample its value at the last
        token of another prompt.
        """
        made: dict[FillName, Fill] = {"zero": Zero()}
        if "mean" in names or "noise" in names:
            found = self._measured("moments", sites, Pool("mean"), len(self.items))
            mean = {site: found[f"{site}"][0] for site in sites}
            std = {site: np.sqrt(found[f"{site}"][1]) for site in sites}
            made |= {"mean": Mean(mean), "noise": Noise(mean, std, seed=seed)}
        if "resample" in names:
            found = self._measured("gather", sites, Pool("last"), DONORS)
            made["resample"] = Resample({site: found[f"{site}"] for site in sites}, seed=seed)
        return {name: made[name] for name in names}

    def sizes(self, sites: Sequence[Site], grain: Grain) -> dict[Site, NDArray[np.float64]]:
        """Root mean square of every unit's mean over a prompt's tokens; a head's is that of its units."""
        found = self._measured("moments", sites, Pool("mean"), len(self.items))
        squares = {site: found[f"{site}"][0] ** 2 + found[f"{site}"][1] for site in sites}
        if grain == "head":
            heads = self.lm.anatomy.n_heads
            squares = {site: row.reshape(heads, -1).mean(1) for site, row in squares.items()}
        return {site: np.sqrt(row) for site, row in squares.items()}

    def _measured(self, what: str, sites: Sequence[Site], pool: Pool, n: int) -> dict[str, NDArray[Any]]:
        """Moments (mean, variance) or values of the prompts' activations, spread over the whole item list."""
        chosen = np.unique(np.linspace(0, len(self.items) - 1, min(n, len(self.items))).astype(int))
        tokens = self.lm.tokenize([self.items[i].shown for i in chosen], chat=self.chat)

        def compute() -> dict[str, NDArray[Any]]:
            if what == "gather":
                return {str(s): r.result() for s, r in capture(self.lm, tokens, sites, Gather, pool=pool).items()}
            moments = capture(self.lm, tokens, sites, Moments, pool=pool)
            return {str(site): np.stack([m.mean, m.variance]) for site, m in moments.items()}

        found = self.memo(cell(f"fill {what}", self.lm, tokens, sites, pool), compute)
        assert isinstance(found, dict)
        return found


def _table(part: Part) -> pl.DataFrame:
    assert isinstance(part, pl.DataFrame)
    return part
