"""A scorer: an answer counts where it is preferred by a margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import polars as pl

import broca


@dataclass(frozen=True)
class Confident:
    """Right only where the answer is more probable than every other choice by so many nats."""

    nats: float = 1.0
    kind: Literal["confident"] = field(default="confident", kw_only=True)

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __call__(self, lm: Any, items: Sequence[Any]) -> pl.DataFrame:
        return broca.Likelihood()(lm, items).with_columns(correct=pl.col("score") >= self.nats)
