"""Scoring the same items under many lesions: they are tokenised once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from broca.items import Item
from broca.models.lm import LM
from broca.models.questions import Question
from broca.scoring import Likelihood

KEPT = 64
"""Lists of items that are remembered at most."""

_known: WeakKeyDictionary[Any, dict[tuple[Likelihood, tuple[str, ...]], list[Question]]] = WeakKeyDictionary()
"""By tokenizer."""


@dataclass(frozen=True)
class TokenCachedLikelihood(Likelihood):
    """Likelihood that remembers the tokens of what it was asked."""

    def questions(self, lm: LM, items: Sequence[Item]) -> list[Question]:
        """See `Likelihood.questions`."""
        known = _known.setdefault(lm.tokenizer, {})
        key = (self, tuple(item.fingerprint for item in items))
        if key not in known:
            if len(known) >= KEPT:
                known.clear()
            known[key] = super().questions(lm, items)
        return known[key]

    def __repr__(self) -> str:
        """Under the name that the keys of stored scores hold."""
        return super().__repr__().replace(type(self).__qualname__, "Prepared", 1)
