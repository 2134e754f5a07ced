"""A patch: activations of another run put in place at chosen tokens, so that whatever follows can be scored or generated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.errors import GuardError, SelectionError
from broca.interventions.lesion import flags_of
from broca.interventions.plant import text_key
from broca.models.hooks import Edit, edit_sites
from broca.models.lm import LM
from broca.models.passes import current
from broca.sites import Site
from broca.units import UnitMask

Values = Mapping[Site, NDArray[np.floating]]
"""Activations at each site, ``(place, unit)``."""


@dataclass(frozen=True, eq=False)
class Patch:
    """Put given activations in place while the prompt is read (activation patching: Vig et al., 2020; Meng et al., 2022).

    Args:
        values: by `text_key` of the prompt: places among its tokens (0 is the first, BOS counted), and what to put there, such as
            `broca.capture.places.at_places` reads of another text.
        units: in these units, or heads, alone; all when None.

    Raises:
        SelectionError: if there is nothing to put in place, or places and activations do not fit each other.
    """

    values: Mapping[str, tuple[Sequence[int], Values]]
    units: UnitMask | None = None

    def __post_init__(self) -> None:
        if not self.values:
            raise SelectionError("A patch of no text changes nothing. Give the activations of at least one.")
        sites = {frozenset(at) for _, at in self.values.values()}
        if len(sites) != 1 or not next(iter(sites)):
            raise SelectionError("Every text of a patch needs activations at the same sites, at one or more.")
        for places, at in self.values.values():
            for site, held in at.items():
                if held.ndim != 2 or len(held) != len(places) or not places:
                    raise SelectionError(
                        f"{site}: activations of shape {held.shape} for {len(places)} places. Give (place, unit), one place at "
                        "least."
                    )

    @property
    def fingerprint(self) -> str:
        units = self.units.fingerprint if self.units else None
        digest = hashlib.sha256(json.dumps(["patch", units]).encode())
        for key, (places, at) in sorted(self.values.items()):
            digest.update(f"{key} {list(places)}".encode())
            for site in sorted(at):
                digest.update(f"{site}".encode() + np.ascontiguousarray(at[site]).tobytes())
        return digest.hexdigest()[:16]

    reads_prompt = False  # it goes by the pass under way

    @contextmanager
    def apply(self, lm: LM) -> Iterator[Mapping[Site, int]]:
        """Put the activations in place; the model is untouched afterwards.

        Raises:
            SiteUnavailable: if the model has no such site, or `units` were chosen in a model of another shape.
            GuardError: later, at a text that there are no activations for.
        """
        sites = next(iter(self.values.values()))[1]
        chosen = {site: None if self.units is None else flags_of(lm, site, self.units) for site in sites}
        edits = {site: self._edit(site, units) for site, units in chosen.items()}
        with edit_sites(lm.model, lm.anatomy, edits) as fired:
            yield fired

    def _edit(self, site: Site, units: NDArray[np.bool_] | None) -> Edit:
        where = None if units is None else torch.from_numpy(np.flatnonzero(units))

        def edit(x: Tensor) -> Tensor:
            shown = current()
            if not shown.has_prompt:
                return x
            x = x.clone()
            for row, (ids, start) in enumerate(zip(shown.prompts, shown.start, strict=True)):
                known = self.values.get(text_key(ids))
                if known is None:
                    raise GuardError(
                        f"The model was shown a text of {len(ids)} tokens that this patch has no activations for, so it would be "
                        "answered unpatched. Give activations for each text."
                    )
                columns = torch.tensor([start + place for place in known[0]]) - shown.past
                here = columns >= 0
                columns, held = columns[here], torch.from_numpy(known[1][site])[here].to(x)
                if where is None:
                    x[row, columns] = held
                else:
                    x[row, columns[:, None], where] = held[:, where]
            return x

        return edit
