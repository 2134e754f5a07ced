"""The logit lens of one text: what each layer would say after each token, if it were the last (nostalgebraist, 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import torch
from torch import Tensor

from broca.capture.text_activations import capture_text
from broca.errors import StimulusError
from broca.markup import table
from broca.models.lens import lens as lens_of
from broca.models.lm import LM
from broca.models.rendering import Prompt
from broca.specs.fields import Chat

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True, eq=False, repr=False)
class TextLens:
    """What each layer's residual stream says of the next token, after each token of a text."""

    tokens: tuple[str, ...]
    """As text, those of special tokens by name."""
    likeliest: pl.DataFrame
    """One row a layer, token and rank: layer, position, token, rank (1 is the likeliest), says, probability."""
    answer: pl.DataFrame | None = None
    """One row a layer and token, where an answer was given: layer, position, token, probability and rank of its first token."""

    def frame(self) -> pl.DataFrame:
        """`answer` where one was given, else `likeliest`."""
        return self.likeliest if self.answer is None else self.answer

    def plot(self) -> alt.LayerChart:
        """Layers by tokens: the likeliest next token, and as ink its probability, or that of the answer where one was given."""
        from broca.page.charts import token_grid

        first = self.likeliest.filter(pl.col("rank") == 1)
        title = "What each layer would say"
        if self.answer is not None:
            ink = self.answer.select("layer", "position", "probability")
            first = first.drop("probability").join(ink, on=["layer", "position"], how="left", maintain_order="left")
            title = "What each layer would say; ink: the answer"
        return token_grid(first.rename({"probability": "value", "says": "text"}), self.tokens, title)

    def __repr__(self) -> str:
        return f"TextLens({self.likeliest['layer'].n_unique()} layers, {len(self.tokens)} tokens)"

    def _repr_html_(self) -> str:
        last = self.likeliest.filter((pl.col("rank") == 1) & (pl.col("position") == len(self.tokens) - 1))
        rows = [(layer, says, f"{p:.2f}") for layer, says, p in last.select("layer", "says", "probability").rows()]
        return table(f"{self!r}: after the last token", ("layer", "says", "probability"), rows)


def lens(lm: LM, text: Prompt, *, top: int = 5, answer: str | None = None, chat: Chat = "auto") -> TextLens:
    """What each layer would say next after each token of a text.

    Args:
        lm: the model, with whatever is in force.
        text: a prompt or a chat.
        top: how many of the likeliest tokens to keep.
        answer: a text such as " Paris", whose first token is followed through the layers.
        chat: whether to use the model's chat template.

    Raises:
        AnatomyError: if the lens of this model cannot be proved.
        StimulusError: if `top` is below 1, or the answer has no token.
    """
    if top < 1:
        raise StimulusError(f"top is {top}. Keep 1 token or more of each place.")
    proved = lens_of(lm)
    target = None if answer is None else _first_token(lm, answer)
    sites = lm.anatomy.sites("resid_post")
    found = capture_text(lm, text, sites, chat=chat)
    tokens = found[sites[0]].tokens
    rows, of_answer = [], []
    for site in sites:
        states = found[site].values.to(lm.device, lm.dtype)
        chances = proved(states).log_softmax(-1).cpu()
        best = chances.topk(min(top, chances.shape[1]), dim=1)
        for position, (values, ids) in enumerate(zip(best.values.exp().tolist(), best.indices.tolist(), strict=True)):
            place = (site.layer, position, tokens[position])
            said = [lm.tokenizer.decode([i]) for i in ids]
            rows += [(*place, rank, *pair) for rank, pair in enumerate(zip(said, values, strict=True), 1)]
        if target is not None:
            of_answer += _follow(site.layer, tokens, chances, target)
    names = ["layer", "position", "token"]
    return TextLens(
        tokens,
        pl.DataFrame(rows, schema=[*names, "rank", "says", "probability"], orient="row"),
        None if target is None else pl.DataFrame(of_answer, schema=[*names, "probability", "rank"], orient="row"),
    )


def _follow(
    layer: int, tokens: tuple[str, ...], chances: Tensor, target: int
) -> list[tuple[int, int, str, float, int]]:
    own = chances[:, target]
    ranks = 1 + (chances > own[:, None]).sum(1)
    both = zip(torch.exp(own).tolist(), ranks.tolist(), strict=True)
    return [(layer, i, tokens[i], p, rank) for i, (p, rank) in enumerate(both)]


def _first_token(lm: LM, answer: str) -> int:
    ids = lm.tokenizer(answer, add_special_tokens=False).input_ids
    if not ids:
        raise StimulusError(
            f"The answer {answer!r} has no token. Give a text, with its space where it has one: ' Paris'."
        )
    return int(ids[0])
