"""Perplexity: how well running text is predicted, one row a window, so that two models are compared window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from broca.errors import StimulusError
from broca.items import Stimulus
from broca.items.text import plain_text

if TYPE_CHECKING:
    from broca.models.lm import LM
    from broca.models.tokens import Tokens

WINDOW_SCHEMA = pl.Schema({"window": pl.String(), "group": pl.String(), "tokens": pl.Int64(), "nll": pl.Float64()})
"""Columns of the table: ``tokens`` that were predicted, and ``nll``, the sum of their negative log-probabilities in nats."""

Recipe = Literal["exact", "batch-mean"]
"""``exact``: exp of the mean over all tokens. ``batch-mean``: exp of the mean over batches of windows of their means, as in
Wu et al. (2025), where a last batch that is not full counts too much."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How texts are cut into windows.

    Joined texts are the usual recipe (tokenised as one text, cut into windows without overlap, the rest dropped), for which
    there are published anchors at 2048 tokens. Apart, each text is its own window, with a BOS where the tokenizer has one,
    and its end is dropped.
    """

    length: int = 128
    """Tokens in a window, BOS counted; one less is predicted."""
    texts: Literal["apart", "joined"] = "apart"
    join: str = "\n\n"
    """What is put between joined texts."""

    def __post_init__(self) -> None:
        if self.length < 2:
            raise StimulusError(f"Windows of {self.length} tokens predict nothing. Give at least 2.")

    def cut(self, lm: LM, texts: Sequence[Stimulus]) -> list[tuple[Stimulus, Tokens]]:
        """The windows with what they are cut from; a window of joined texts is a stimulus of its own.

        Raises:
            StimulusError: if there is no text, or the joined texts are shorter than one window.
        """
        from broca.models.tokens import Tokens

        if not texts:
            raise StimulusError("There are no texts to cut into windows. Give at least one.")
        if self.texts == "apart":
            found = lm.tokenize([text.text for text in texts], truncate=self.length)
            return list(zip(texts, found, strict=True))
        whole = lm.tokenize([self.join.join(plain_text(text.text) for text in texts)])[0]
        n = len(whole) // self.length
        if not n:
            raise StimulusError(
                f"All texts together have {len(whole)} tokens, fewer than one window of {self.length}. Give more, or shorter "
                "windows."
            )
        cuts = [whole.ids[i * self.length : (i + 1) * self.length] for i in range(n)]
        return [(Stimulus(f"window-{i}", whole.text[:60]), Tokens(ids, whole.text[:60])) for i, ids in enumerate(cuts)]


def window_rows(
    lm: LM, texts: Sequence[Stimulus], windows: Windows = Windows(), *, size: int | None = None
) -> pl.DataFrame:
    """Rows of `WINDOW_SCHEMA`, one a window, under whatever is in force. They do not depend on `size`, windows a batch.

    Raises:
        StimulusError: as for `Windows.cut`, or if a window does not fit the model, or is a single token.
        GuardError: if an intervention in force never fired.
    """
    from broca.models.surprise import surprise

    cut = windows.cut(lm, texts)
    nll = surprise(lm, [tokens for _, tokens in cut], size=size)
    return pl.DataFrame(
        {
            "window": [source.id for source, _ in cut],
            "group": [source.cluster for source, _ in cut],
            "tokens": [len(tokens) - 1 for _, tokens in cut],
            "nll": nll,
        },
        schema=WINDOW_SCHEMA,
    )


def perplexity(rows: pl.DataFrame, recipe: Recipe = "exact", *, batch: int = 2) -> float:
    """The perplexity of windows that were scored; infinite where it is too large for a number.

    Args:
        rows: Of `window_rows`.
        recipe: How windows are averaged.
        batch: Windows a batch, for ``batch-mean``.

    Raises:
        StimulusError: no rows.
    """
    if not len(rows):
        raise StimulusError("There are no windows to take a perplexity of. Give at least one.")
    nll, tokens = rows["nll"].to_numpy(), rows["tokens"].to_numpy()
    with np.errstate(over="ignore"):
        if recipe == "exact":
            return float(np.exp(nll.sum() / tokens.sum()))
        starts = np.arange(0, len(rows), batch)
        return float(np.exp(np.mean(np.add.reduceat(nll, starts) / np.add.reduceat(tokens, starts))))
