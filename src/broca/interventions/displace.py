"""A random direction in the place of features: each token is moved as far as a lesion of features moves it, and elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from broca.errors import SelectionError
from broca.interventions.lesion import Lesion
from broca.items import fingerprint
from broca.models.coding import Code, coder
from broca.models.hooks import edit_codes
from broca.models.lm import LM
from broca.sites import Site


@dataclass(frozen=True, eq=False)
class Displace:
    """Move each token by a random direction, as long as what a lesion of features does to it: ``x + |dx| u``, u of length 1.

    What a lesion of features is compared with: a token that is moved so far may be lost wherever it is moved to.

    Args:
        lesion: of features.
        seed: of the direction; it is the same for all tokens.

    Raises:
        SelectionError: if something else than features is lesioned.
    """

    lesion: Lesion
    seed: int = 0

    reads_prompt = False

    def __post_init__(self) -> None:
        if other := [str(site) for site in self.lesion.units.at if site.kind != "feature"]:
            raise SelectionError(
                f"{other[0]} has no features, and only a lesion of features moves what they write. Compare a lesion of units with one of "
                "other units."
            )

    @property
    def fingerprint(self) -> str:
        return fingerprint(["displace", self.lesion.fingerprint, self.seed])

    @property
    def reads_ahead(self) -> bool:
        """Whether it acts on a beginning by what follows, as its lesion does."""
        return self.lesion.reads_ahead

    @property
    def first_layer(self) -> int:
        """The lowest block that must be computed for it."""
        return self.lesion.first_layer

    @contextmanager
    def apply(self, lm: LM) -> Iterator[Mapping[Site, int]]:
        """Put it in force.

        Raises:
            SiteUnavailable: if the model is held with no dictionary of a layer.
        """
        own = self.lesion.for_model(lm)
        sites = [site for site, flags in own.units.at.items() if flags.any()]
        with edit_codes(lm.model, lm.anatomy, {site.layer: self._edit(lm, own, site) for site in sites}) as fired:
            yield fired

    def _edit(self, lm: LM, own: Lesion, site: Site) -> Callable[[Tensor, Code], Tensor]:
        dictionary, change = lm.anatomy.dictionary(site.layer), own.edit_at(lm, site)
        draw = np.random.default_rng([self.seed, zlib.crc32(str(site).encode())])
        drawn = torch.from_numpy(draw.normal(size=dictionary.decoder.shape[1]))
        along = drawn / drawn.norm()

        def edit(x: Tensor, code: Code) -> Tensor:
            lesioned = coder(dictionary, x).move(x, code, change(code.features))
            length = (lesioned.double() - x.double()).norm(dim=-1, keepdim=True)
            return torch.where(length > 0, (x.double() + length * along.to(x.device)).to(x.dtype), x)

        return edit
