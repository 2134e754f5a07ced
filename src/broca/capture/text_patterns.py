"""Attention patterns of one text: from each token to those before it, for chosen heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from torch import Tensor

from broca.errors import SelectionError
from broca.markup import table
from broca.models.attention import attention_rows
from broca.models.lm import LM
from broca.models.rendering import Prompt
from broca.specs.fields import Chat
from broca.units import UnitMask, fit

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True, eq=False, repr=False)
class TextPatterns:
    """Attention of some heads over one text."""

    tokens: tuple[str, ...]
    """As text, those of special tokens by name."""
    values: Mapping[str, Tensor]
    """For each head, such as "23.4", ``(query, key)`` in float32 or wider; each row sums to 1, but for attention sinks."""

    def frame(self) -> pl.DataFrame:
        """One row a head, query and key that the query sees: head, query, query_token, key, key_token, weight."""
        rows = [
            (head, query, self.tokens[query], key, self.tokens[key], float(pattern[query, key]))
            for head, pattern in self.values.items()
            for query in range(len(self.tokens))
            for key in range(query + 1)
        ]
        columns = ["head", "query", "query_token", "key", "key_token", "weight"]
        return pl.DataFrame(rows, schema=columns, orient="row")

    def plot(self) -> alt.ConcatChart:
        """A grid for each head: rows look, columns are looked at."""
        from broca.page.charts import pattern_grids

        return pattern_grids(self.frame().rename({"weight": "value"}), self.tokens)

    def __repr__(self) -> str:
        return f"TextPatterns({', '.join(self.values)}: {len(self.tokens)} tokens)"

    def _repr_html_(self) -> str:
        last = self.frame().filter(pl.col("query") == len(self.tokens) - 1)
        rows = []
        for head in self.values:
            most = last.filter(pl.col("head") == head).sort("weight", descending=True).head(3)
            said = ", ".join(f"{token!r} {weight:.2f}" for token, weight in most.select("key_token", "weight").rows())
            rows.append((head, said))
        return table(f"{self!r}: from the last token", ("head", "looks at"), rows)


def patterns(lm: LM, text: Prompt, heads: UnitMask | str, *, chat: Chat = "auto") -> TextPatterns:
    """The attention of chosen heads over a text.

    Args:
        lm: the model, with whatever is in force.
        text: a prompt or a chat.
        heads: as they are written, "23.4, 29.1"; or a mask of heads.
        chat: whether to use the model's chat template.

    Raises:
        SelectionError: if there is no such head, or what is chosen are no heads.
        GuardError: if attention cannot be read from this model.
    """
    mask = fit(UnitMask.from_text(heads) if isinstance(heads, str) else heads, lm.anatomy)
    if mask.grain != "head" or not mask.count:
        raise SelectionError(f"Patterns are of heads, and {mask!r} chooses none. Write heads: '23.4, 29.1'.")
    chosen = {site.layer: np.flatnonzero(flags).tolist() for site, flags in mask.at.items() if flags.any()}
    (tokens,) = lm.tokenize([text], chat=chat)
    found = attention_rows(lm, lm.pad_batch([tokens]), rows="all", heads=chosen)
    values = {
        f"{layer}.{head}": found[layer][0, i].cpu() for layer, some in chosen.items() for i, head in enumerate(some)
    }
    return TextPatterns(lm.pieces(tokens), values)
