"""Where things happen: a *site* is a named place in the forward pass.

Kinds carry TransformerLens's names (Nanda & Bloom, 2022). A *unit* is one coordinate at a site; a *head* is a
slice of `z`, a *feature* a unit of a dictionary (see `broca.units.dictionary`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from broca.errors import SiteUnavailable

Kind = Literal[
    "resid_pre",
    "resid_post",
    "attn_out",
    "mlp_out",
    "z",
    "mlp_act",
    "ssm_out",
    "ssm",
    "experts",
    "mlp_in",
    "feature",
    "vision",
    "connector",
    "pattern",
]
"""Residual stream before and after a block; what attention and MLP add to it; head outputs before the output
projection; MLP hidden activations; what a recurrent or convolutional mixer adds, and its channels before the output
projection; the router's weight of each expert; what an MLP is given, normed; the features of a dictionary that is held with the
model; the stream of the vision tower after its LAYER-th block; what the connector
hands to the language stack (layer 0); attention weights."""

KINDS: tuple[Kind, ...] = get_args(Kind)

PICTURE_KINDS: tuple[Kind, ...] = ("vision", "connector")
"""Sites whose tensors have patches of pictures where others have the tokens of a text."""

_PATTERN = re.compile(r"(?P<layers>\*|\d{1,9}(?:-\d{1,9})?(?:,\d{1,9}(?:-\d{1,9})?)*)\.(?P<kind>\w+)")


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """One place in one layer, written ``12.resid_post``."""

    layer: int
    kind: Kind

    def __str__(self) -> str:
        return f"{self.layer}.{self.kind}"

    @classmethod
    def parse(cls, text: str) -> Site:
        """Read ``12.resid_post``.

        Raises:
            SiteUnavailable: if `text` is not of the form LAYER.KIND.
        """
        layer, _, kind = text.partition(".")
        if not layer.isdecimal() or len(layer) > 9 or kind not in KINDS:
            raise SiteUnavailable(f"{text!r} is not a site. Write LAYER.KIND, with KIND one of {', '.join(KINDS)}.")
        return cls(int(layer), kind)

    @classmethod
    def of(cls, given: Site | str) -> Site:
        """A site as it is, or as it is written.

        Raises:
            SiteUnavailable: as `parse`.
        """
        return given if isinstance(given, Site) else cls.parse(given)


def sites(pattern: str, n_layers: int) -> tuple[Site, ...]:
    """Every site that `pattern` names, in layer order: ``*.resid_post``, ``8-15.z``, ``3,5.mlp_act``.

    Raises:
        SiteUnavailable: if the pattern is malformed, names an unknown kind, or a layer that the model does not have.
    """
    ranges, kind = _parse(pattern)
    found = ranges or [(0, n_layers - 1)]
    if max(high for _, high in found) >= n_layers or all(low > high for low, high in found):
        raise SiteUnavailable(f"{pattern!r}: this model has layers 0 to {n_layers - 1}.")
    layers = {layer for low, high in found for layer in range(low, high + 1)}
    return tuple(Site(layer, kind) for layer in sorted(layers))


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that names no sites of any model.

    Raises:
        SiteUnavailable: if it is malformed, or names an unknown kind.
    """
    _parse(pattern)


def _parse(pattern: str) -> tuple[list[tuple[int, int]], Kind]:
    """Ranges of layers, none for all, and the kind."""
    match = _PATTERN.fullmatch(pattern.strip())
    if match is None or match["kind"] not in KINDS:
        raise SiteUnavailable(
            f"{pattern!r} names no sites. Write LAYERS.KIND, for instance '*.resid_post', '8-15.z' or '3,5.mlp_act'; "
            f"KIND is one of {', '.join(KINDS)}."
        )
    if match["layers"] == "*":
        return [], match["kind"]  # type: ignore[return-value]
    parts = (part.partition("-") for part in match["layers"].split(","))
    return [(int(low), int(high or low)) for low, _, high in parts], match["kind"]  # type: ignore[return-value]
