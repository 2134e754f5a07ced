"""The conditions of a causal test, and what the model scores under each: one cell a condition and chunk of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.capture.activations import capture
from broca.capture.reduce import Gather, Moments
from broca.engines.memo import Memo
from broca.interventions.lesion import Fill, Lesion, Mean, Noise, Positions, Resample, Zero
from broca.items import Item, fingerprint
from broca.models.lm import LM
from broca.models.tokens import Pool
from broca.sites import Site
from broca.studies.maps import cell
from broca.units import UnitMask

FillName = Literal["zero", "mean", "noise", "resample"]

CHUNK = 64
"""Items a cell: what a killed run loses at most."""

DONORS = 64
"""Prompts that a resample fill draws from."""


NOTHING = UnitMask({Site(0, "resid_post"): np.zeros(1, dtype=bool)})
"""The selection of the intact condition."""


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
class Bench:
    """A model with the items it is to answer, how they are scored, and the memo of what was answered before."""

    lm: LM
    items: Sequence[Item]
    scorer: Any
    chat: Any
    memo: Memo

    def rows(self, condition: Condition, fill: Fill | None, positions: Positions = "all") -> pl.DataFrame:
        """One row an item, under `condition`."""
        if fill is None:
            scored = self._scored()
        else:
            with self.lm.under(Lesion(condition.mask, fill, positions)):
                scored = self._scored()
        labels = condition.address | {"k": condition.mask.count}
        return scored.select([pl.lit(value).alias(name) for name, value in labels.items()] + [pl.all()])

    def _scored(self) -> pl.DataFrame:
        """The items' rows under whatever is in force: the model's condition is part of each cell's address."""
        parts = []
        for start in range(0, len(self.items), CHUNK):
            chunk = self.items[start : start + CHUNK]
            key = {
                "cell": "score",
                "items": fingerprint([item.fingerprint for item in chunk]),
                "scorer": repr(self.scorer),
                "condition": list(self.lm.condition),
            }
            part = self.memo(key, lambda chunk=chunk: self.scorer(self.lm, chunk))
            assert isinstance(part, pl.DataFrame)
            parts.append(part)
        return pl.concat(parts)

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

    def _measured(self, what: str, sites: Sequence[Site], pool: Pool, n: int) -> dict[str, NDArray[Any]]:
        """Moments (mean, variance) or values of the prompts' activations, spread over the whole item list."""
        chosen = np.unique(np.linspace(0, len(self.items) - 1, min(n, len(self.items))).astype(int))
        tokens = self.lm.tokenize([self.items[i].prompt for i in chosen], chat=self.chat)

        def compute() -> dict[str, NDArray[Any]]:
            if what == "gather":
                return {str(s): r.result() for s, r in capture(self.lm, tokens, sites, Gather, pool=pool).items()}
            moments = capture(self.lm, tokens, sites, Moments, pool=pool)
            return {str(site): np.stack([m.mean, m.variance]) for site, m in moments.items()}

        found = self.memo(cell(f"fill {what}", self.lm, tokens, sites, pool), compute)
        assert isinstance(found, dict)
        return found
