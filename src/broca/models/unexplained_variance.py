"""How much of what stands at a site a dictionary explains: what tells a dictionary of another site or model.

Fraction of variance unexplained (FVU): ``sum |x - x'|^2 / sum |x - mean|^2`` over tokens; 1 is what the mean alone leaves. Those of the
right site leave .1 to .4 of ordinary text, those of a wrong one more than 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.errors import GuardError, SelectionError
from broca.models.coding import Code, coder
from broca.models.hooks import read_codes
from broca.models.tokens import Batch, Tokens
from broca.models.wiring.plain_text import plain_texts
from broca.units.dictionary import Dictionary

TEXTS, LENGTH = 16, 64


@dataclass(frozen=True, slots=True)
class ExplainedVariance:
    """What a dictionary makes of some texts, over all of their tokens but special ones at the start."""

    n: int
    """Tokens."""
    squares: float
    """Sum of squares of the activations."""
    total: NDArray[np.float64]
    """(output,): their sum."""
    left: float
    """Sum of squares of what is not explained."""
    fired: NDArray[np.float64]
    """(feature,): tokens at which it fires."""
    energy: NDArray[np.float64]
    """(feature,): its sum of squares."""

    def __add__(self, other: ExplainedVariance) -> ExplainedVariance:
        return ExplainedVariance(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained; NaN where nothing varies."""
        variance = self.squares - float(self.total @ self.total) / max(self.n, 1)
        return self.left / variance if variance > 0 else float("nan")

    @property
    def l0(self) -> float:
        """Features that fire at a token, on average."""
        return float(self.fired.sum() / max(self.n, 1))

    @property
    def rate(self) -> NDArray[np.float64]:
        """(feature,): share of the tokens at which it fires."""
        return self.fired / max(self.n, 1)


def explained_variance(lm: Any, tokens: Sequence[Tokens], layer: int) -> ExplainedVariance:
    """What the dictionary of a layer makes of texts; whatever is in force applies.

    Args:
        lm: a `broca.models.lm.LM`.
        tokens: the texts.
        layer: of the dictionary.

    Raises:
        SiteUnavailable: if the model is held with no such dictionary.
        GuardError: if the texts do not run its site.
    """
    dictionary = lm.anatomy.dictionary(layer)
    parts: list[ExplainedVariance] = []

    def step(batch: Batch) -> None:
        found: list[ExplainedVariance] = []
        with read_codes(lm.model, lm.anatomy, {layer: lambda x, code: found.append(_sums(dictionary, batch, x, code))}):
            lm.call(batch)
        parts.extend(found)

    for _ in lm.each(tokens, step):
        pass
    if not parts:
        raise GuardError(
            f"{dictionary.writes_to} never ran on these texts, so nothing is known of {dictionary!r}. Show other texts."
        )
    first, *rest = parts
    for part in rest:
        first = first + part
    return first


def text_tokens(batch: Batch) -> Tensor:
    """Which tokens count, ``(batch, token)``: none of the padding, no special ones at the start, and never the first.

    The norm of the first is many times that of any other in most models (Sun et al., 2024).
    """
    skipped = torch.tensor([max(tokens.prefix, 1) for tokens in batch.tokens], device=batch.ids.device)
    columns = torch.arange(batch.ids.shape[1], device=batch.ids.device)
    return batch.mask.bool() & (columns[None] >= (batch.start + skipped)[:, None])


@torch.no_grad()
def _sums(dictionary: Dictionary, batch: Batch, x: Tensor, code: Code) -> ExplainedVariance:
    real = text_tokens(batch).to(x.device)
    wide = x.to(code.features)[real]
    left = (wide - coder(dictionary, x).decode(code)[real]).double().square().sum()
    own, wide = code.features[real].double(), wide.double()

    def numbers(sums: Tensor) -> Any:
        return sums.cpu().numpy()

    fired, energy = numbers((own != 0).sum(0).double()), numbers(own.square().sum(0))
    return ExplainedVariance(len(wide), float(wide.square().sum()), numbers(wide.sum(0)), float(left), fired, energy)


def refuse_other(lm: Any, dictionary: Dictionary) -> None:
    """Refuse a dictionary that explains less of plain text than the mean does.

    Raises:
        SelectionError: naming how much, and what may be wrong.
    """
    texts = [
        Tokens(tuple(ids), "", prefix=1) for ids in plain_texts(lm.model, lm.tokenizer, texts=TEXTS, tokens=LENGTH)
    ]
    found = explained_variance(lm, texts, dictionary.layer).fvu
    if found <= 1:
        return
    said = dictionary.about.get("model_name")
    raise SelectionError(
        f"{dictionary!r} explains less of what stands at {dictionary.writes_to} in plain text than its mean does (FVU {found:.3g}, and "
        f"those of this site and model leave less than .5): it is of another site or {f'model ({str(said)[:60]}), ' if said else 'model, '}"
        "or its file has the encoder transposed or lacks a scale. Give its own site and model; with_features(..., check=False) takes it all the same."
    )
