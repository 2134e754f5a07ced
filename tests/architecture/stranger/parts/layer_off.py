"""An intervention: a whole block that writes nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

import broca


@dataclass(frozen=True)
class LayerOff:
    """Zero what attention and MLP of a block write into the residual stream."""

    layer: int
    reads_prompt = False  # it does the same to every token, whatever the pass
    reads_ahead = False  # and whatever follows: a beginning that prompts share may be read once (may be left out)

    @property
    def fingerprint(self) -> str:
        return f"layer-off {self.layer}"

    @property
    def first_layer(self) -> int:
        """Blocks below may hand on what they handed on before (may be left out)."""
        return self.layer

    def apply(self, lm: broca.LM) -> AbstractContextManager[Any]:
        sites = (broca.Site(self.layer, "attn_out"), broca.Site(self.layer, "mlp_out"))
        every = broca.UnitMask({site: np.ones(lm.anatomy.width(site), dtype=bool) for site in sites})
        return broca.Lesion(every).apply(lm)
