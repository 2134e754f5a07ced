"""An intervention: a whole block that writes nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

import broca
from broca.sites import Site


@dataclass(frozen=True)
class LayerOff:
    """Zero what attention and MLP of a block write into the residual stream."""

    layer: int
    reads_prompt = False  # it does the same to every token, whatever the pass

    @property
    def fingerprint(self) -> str:
        return f"layer-off {self.layer}"

    def applied(self, lm: broca.LM) -> AbstractContextManager[Any]:
        sites = (Site(self.layer, "attn_out"), Site(self.layer, "mlp_out"))
        every = broca.UnitMask({site: np.ones(lm.anatomy.width(site), dtype=bool) for site in sites})
        return broca.Lesion(every).applied(lm)
