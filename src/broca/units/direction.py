"""A direction: a vector at each of some sites, what it was fitted on, and the model in which alone it means anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from broca.errors import SelectionError
from broca.markup import facts
from broca.sites import Site
from broca.units import direction_files

if TYPE_CHECKING:
    import polars as pl

Vectors = Mapping[Site, NDArray[Any]]
"""A vector of shape (unit,) at each site; kept in float32."""


@dataclass(frozen=True, eq=False, repr=False)
class Direction:
    """A vector at each of some sites. Dose 1 along a fitted one is the distance between the means of its two sides.

    `broca.fit_direction` makes one from a contrast, `Direction.load` and `broca.read_direction` read one. It is put to use by
    `broca.Steer`.

    Raises:
        SelectionError: if there is no vector, one is 0 or not finite, or what stands beside one does not fit it.
    """

    vectors: Vectors
    readers: Vectors = field(default_factory=dict)
    """By which a place along the vector is read, where that is not the vector itself over its squared norm: ``reader @ vector`` is 1."""
    centres: Vectors = field(default_factory=dict)
    """Where place 0 is; the origin where nothing is said."""
    rho: Mapping[Site, float] = field(default_factory=dict)
    """Mean L2 norm of what stands at the site at a token, the first one of a text left out."""
    model: str = ""
    """Fingerprint of the model that it was fitted on (`LM.fingerprint`); nothing where nobody says."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from, in plain JSON: contrast, method, source."""

    def __post_init__(self) -> None:
        if not self.vectors:
            raise SelectionError("A direction without a vector points nowhere. Give a vector at one site at least.")
        for name in ("vectors", "readers", "centres"):
            given = {Site.of(at): np.array(v, np.float32) for at, v in getattr(self, name).items()}
            object.__setattr__(self, name, {site: _frozen(given[site]) for site in sorted(given)})
        object.__setattr__(self, "rho", {Site.of(site): float(value) for site, value in self.rho.items()})
        for site, vector in self.vectors.items():
            beside = [each[site] for each in (self.readers, self.centres) if site in each]
            good = vector.ndim == 1 and vector.size and np.isfinite(vector).all() and vector.any()
            if not good or any(each.shape != vector.shape or not np.isfinite(each).all() for each in beside):
                raise SelectionError(
                    f"The vector at {site} has shape {vector.shape} and is 0, not finite, or has a reader or centre of another shape. "
                    "Give finite numbers, one a unit, not all of them 0."
                )

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where it has a vector, in order."""
        return tuple(self.vectors)

    @property
    def count(self) -> int:
        """How many vectors it has."""
        return len(self.vectors)

    @property
    def norm(self) -> dict[Site, float]:
        """The L2 norm of each vector."""
        return {site: float(np.linalg.norm(vector.astype(np.float64))) for site, vector in self.vectors.items()}

    def reader(self, site: Site) -> NDArray[np.float64]:
        """By which a place along the vector at a site is read: ``reader @ vector`` is 1."""
        if site in self.readers:
            return self.readers[site].astype(np.float64)
        vector = self.vectors[site].astype(np.float64)
        return vector / (vector @ vector)

    @property
    def fingerprint(self) -> str:
        """Content hash: vectors, how they are read, and whose they are."""
        about = {"model": self.model, "rho": {str(site): value for site, value in sorted(self.rho.items())}}
        digest = hashlib.sha256(json.dumps(["direction", about], sort_keys=True).encode())
        for table in (self.vectors, self.readers, self.centres):
            for site, vector in table.items():
                digest.update(f"{site} {vector.size}".encode() + vector.tobytes())
        return digest.hexdigest()[:16]

    def frame(self) -> pl.DataFrame:
        """One row a vector: site, layer, its norm, the mean norm of what stands there, and its share of that."""
        import polars as pl

        rows = [
            {"site": str(site), "layer": site.layer, "norm": norm, "rho": self.rho.get(site),
             "share": norm / self.rho[site] if self.rho.get(site) else None}
            for site, norm in self.norm.items()
        ]  # fmt: skip
        return pl.DataFrame(
            rows, schema={"site": pl.String, "layer": pl.Int64} | dict.fromkeys(("norm", "rho", "share"), pl.Float64)
        )

    def __repr__(self) -> str:
        where = str(self.sites[0]) if self.count == 1 else f"{self.count} sites, {self.sites[0]} to {self.sites[-1]}"
        return f"Direction({self.about.get('name') or 'without a name'}: {where})"

    def _repr_html_(self) -> str:
        sizes = ", ".join(f"{site} {norm:.3g}" for site, norm in [*self.norm.items()][:6])
        whose = self.model or "nobody says whose"
        return facts(repr(self), {**{k: str(v) for k, v in self.about.items()}, "norms": sizes, "model": whose})

    # -- others like it --------------------------------------------------------------------------------------------

    def at(self, *sites: Site | str) -> Direction:
        """The same at some of its sites.

        Raises:
            SelectionError: if it has no vector at one of them.
        """
        wanted = [Site.of(site) for site in sites]
        if absent := [str(site) for site in wanted if site not in self.vectors]:
            raise SelectionError(
                f"{', '.join(absent)}: {self!r} has no vector there. Fit it there, or choose one of its sites."
            )
        return self._keep(wanted)

    def _keep(self, sites: Iterable[Site]) -> Direction:
        kept = set(sites)
        parts = {
            name: {s: v for s, v in getattr(self, name).items() if s in kept}
            for name in ("vectors", "readers", "centres", "rho")
        }
        return replace(self, **parts)

    def bind(self, lm: Any) -> Direction:
        """The same, taken to be of this model on your word: of a file that does not say whose it is, or of the same model in another dtype.

        Raises:
            SelectionError: if the model has no such site, or another width there.
        """
        self.check_widths(lm)
        return replace(self, model=lm.fingerprint, about={**self.about, "bound": lm.name})

    def check_widths(self, lm: Any) -> None:
        """Refuse a model in which it has no place.

        Raises:
            SelectionError: if the model has another width at a site.
            SiteUnavailable: if it has no such site.
        """
        for site, vector in self.vectors.items():
            if (width := lm.anatomy.width(site)) != vector.size:
                raise SelectionError(
                    f"{self!r} has {vector.size} numbers at {site}, this model has {width} units there. It was made for another model; "
                    "fit it on this one."
                )

    def random(self, seed: int, *, orthogonal: bool = False) -> Direction:
        """Random vectors of the same norms, isotropic, read by themselves: what a direction is compared with.

        Args:
            seed: of the draw.
            orthogonal: draw them from the orthogonal complement of the direction's own.

        Raises:
            SelectionError: if there is no complement: a single unit.
        """
        draw = np.random.default_rng(seed)
        drawn = {}
        for site, own in self.vectors.items():
            vector = draw.normal(size=own.size)
            if orthogonal:
                if own.size == 1:
                    raise SelectionError(
                        f"{site} has one unit, and nothing is orthogonal to it. Draw without orthogonal."
                    )
                wide = own.astype(np.float64)
                vector -= (vector @ wide) / (wide @ wide) * wide
            drawn[site] = _of_norm(vector, self.norm[site])
        about = {"name": f"random {seed}", "like": str(self.about.get("name", ""))}
        return replace(self, vectors=drawn, readers={}, about=about)

    # -- files -----------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write it as safetensors: vectors in float32, and what is known of them."""
        return direction_files.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Direction:
        """Read what `save` wrote.

        Raises:
            SelectionError: if the file is missing, damaged, or something else.
        """
        return direction_files.load(cls, Path(path))


def _of_norm(vector: NDArray[np.float64], norm: float) -> NDArray[np.float64]:
    return vector * (norm / np.linalg.norm(vector))


def _frozen(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array.flags.writeable = False
    return array
