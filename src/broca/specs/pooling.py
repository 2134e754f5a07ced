"""How attention becomes features: the steps, and the published ways to take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from broca.errors import StimulusError
from broca.registry import unknown

Step = Literal["query", "span", "heads"]


@dataclass(frozen=True, slots=True)
class Pooling:
    """How attention rows become one number for each layer, head and statement; the steps are done in `order`."""

    query: Literal["last", "max", "mean"] = "last"
    """Over the tokens of the question: its last one alone, or the maximum or mean over all of them."""
    span: Literal["mean", "sum", "max"] = "sum"
    """Over the tokens of a statement."""
    heads: Literal["kept", "mean"] = "kept"
    """Keep each head, or take their mean."""
    order: tuple[Step, Step, Step] = ("query", "span", "heads")
    """A maximum and a mean do not commute, so the order is part of what a feature means."""
    scale: Literal["none", "example"] = "none"
    """Leave the numbers as they are, or divide those of each text by the largest of them."""
    bos: Literal["with", "without"] = "with"
    """Show texts with the special tokens that the tokenizer puts before them, or without."""
    skip: int = 0
    """Tokens of the first statement that are left out: without a BOS its first one may be where heads look that look nowhere."""

    def __post_init__(self) -> None:
        if sorted(self.order) != ["heads", "query", "span"]:
            raise StimulusError(f"order is {self.order}. Give query, span and heads, each once, in the order wanted.")
        if self.skip < 0:
            raise StimulusError(f"skip is {self.skip}. Give 0, or how many tokens of the first statement to leave out.")


PRESETS: Mapping[str, Pooling] = {
    "heads": Pooling(),
    "gpt2-paper": Pooling("last", "mean", "mean", ("query", "span", "heads"), "example"),
    "llama-code": Pooling("max", "mean", "mean", ("query", "heads", "span"), bos="without", skip=1),
    "llama-paper": Pooling("max", "mean", "mean", ("span", "query", "heads")),
}
"""``heads`` keeps every head: the mass that a statement gets from the question's last token. The others are the published
features of GPT-2 and of LLaMA, the latter as its code and as its paper order the steps (Hou et al., 2023). The code shows no BOS and
leaves out the first token of the first statement."""


def pooling(name_or_pooling: str | Pooling) -> Pooling:
    """A pooling, or that of this name.

    Raises:
        UnknownName: if no preset has this name.
    """
    if isinstance(name_or_pooling, Pooling):
        return name_or_pooling
    if name_or_pooling not in PRESETS:
        raise unknown("pooling", name_or_pooling, tuple(PRESETS))
    return PRESETS[name_or_pooling]
