"""A dictionary put in the place of what it is to explain: its error is left out, and what that costs is what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from broca.items import fingerprint
from broca.models.coding import Code, coder
from broca.models.hooks import edit_codes
from broca.models.lm import LM
from broca.models.passes import current
from broca.models.skipping import first_block
from broca.sites import Site


@dataclass(frozen=True)
class Reconstruct:
    """Replace what stands at the target of a dictionary by what its features say, at every token but the first.

    The first token, whose norm is many times that of any other in most models, is left out of the training of most dictionaries.

    Args:
        layer: of the dictionary, which the model is held with.
        zero: put 0 there instead: what the dictionary is compared with.
    """

    layer: int
    zero: bool = False

    reads_prompt = False
    reads_ahead = False

    @property
    def fingerprint(self) -> str:
        return fingerprint(["reconstruct", self.layer, self.zero])

    @property
    def first_layer(self) -> int:
        """The lowest block that must be computed for it."""
        return first_block(Site(self.layer, "feature"))

    @contextmanager
    def apply(self, lm: LM) -> Iterator[Mapping[Site, int]]:
        """Put it in force.

        Raises:
            SiteUnavailable: if the model is held with no dictionary of this layer.
        """
        dictionary = lm.anatomy.dictionary(self.layer)

        def rebuild(x: Tensor, code: Code) -> Tensor:
            instead = torch.zeros_like(x) if self.zero else coder(dictionary, x).decode(code).to(x.dtype)
            return torch.where((current().places > 0).to(x.device)[..., None], instead, x)

        with edit_codes(lm.model, lm.anatomy, {self.layer: rebuild}) as fired:
            yield fired
