"""What fields of specs can be: numbers within limits, and the words that choose between ways of doing something. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Several = Annotated[int, Field(ge=2)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(gt=0, le=100)]
Share = Annotated[float, Field(gt=0, le=1)]
Level = Annotated[float, Field(gt=0, lt=1)]
"""Numbers within limits."""

Chat = Literal["auto", "never", "always"]
"""Whether the model's chat template is used: for chats only, never (contents joined by blank lines), or always."""

Magnitude = Literal["signed", "abs-of-mean", "mean-of-abs"]
"""Activations as they are; the absolute value of the pooled activation (AlKhamissi et al., 2025); or the pooled absolute
value. The last two differ wherever a unit changes sign within a text."""

Positions = Literal["all", "prompt", "generated", "last"] | tuple[int, ...]
"""Which tokens: all; the prompt's; those after the prompt; the prompt's last; or places in the prompt, counted from 0 at
its first real token, or from -1 at its last."""

FillName = Literal["zero", "mean", "noise", "resample"]
"""What lesioned units are held at."""

ObjectiveName = Literal["gold", "contrast", "expectation", "last-token", "full"]
"""What is differentiated: the right answer, its log-odds, the model's choice, the prompt's end, or all."""

Score = Literal["squared-gradient", "gradient-weight", "squared-gradient-weight", "activation-weight"]
"""g² (the diagonal of the empirical Fisher); |w g| (SNIP; Lee et al., 2019); w² g² (Taylor; Molchanov et al., 2019);
|w| times the norm of the weight's input (Wanda; Sun et al., 2024)."""

Mode = Literal["auto", "single", "batched"]
"""One sample at a time, or batches with the same numbers."""

Precision = Literal["float32", "float16"]
"""Of sums of scores."""

EditKind = Literal["zero", "mean", "scale", "flip", "resample", "noise"]
"""What a chosen weight becomes."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What chosen weights become.

    * zero
    * mean: the mean of the matrix's other weights
    * scale: `alpha` times the weight; `about` "mean": mean + alpha (weight - mean), as published
    * flip: the weight with its other sign
    * resample: another weight of the same row, drawn from those not chosen
    * noise: Gaussian, with mean and deviation of the matrix's other weights
    """

    kind: EditKind = "zero"
    alpha: float = 0.0
    about: Literal["zero", "mean"] = "zero"
    mean_of: Literal["others", "zeroed"] = "others"
    """Take the mean of the other weights, or as published of all of them with the chosen ones counted as 0."""
    seed: int = 0

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"scale {self.alpha:g}" if self.kind == "scale" else self.kind
