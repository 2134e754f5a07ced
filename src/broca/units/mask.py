"""A choice of units: which coordinates, or which heads, of which sites."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from broca.errors import SelectionError
from broca.markup import MOST, table
from broca.sites import Site
from broca.units import files
from broca.units.layout import Array, Layout
from broca.units.notation import OPEN, Grain, names, parse_heads, parse_units
from broca.units.overlap import Overlap

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False, repr=False)
class UnitMask:
    """Chosen units at each site, as one boolean array per site.

    Masks combine: ``a & b`` is what both choose, ``a | b`` what either does, ``a - b`` what a alone does, ``~a`` all
    other units of a's own sites. A site that only one of two masks has counts as empty in the other.

    Raises:
        SelectionError: if there is no site, an array is not boolean of shape (n,), or heads are not of a `z`.
    """

    at: Mapping[Site, Array]
    """For each site an array of shape (n,): n is the width of the site, its number of heads, or of key-value heads."""
    grain: Grain = "unit"
    _layout: Layout = field(init=False)

    def __post_init__(self) -> None:
        if self.grain not in get_args(Grain):
            raise SelectionError(f"grain is {self.grain!r}. Choose 'unit', 'head' or 'group'.")
        layout = Layout.of(self.at, "flags")
        frozen = {}
        for site in layout.sites:
            if self.grain != "unit" and site.kind != "z":
                raise SelectionError(f"Heads are slices of z, not of {site}. Use {site.layer}.z, or grain 'unit'.")
            flags = np.array(self.at[site])
            if flags.dtype != np.bool_:
                raise SelectionError(
                    f"Flags at {site} are {flags.dtype}. Give booleans, or use UnitMask.of for indices."
                )
            flags.flags.writeable = False
            frozen[site] = flags
        object.__setattr__(self, "at", frozen)
        object.__setattr__(self, "_layout", layout)

    @classmethod
    def of(
        cls,
        units: Mapping[Site, Iterable[int]] | Mapping[str, Iterable[int]],
        *,
        n: int | Mapping[Site, int] | Mapping[str, int],
        grain: Grain = "unit",
    ) -> UnitMask:
        """A mask from indices: ``UnitMask.of({"3.z": [0, 2]}, n=4, grain="head")``.

        `n` is how many units (or heads) a site has, for all sites or for each.

        Raises:
            SelectionError: if an index is not a whole number from 0 to n - 1, or comes twice.
        """
        widths = None if isinstance(n, int) else {Site.of(key): width for key, width in n.items()}
        at = {}
        for key, indices in units.items():
            site = Site.of(key)
            if widths is not None and site not in widths:
                raise SelectionError(f"n does not say how many units {site} has. Add it.")
            at[site] = _flags(site, list(indices), n if widths is None else widths[site])
        return cls(at, grain)

    @classmethod
    def heads(cls, text: str, *, n_heads: int, n_layers: int | None = None) -> UnitMask:
        """A mask of heads written LAYER.HEAD: ``UnitMask.heads("0.4, 1.2", n_heads=12)``.

        Layers are checked where `n_layers` says how many there are.

        Raises:
            SelectionError: if the text is of another form, or a head does not exist.
        """
        return cls.of(parse_heads(text, n_heads=n_heads, n_layers=n_layers), n=n_heads, grain="head")

    @classmethod
    def parse(cls, text: str, *, n: Callable[[Site, Grain], int]) -> UnitMask:
        """A mask of what is written LAYER.KIND:UNITS, KIND being a site's, `head` or `group`: ``"3.experts:0,2 5.experts:1"``.

        `n` is how many units, heads or groups a site has.

        Raises:
            SelectionError: if the text is of another form, mixes grains, or names what does not exist.
        """
        chosen, grain = parse_units(text)
        return cls.of(chosen, n={site: n(site, grain) for site in chosen}, grain=grain)

    @classmethod
    def from_text(cls, text: str) -> UnitMask:
        """A mask as it is written: heads (``0.4,1.2``), units (``3.mlp_act:0,2``), or its file. Widths are open but for a file's.

        Raises:
            SelectionError: if it is none of these.
        """
        if not text.strip():
            raise SelectionError(
                "'' names nothing. Give heads such as '0.4,1.2', units such as '3.mlp_act:0,2', or a file."
            )
        if os.path.exists(text):  # noqa: PTH110 - unlike Path.exists, never raises on an overlong name
            return cls.load(text)
        if ":" in text:
            return cls.parse(text, n=lambda *_: OPEN)
        return cls.heads(text, n_heads=OPEN) if re.fullmatch(r"[\d.,\s]+", text) else cls.load(text)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Sites in order, those without a chosen unit too."""
        return self._layout.sites

    @property
    def count(self) -> int:
        """How many units are chosen."""
        return sum(int(flags.sum()) for flags in self.at.values())

    @property
    def noun(self) -> str:
        """What one of them is called: a feature where all sites are of dictionaries, else its grain."""
        return "feature" if all(site.kind == "feature" for site in self.at) else self.grain

    @property
    def names(self) -> list[str]:
        """Each choice as it is written: ``23.4`` for a head, ``20.resid_post:507`` for a unit, ``3.group:1`` for a group."""
        return names(self.at, self.grain)

    @property
    def total(self) -> int:
        """How many units the mask's sites have."""
        return self._layout.total

    @property
    def fingerprint(self) -> str:
        """Content hash: grain, sites, widths and choices. 16 hex digits."""
        header = [self.grain, [[str(site), n] for site, n in self._layout.widths.items()]]
        digest = hashlib.sha256(json.dumps(header, separators=(",", ":")).encode())
        digest.update(np.packbits(np.concatenate(list(self.at.values()))).tobytes())
        return digest.hexdigest()[:16]

    def __and__(self, other: UnitMask) -> UnitMask:
        return self._combine(other, np.logical_and)

    def __or__(self, other: UnitMask) -> UnitMask:
        return self._combine(other, np.logical_or)

    def __sub__(self, other: UnitMask) -> UnitMask:
        return self._combine(other, np.greater)

    def __invert__(self) -> UnitMask:
        return UnitMask({site: ~flags for site, flags in self.at.items()}, self.grain)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UnitMask):
            return NotImplemented
        same = self.grain == other.grain and self._layout == other._layout
        return same and all(np.array_equal(flags, other.at[site]) for site, flags in self.at.items())

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        sites = f"{len(self.at)} site{'s' if len(self.at) > 1 else ''}"
        return f"UnitMask({self.count} of {self.total} {self.noun}s in {sites})"

    def _repr_html_(self) -> str:
        rows = [(site, flags.size, int(flags.sum())) for site, flags in self.at.items() if flags.any()]
        names = ", ".join(self.names[:MOST]) + (", ..." if self.count > MOST else "")
        return table(f"{self!r}: {names}", ("site", f"{self.noun}s", "selected"), rows[:MOST], n=len(rows))

    def overlap(self, other: UnitMask) -> Overlap:
        """What both choose, and what chance would give: see `Overlap.of`.

        Raises:
            SelectionError: if grains or widths differ.
        """
        shared, universe = (self & other).count, (self | other).total
        return Overlap.of(shared=shared, sizes=(self.count, other.count), universe=universe)

    def by_layer(self) -> pl.DataFrame:
        """One row per site: layer, kind, n_units, n_selected, percent."""
        import polars as pl

        return pl.DataFrame(
            {
                "layer": [site.layer for site in self.at],
                "kind": [site.kind for site in self.at],
                "n_units": [flags.size for flags in self.at.values()],
                "n_selected": [int(flags.sum()) for flags in self.at.values()],
                "percent": [100 * float(flags.mean()) for flags in self.at.values()],
            }
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data: ``{"grain": "head", "at": {"3.z": {"n": 4, "units": [0, 2]}}}``."""
        at = {str(site): {"n": flags.size, "units": np.flatnonzero(flags).tolist()} for site, flags in self.at.items()}
        return {"grain": self.grain, "at": at}

    @classmethod
    def from_json(cls, data: Any) -> UnitMask:
        """A mask from what `to_json` wrote.

        Raises:
            SelectionError: if `data` is anything else.
        """
        match data:
            case {"grain": grain, "at": dict(at), **rest} if not rest and all(
                _is_entry(entry) for entry in at.values()
            ):
                units, widths = ({key: entry[name] for key, entry in at.items()} for name in ("units", "n"))
                return cls.of(units, n=widths, grain=grain)
        raise SelectionError(
            f"This is not a mask: {str(data)[:80]}. Write "
            '{"grain": "unit", "at": {"3.resid_post": {"n": 768, "units": [0, 2]}}}.'
        )

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file, whole or not at all; the same mask gives the same bytes."""
        return files.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> UnitMask:
        """Read what `save` wrote.

        Raises:
            SelectionError: if the file is missing, damaged, or something else.
        """
        return files.load(cls, Path(path))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return files.field_schema(cls, cls.from_text)

    def _combine(self, other: UnitMask, rule: Any) -> UnitMask:
        if self.grain != other.grain:
            raise SelectionError(
                f"One mask chooses {self.grain}s, the other {other.grain}s. Combine masks of one grain."
            )
        at = {}
        for site in {**self.at, **other.at}:
            mine, theirs = self.at.get(site), other.at.get(site)
            mine = np.zeros_like(theirs) if mine is None else mine
            theirs = np.zeros_like(mine) if theirs is None else theirs
            if mine.shape != theirs.shape:
                raise SelectionError(f"{site} has {mine.size} units in one mask and {theirs.size} in the other.")
            at[site] = rule(mine, theirs)
        return UnitMask(at, self.grain)


_WIDEST = 1 << 28
"""Units of a site: no model has as many."""


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and entry.keys() == {"n", "units"} and isinstance(entry["units"], list | tuple)


def _flags(site: Site, indices: list[Any], n: object) -> Array:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 1 <= n <= _WIDEST:
        raise SelectionError(f"{site} cannot have {n!r:.40} units. Give a whole number from 1 to {_WIDEST:,}.")
    for index in indices:
        if isinstance(index, bool | np.bool_) or not isinstance(index, int | np.integer) or not 0 <= index < n:
            raise SelectionError(f"{index!r} is not a unit of {site}. Its units are 0 to {int(n) - 1}.")
    if len(set(indices)) < len(indices):
        raise SelectionError(f"A unit of {site} is named twice: {sorted(indices)[:8]}. Name each once.")
    flags = np.zeros(int(n), np.bool_)
    flags[indices] = True
    return flags
