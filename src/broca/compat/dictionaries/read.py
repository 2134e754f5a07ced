"""A dictionary from a file or folder of any kind that is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from broca.compat.dictionaries import gemma_scope, saelens, sparsify
from broca.errors import SelectionError
from broca.organisms import features_path
from broca.sites import Site
from broca.units.dictionary import Dictionary


def read_dictionary(path: str | Path, *, site: str | Site | None = None, scale: float | None = None) -> Dictionary:
    """Read a dictionary of broca (.safetensors), SAELens or sparsify (a folder), or Gemma Scope (.npz).

    Args:
        path: of the file or folder; or the name of a shipped organism that comes with one: ``routed``.
        site: where it is, such as "12.resid_post", where its files do not say. A path may say it too: ``12.resid_post=params.npz``.
        scale: by which activations were multiplied before training, where a file of SAELens says that they were (see
            `broca.compat.dictionaries.saelens`).

    Raises:
        SelectionError: if there is nothing there, it is damaged, or of a kind that is not known.
        SiteUnavailable: if the site is none.
    """
    text = str(path)
    before, equals, rest = text.partition("=")
    if equals and not Path(text).exists():
        if site is not None:
            raise SelectionError(f"{text} names a site, and another is given: {site}. Leave one out.")
        site, text = before, rest
    where = Site.parse(site) if isinstance(site, str) else site
    place = Path(text).expanduser()
    if not place.exists() and (shipped := features_path(text)) is not None:
        place = shipped
    found = _read(place, where, scale)
    return replace(found, about={**found.about, "given": str(path)})


def _read(place: Path, where: Site | None, scale: float | None) -> Dictionary:
    config, own = place / saelens.CONFIG, place.suffix == ".safetensors"
    if place.is_dir() and (place / sparsify.WEIGHTS).exists():
        _refuse_scale(scale, place)
        return sparsify.read_sparsify(place, where)
    if place.is_dir() and config.exists():
        return saelens.read_saelens(place, where, scale)
    if not place.is_file() or not (own or place.suffix == ".npz"):
        raise SelectionError(
            f"{place} is no dictionary: give a file of broca (.safetensors), a folder of SAELens ({saelens.CONFIG}, {saelens.WEIGHTS}) or "
            f"sparsify ({sparsify.CONFIG}, {sparsify.WEIGHTS}), or Gemma Scope's .npz."
        )
    _refuse_scale(scale, place)
    if not own:
        return gemma_scope.read_gemma_scope(place, where)
    if where is not None:
        raise SelectionError(f"{place} says where it is, and a site is given too. Leave the site out.")
    return Dictionary.load(place)


def _refuse_scale(scale: float | None, place: Path) -> None:
    if scale is not None:
        raise SelectionError(f"A scale is given, and {place} is no dictionary of SAELens. Leave it out.")
