"""Units of several sites in one row: site by site in site order, index by index within a site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from broca.errors import SelectionError
from broca.sites import Site

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which sites there are, in order, and how many units each has."""

    widths: dict[Site, int]

    @classmethod
    def of(cls, arrays: Mapping[Site, Array], what: str) -> Layout:
        """The layout of one array per site.

        Raises:
            SelectionError: if there is no site, or an array is not a row of at least one unit.
        """
        if not arrays:
            raise SelectionError(f"There are no {what}: no site is given. Give an array for at least one site.")
        widths = {}
        for site in sorted(arrays):
            shape = np.shape(arrays[site])
            if len(shape) != 1 or shape[0] == 0:
                raise SelectionError(
                    f"{what} at {site} have shape {shape}. Give one number per unit: shape (n,), n >= 1."
                )
            widths[site] = shape[0]
        return cls(widths)

    @property
    def sites(self) -> tuple[Site, ...]:
        """In ascending order: by layer, then by kind."""
        return tuple(self.widths)

    @property
    def total(self) -> int:
        """Units over all sites."""
        return sum(self.widths.values())

    @property
    def site_of(self) -> Array:
        """For each unit of the row the position of its site."""
        return np.repeat(np.arange(len(self.widths)), list(self.widths.values()))

    @property
    def layer_of(self) -> Array:
        """For each unit of the row its layer."""
        return np.repeat([site.layer for site in self.widths], list(self.widths.values()))

    @property
    def index_of(self) -> Array:
        """For each unit of the row its index within its site."""
        return np.concatenate([np.arange(n) for n in self.widths.values()])

    def row(self, arrays: Mapping[Site, Array], dtype: type, what: str, *, absent: Any = None) -> Array:
        """One row from one array per site; a site without array is filled with `absent` where that is given.

        Raises:
            SelectionError: if a site is missing or unknown, or has another number of units.
        """
        unknown = sorted(set(arrays) - set(self.widths))
        missing = sorted(set(self.widths) - set(arrays)) if absent is None else []
        if unknown or missing:
            which = f"{what} lack site {missing[0]}" if missing else f"{what} have site {unknown[0]}, which is not here"
            raise SelectionError(f"{which}. Give them for the same sites: {', '.join(map(str, self.sites[:4]))} …")
        parts = []
        for site, n in self.widths.items():
            part = np.asarray(arrays[site], dtype) if site in arrays else np.full(n, absent, dtype)
            if part.shape != (n,):
                raise SelectionError(f"{what} at {site} have shape {part.shape}. This site has {n} units.")
            parts.append(part)
        return np.concatenate(parts)

    def split(self, row: Array) -> dict[Site, Array]:
        """One array per site from a row."""
        ends = np.cumsum(list(self.widths.values()))[:-1]
        return dict(zip(self.widths, np.split(row, ends), strict=True))
