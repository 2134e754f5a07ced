"""Lesions: hold chosen units or heads at a fill value, reversibly.

A lesion edits activations where they are written, in the prefill and in each decoding step, and leaves nothing behind.
Zero is a value that a trained network may never see; mean, noise and resample fills stay closer to its habits. A claim
should not depend on which (Zhang & Nanda, 2024; Miller et al., 2024).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.errors import SelectionError, SiteUnavailable
from broca.items import fingerprint
from broca.models.hooks import Edit, edit_sites
from broca.models.lm import LM
from broca.models.passes import Positions, current
from broca.models.skipping import first_block
from broca.registry import unknown
from broca.sites import PICTURE_KINDS, Site
from broca.units import UnitMask, fit

Values = Mapping[Site, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Zero:
    """Hold each unit at 0."""

    fingerprint = "zero"


@dataclass(frozen=True, slots=True)
class Keep:
    """Hold at its own value: the *identity* guard. A lesion with this fill must change nothing at all."""

    fingerprint = "keep"


@dataclass(frozen=True, slots=True, eq=False)
class Mean:
    """Hold at the unit's mean, ``(unit,)`` for each site, measured beforehand on a reference set."""

    at: Values

    @property
    def fingerprint(self) -> str:
        return _digest("mean", self.at)


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """Hold at mean + e, with e ~ N(0, (scale * std)^2) drawn once for each unit from `seed`, the same at every token."""

    at: Values
    std: Values
    scale: float = 1.0
    seed: int = 0

    @property
    def fingerprint(self) -> str:
        return _digest(f"noise {self.scale} {self.seed}", self.at, self.std)


@dataclass(frozen=True, slots=True, eq=False)
class Resample:
    """Hold at the unit's value on another text: one row of `bank`, ``(stimulus, unit)``, drawn for each text.

    The draw depends on the text's own tokens and on `seed`, never on its neighbours in the batch.
    """

    bank: Values
    seed: int = 0

    def __post_init__(self) -> None:
        if empty := [str(site) for site, rows in self.bank.items() if not len(rows)]:
            raise SelectionError(
                f"The bank of {', '.join(empty)} is empty. Give at least one text's activations to draw from."
            )

    @property
    def fingerprint(self) -> str:
        return _digest(f"resample {self.seed}", self.bank)


Fill = Zero | Keep | Mean | Noise | Resample


@dataclass(frozen=True, eq=False)
class Lesion:
    """Hold the selected units, or whole heads, at a fill value.

    Args:
        units: what to lesion: a mask, or what is written for one, such as heads ``"23.4, 29.1"`` or units ``"20.resid_post:507"``.
        fill: what to put there; "zero" and "keep" stand for the fills of that name.
        positions: at which tokens.

    Raises:
        SelectionError: if nothing is selected, or `units` is no selection.
        UnknownName: if there is no such fill.
    """

    units: UnitMask
    fill: Fill = Zero()
    positions: Positions = "all"

    if TYPE_CHECKING:

        def __init__(
            self, units: UnitMask | str, fill: Fill | str = ..., positions: Positions | list[int] = ...
        ) -> None: ...

    def __post_init__(self) -> None:
        if isinstance(self.units, str):
            object.__setattr__(self, "units", UnitMask.from_text(self.units))
        if not isinstance(self.units, UnitMask):
            raise SelectionError(
                f"{type(self.units).__name__} is no selection of units. Give a UnitMask, or write one: Lesion('23.4, 29.1'), "
                "Lesion('20.resid_post:507')."
            )
        if isinstance(self.fill, str):
            object.__setattr__(self, "fill", _named_fill(self.fill))
        if isinstance(self.positions, list):
            object.__setattr__(self, "positions", tuple(self.positions))
        named = isinstance(self.positions, str) and self.positions in ("all", "prompt", "generated", "last")
        numbers = isinstance(self.positions, tuple) and all(isinstance(at, int) for at in self.positions)
        if not named and not (numbers and self.positions):
            raise SelectionError(
                f"positions={self.positions!r} names no tokens. Give 'all', 'prompt', 'generated', 'last', or places in the prompt such "
                "as (0, -2)."
            )
        if not self.units.count:
            raise SelectionError("A lesion of zero units changes nothing. Select at least one unit.")

    def for_model(self, lm: LM) -> Lesion:
        """The same with the widths that this model has, where it was written before its model was known.

        Raises:
            SelectionError: if the model has no such unit or head.
            SiteUnavailable: if the model has no such site.
        """
        units = fit(self.units, lm.anatomy)
        return self if units is self.units else replace(self, units=units)

    @property
    def fingerprint(self) -> str:
        return fingerprint(["lesion", self.units.fingerprint, self.fill.fingerprint, self.positions])

    reads_prompt = False  # it goes by the pass under way

    @property
    def reads_ahead(self) -> bool:
        """Whether it acts on a beginning by what follows: at places counted from the end, or by a value drawn for each prompt."""
        from_end = self.positions == "last" or (isinstance(self.positions, tuple) and min(self.positions) < 0)
        return from_end or isinstance(self.fill, Resample)

    @property
    def first_layer(self) -> int:
        """The lowest block that must be computed for it: those below are as they were."""
        sites = [site for site, flags in self.units.at.items() if flags.any()]
        return min(0 if site.kind in PICTURE_KINDS else first_block(site) for site in sites)

    @contextmanager
    def apply(self, lm: LM) -> Iterator[Mapping[Site, int]]:
        """Put the lesion in force.

        Raises:
            SiteUnavailable: if the mask was made for a model of another shape, or the model has no such site.
        """
        own = self.for_model(lm)
        edits = {site: own.edit_at(lm, site) for site, flags in own.units.at.items() if flags.any()}
        with edit_sites(lm.model, lm.anatomy, edits) as fired:
            yield fired

    def edit_at(self, lm: LM, site: Site) -> Edit:
        """What becomes of the values at one of its sites, ``(batch, token, unit)``; the lesion is one of `for_model`.

        Raises:
            SelectionError: if the fill or the positions have no meaning there.
            SiteUnavailable: if the model has another number of units there.
        """
        if site.kind in PICTURE_KINDS and (self.positions != "all" or isinstance(self.fill, Resample)):
            raise SelectionError(
                f"{site} holds patches of pictures, not tokens of a text. Lesion it at all positions, with another fill than "
                "Resample."
            )
        chosen = torch.tensor(flags_of(lm, site, self.units))
        fill = self._filler(site)
        on: dict[torch.device, Tensor] = {}

        def edit(values: Tensor) -> Tensor:
            mask = on.setdefault(values.device, chosen.to(values.device))
            if self.positions != "all":
                mask = mask & current().at(self.positions, values.device).unsqueeze(-1)
            return torch.where(mask, fill(values), values)

        return edit

    def _filler(self, site: Site) -> Edit:
        """What stands in for the values at `site`, broadcastable to them."""
        match self.fill:
            case Zero():
                return lambda x: x.new_zeros(())
            case Keep():
                return lambda x: x
            case Mean(at=at):
                mean = torch.from_numpy(np.asarray(_at(at, site), dtype=np.float64))
                return mean.to
            case Noise(at=at, std=std, scale=scale, seed=seed):
                # One stream per site, so that a lesion elsewhere does not move this one's draw.
                draw = np.random.default_rng([seed, zlib.crc32(str(site).encode())])
                centre = np.asarray(_at(at, site), dtype=np.float64)
                held = torch.from_numpy(centre + draw.normal(size=centre.shape) * scale * _at(std, site))
                return held.to
            case Resample(bank=bank, seed=seed):
                donors = torch.tensor(_at(bank, site))
                return lambda x: donors.to(x)[_draws(x.device, len(donors), seed)].unsqueeze(1)


def _named_fill(name: str) -> Fill:
    plain = {"zero": Zero, "keep": Keep}
    if name in MEASURED:
        raise SelectionError(
            f"The fill {name!r} is measured on texts. Give what was measured: "
            f"Lesion(units, fill=broca.measure_fill({name!r}, lm, units, texts))."
        )
    if name not in plain:
        raise unknown("fill", name, (*plain, *MEASURED))
    return plain[name]()


MEASURED = ("mean", "noise", "resample")
"""Fills that need texts on which they are measured."""


def check_mask(lm: LM, units: UnitMask) -> None:
    """Refuse a selection that this model does not have.

    Raises:
        SiteUnavailable: if it has no such layer or site, or another number of units there.
    """
    for site in units.at:
        flags_of(lm, site, units)


def _draws(device: torch.device, n: int, seed: int) -> Tensor:
    """Which donor each row takes: a hash of its prompt's tokens."""
    keys = [zlib.crc32(np.asarray(ids, dtype="<i8").tobytes(), seed & 0xFFFFFFFF) % n for ids in current().prompts]
    return torch.tensor(keys, device=device)


def flags_of(lm: LM, site: Site, units: UnitMask) -> NDArray[np.bool_]:
    """The site's selection as one boolean a unit; a selected head, or group of heads, is all of its units."""
    chosen, width = units.at[site], lm.anatomy.width(site)
    if units.grain != "unit":
        chosen = np.repeat(chosen, lm.anatomy.members(site, units.grain))
    if len(chosen) != width:
        raise SiteUnavailable(
            f"{site}: the selection is for {len(chosen)} units, this model has {width} there. It was made for another "
            "model; localize on this one."
        )
    return chosen


def _at(values: Values, site: Site) -> NDArray[Any]:
    if site not in values:
        raise SelectionError(f"The fill has no values at {site}, which is lesioned. Measure it at every lesioned site.")
    return values[site]


def _digest(what: str, *tables: Values) -> str:
    digest = hashlib.sha256(what.encode())
    for table in tables:
        for site in sorted(table):
            digest.update(str(site).encode())
            digest.update(np.ascontiguousarray(table[site]).tobytes())
    return digest.hexdigest()[:16]
