"""The scorers that a spec can name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from broca.scoring.generation import Generation
from broca.scoring.likelihood import Likelihood
from broca.scoring.orders import Permuted
from broca.scoring.sampling import Sampled
from broca.specs.fields import Chat

AnyScorer = Annotated[Likelihood | Generation | Permuted | Sampled, Field(discriminator="kind")]
"""Every scorer that a study's spec can name, told apart by `kind`."""


def chat_of(scorer: object) -> Chat:
    """Whether a scorer shows prompts through the model's chat template: what it says itself, or the scorer inside it."""
    inner = getattr(scorer, "scorer", None) or getattr(scorer, "reader", None) or scorer
    return getattr(inner, "chat", "auto")
