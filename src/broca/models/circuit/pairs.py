"""A text and its counterfactual, token beside token, and the two tokens between which the answer lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from broca.errors import StimulusError
from broca.models.tokens import Tokens


@dataclass(frozen=True, slots=True)
class CounterfactualPair:
    """A text, another that is like it but for what matters, and what may come next.

    Raises:
        StimulusError: if they have not as many tokens, are the same, or the answers begin with the same token.
    """

    clean: Tokens
    counterfactual: Tokens
    right: int
    """Token ids that differ: `right` is what the clean text is expected to be followed by, `wrong` the other."""
    wrong: int
    id: str = ""
    group: str = ""
    others: tuple[int, ...] = ()
    """Of all other choices, where the margin is taken over the best of them instead of over `wrong`, as a scorer of choices has it."""

    def __post_init__(self) -> None:
        if len(self.clean) != len(self.counterfactual):
            raise StimulusError(
                f"Pair {self.id!r}: the text has {len(self.clean)} tokens and its counterfactual {len(self.counterfactual)}. Edges are patched "
                "token by token: give a counterfactual of as many tokens, such as one with another word of one token."
            )
        if self.clean.ids == self.counterfactual.ids:
            raise StimulusError(f"Pair {self.id!r}: the counterfactual is the text itself. Give another.")
        if self.right == self.wrong or self.right in self.others:
            raise StimulusError(
                f"Pair {self.id!r}: both answers begin with the same token, so nothing tells them apart there. Give answers that do not."
            )

    @property
    def reversed(self) -> CounterfactualPair:
        """The counterfactual with the text as its counterfactual, and the same answers."""
        return replace(self, clean=self.counterfactual, counterfactual=self.clean)

    @property
    def against(self) -> tuple[int, ...]:
        """The tokens over the best of which the margin is taken."""
        return self.others or (self.wrong,)


def margins(logits: Tensor, pairs: Sequence[CounterfactualPair]) -> Tensor:
    """The logit of the right token minus that of the wrong one, or the largest of the other choices, ``(pair,)``.

    Args:
        logits: next-token logits after each text, ``(pair, vocabulary)``.
        pairs: of the same rows.
    """
    rows = torch.arange(len(pairs), device=logits.device)
    right = torch.tensor([pair.right for pair in pairs], device=logits.device)
    most = max(len(pair.against) for pair in pairs)
    wrong = torch.tensor([[*p.against, *p.against[:1] * (most - len(p.against))] for p in pairs], device=logits.device)
    return logits[rows, right] - logits[rows[:, None], wrong].amax(1)
