"""A direction from a file of any kind that is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from broca.compat.directions import gguf, svec, torch_vectors
from broca.errors import SelectionError
from broca.sites import Site
from broca.units.direction import Direction

if TYPE_CHECKING:
    from broca.models.lm import LM


def read_direction(
    path: str | Path,
    lm: LM | None = None,
    *,
    site: str | Site | None = None,
    generator: Literal["refuse", "shift"] = "refuse",
) -> Direction:
    """Read a direction from a file of broca (.safetensors) or of another program (.gguf, .pt, .svec).

    Known are control vectors of repeng and llama.cpp, vectors of CAA, refusal directions, and those of activation-steering. Vectors of other programs are of one length (repeng's: 1) and read by themselves; how long what stands at their site is they do
    not say, so their doses are in units of the vector.

    Args:
        path: of the file.
        lm: the model that a file of another program is taken to be of, as none says whose it is.
        site: where it was read, for a ``.pt`` whose name does not say.
        generator: what to do with a file of llama.cpp's own generator, whose vectors are numbered one block too high.

    Raises:
        SelectionError: if the file is missing, damaged, of another kind, or does not fit the model.
        SiteUnavailable: if the model has no such site.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        raise SelectionError(f"There is no direction at {place}. Check the path.")
    match place.suffix:
        case ".safetensors":
            return Direction.load(place)
        case ".gguf":
            found = gguf.direction_of(gguf.read_control_vector(place), place, generator=generator)
        case ".pt":
            found = torch_vectors.read_torch_vector(place, Site.parse(site) if isinstance(site, str) else site)
        case ".svec":
            found = svec.read_svec(place)
        case other:
            raise SelectionError(
                f"{place.name} ends in {other!r}. Directions are read from .safetensors, .gguf, .pt and .svec."
            )
    return found if lm is None else _bound(found, lm, place)


def _bound(found: Direction, lm: LM, path: Path) -> Direction:
    hint, own = found.about.get("model_type"), getattr(lm.model.config, "model_type", "")
    if hint and hint != own:
        raise SelectionError(
            f"{path} is of a model of the kind {str(hint)[:60]!r}, this one is {own!r}. Fit a direction on this one."
        )
    return found.bind(lm)
