"""Steering: move what stands at a site along a direction, take the direction out of it, or hold it at a place along it.

Padding is never touched, every row of a batch is, in the prompt and in each decoding step, and nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from broca.errors import InterventionError, SelectionError
from broca.items import fingerprint
from broca.models.hooks import Edit, edit_sites
from broca.models.lm import LM
from broca.models.passes import Positions, current
from broca.models.skipping import first_block
from broca.sites import PICTURE_KINDS, Kind, Site
from broca.units.direction import Direction

Act = Literal["add", "project", "clamp"]
"""``x + dose v``; ``x - (r x) v``; ``x + (dose - r (x - c)) v``. v is the vector, r reads the place along it (``r v`` is 1), c is place 0."""
Unit = Literal["norm", "rho"]
"""What dose 1 is: the vector as it is, or as much of it as is as long as what stands at the site on average."""
Where = Literal["own", "stream"]
"""At each site that has a vector; or with a single vector everywhere in the stream: before the first block and after each, and to project
also at what attention and MLP add, which the next part of the same block reads."""
WRITERS: tuple[Kind, ...] = ("attn_out", "mlp_out", "ssm_out")


@dataclass(frozen=True, eq=False)
class Steer:
    """Steer along a direction.

    Args:
        direction: the vectors, of this model.
        dose: how far: added, or held at. No dose can be given to a projection, which takes out all there is.
        act: see `Act`. With the reader of a `leace` direction, ``clamp`` at dose 0 is the LEACE eraser.
        unit: see `Unit`; the dose of a clamp is a place, in units of the vector.
        positions: at which tokens.
        where: see `Where`. To steer at some of its sites, give ``direction.at("12.resid_post")``.

    Raises:
        InterventionError: if the dose is not finite, or has no meaning for the act.
        SelectionError: if positions name no tokens, or the direction lacks what the unit or place needs.
    """

    direction: Direction
    dose: float = 1.0
    act: Act = "add"
    unit: Unit = "norm"
    positions: Positions = "all"
    where: Where = "own"

    if TYPE_CHECKING:

        def __init__(  # noqa: PLR0917 - those of the class
            self,
            direction: Direction,
            dose: float = ...,
            act: Act = ...,
            unit: Unit = ...,
            positions: Positions | list[int] = ...,
            where: Where = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.direction, Direction):
            raise SelectionError(
                f"{type(self.direction).__name__} is no direction. Give a broca.Direction: fit one (broca.fit_direction) or read one."
            )
        if isinstance(self.positions, list):
            object.__setattr__(self, "positions", tuple(self.positions))
        for name, known in (("act", Act), ("unit", Unit), ("where", Where)):
            if getattr(self, name) not in get_args(known):
                raise InterventionError(
                    f"{name} is {getattr(self, name)!r}. Choose one of {', '.join(get_args(known))}."
                )
        if not isfinite(self.dose):
            raise InterventionError(
                f"The dose is {self.dose}, and every activation would be no number. Give a finite one."
            )
        if self.act != "add" and self.unit != "norm":
            raise InterventionError(
                f"{self.act} goes by places along the vector, whatever its length. Leave the unit out."
            )
        if self.act == "project" and self.dose != 1:
            raise InterventionError(
                f"A projection takes out all there is, and the dose is {self.dose:g}. Leave it out, or clamp at that place."
            )
        self._check_positions()
        if self.where == "stream" and (
            self.direction.count > 1 or not self.direction.sites[0].kind.startswith("resid_")
        ):
            raise SelectionError(
                f"{self.direction!r} cannot be put everywhere in the stream: that takes one vector, of the residual stream. Choose a site "
                "with direction.at('12.resid_post')."
            )
        if lacking := [
            str(site) for site in self.direction.sites if self.unit == "rho" and not self.direction.rho.get(site)
        ]:
            raise SelectionError(
                f"{self.direction!r} does not say how long what stands at {', '.join(lacking[:4])} is, so a dose in units of that has no "
                "meaning. Give the dose in units of the vector (unit='norm'), or fit the direction on this model."
            )

    def _check_positions(self) -> None:
        named = isinstance(self.positions, str) and self.positions in ("all", "prompt", "generated", "last")
        numbers = isinstance(self.positions, tuple) and all(isinstance(at, int) for at in self.positions)
        if not named and not (numbers and self.positions):
            raise SelectionError(
                f"positions={self.positions!r} names no tokens. Give 'all', 'prompt', 'generated', 'last', or places in the prompt such as "
                "(0, -2)."
            )

    @property
    def fingerprint(self) -> str:
        how = [self.dose, self.act, self.unit, self.positions, self.where]
        return fingerprint(["steer", self.direction.fingerprint, *how])

    reads_prompt = False  # it goes by the pass under way

    @property
    def reads_ahead(self) -> bool:
        """Whether it acts on a beginning by what follows: at places counted from the end."""
        return self.positions == "last" or (isinstance(self.positions, tuple) and min(self.positions) < 0)

    @property
    def first_layer(self) -> int:
        """The lowest block that must be computed for it: those below are as they were."""
        if self.where == "stream":
            return 0
        return min(0 if site.kind in PICTURE_KINDS else first_block(site) for site in self.direction.sites)

    @property
    def count(self) -> int:
        """How many vectors steer."""
        return self.direction.count

    def at_dose(self, dose: float) -> Steer:
        """The same at another dose."""
        return replace(self, dose=dose)

    def for_model(self, lm: LM) -> Steer:
        """The same, once it is sure that the direction is this model's.

        Raises:
            SelectionError: if it was fitted on another model, or nobody says on which.
            SiteUnavailable: if the model has no such site.
        """
        self.direction.check_widths(lm)
        if self.direction.model != lm.fingerprint:
            whose = (
                f"fitted on a model with the fingerprint {self.direction.model}"
                if self.direction.model
                else "not said to be of any model"
            )
            raise SelectionError(
                f"{self.direction!r} is {whose}, this one's is {lm.fingerprint}. The same numbers in another model mean nothing: fit it on "
                "this one, or say that it is of this model: direction.bind(lm)."
            )
        return self

    @contextmanager
    def apply(self, lm: LM) -> Iterator[Mapping[Site, int]]:
        """Put it in force; the model is untouched afterwards.

        Raises:
            SelectionError: if the direction is of another model.
            SiteUnavailable: if the model has no such site.
        """
        own = self.for_model(lm)
        edits = {site: own._edit(vector_at) for site, vector_at in own._places(lm)}  # noqa: SLF001 - itself
        with edit_sites(lm.model, lm.anatomy, edits) as fired:
            yield fired

    def _places(self, lm: LM) -> list[tuple[Site, Site]]:
        """Every site that is steered, and the site whose vector steers it."""
        if self.where == "own":
            return [(site, site) for site in self.direction.sites]
        (own,) = self.direction.sites
        ends = [*lm.anatomy.sites("resid_pre")[:1], *lm.anatomy.sites("resid_post")]
        added = [Site(layer, kind) for layer in range(lm.anatomy.n_layers) for kind in WRITERS]
        within = [site for site in added if lm.anatomy.has(site)] if self.act == "project" else []
        return [(site, own) for site in sorted({*ends, *within})]

    def _edit(self, at: Site) -> Edit:
        change = self.change(at)

        def edit(values: Tensor) -> Tensor:
            # Some blocks hand their MLP the tokens of all rows one after the other.
            mask = chosen_tokens(self.positions, values.device).reshape(*values.shape[:-1], 1)
            return torch.where(mask, change(values), values)

        return edit

    def change(self, at: Site) -> Callable[[Tensor], Tensor]:
        """What becomes of activations ``(..., unit)`` at a site, whatever their place: in their own dtype."""
        vector = torch.from_numpy(self.direction.vectors[at].astype(np.float64))
        if self.act == "add":
            size = self.direction.norm[at]
            scaled = vector * (self.dose * (self.direction.rho[at] / size if self.unit == "rho" else 1.0))
            return lambda x: x + _on(scaled, x)
        reader = torch.from_numpy(self.direction.reader(at))
        centre, place = torch.zeros_like(vector), 0.0
        if self.act == "clamp":
            place = self.dose
            if at in self.direction.centres:
                centre = torch.from_numpy(self.direction.centres[at].astype(np.float64))

        def move(x: Tensor) -> Tensor:
            # A projection in half precision would leave a rest of its own rounding.
            wide = x.to(torch.float64 if x.dtype == torch.float64 else torch.float32)
            found = (wide - _on(centre, wide)) @ _on(reader, wide)
            return (wide + (place - found).unsqueeze(-1) * _on(vector, wide)).to(x.dtype)

        return move


def _on(vector: Tensor, x: Tensor) -> Tensor:
    return vector.to(x.device, x.dtype)


def chosen_tokens(positions: Positions, device: torch.device) -> Tensor:
    """Which of the tokens that pass now are steered, ``(row, token)``: padding never is."""
    if positions == "all":
        return current().at("prompt", device) | current().at("generated", device)
    return current().at(positions, device)
