"""A decoder's wiring, in names shared by every architecture; `broca.models.wiring.dissection` finds and proves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from broca.errors import SelectionError, SiteUnavailable
from broca.models.wiring.stream import Step
from broca.models.wiring.vision import Vision
from broca.sites import KINDS, PICTURE_KINDS, Kind, Site
from broca.units.dictionary import Dictionary

_STREAM = ("resid_pre", "resid_post")


@dataclass(frozen=True, slots=True)
class Tap:
    """Which side of which module carries a site's tensor."""

    module: str
    side: Literal["input", "output", "routing"]
    """`routing`: the weights that a module of experts is given."""
    block: str = ""
    """The block around it."""
    width: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """One layer's wiring: module paths relative to the block; None where the layer has no such single tensor."""

    attn_out: str | None
    mlp_out: str | None
    z: str | None
    mlp_act: str | None
    scale: float = 1.0
    """By which what is written is multiplied; NaN where that differs between writers."""
    error: float = float("nan")
    """Relative error of the residual identity on plain texts, each place in steps of its own rounding."""
    widths: Mapping[str, int] | None = None
    """Units at `z`, `mlp_act` and `ssm`."""
    ssm_out: str | None = None
    ssm: str | None = None
    experts: str | None = None
    """The module that is given the tokens, the experts chosen for each, and their weights."""
    steps: tuple[Step, ...] = ()
    """The proved way of the stream through the block."""
    others: tuple[str, ...] = ()
    """Modules that write to the stream and have no site."""
    heads: int | None = None
    """Attention heads, where the block itself says so."""
    on_text: bool = True
    """Whether the block runs on text alone."""
    constant: bool = False
    """Whether the identity holds up to a vector that is the same for every token."""
    streams: int = 1
    """Residual streams side by side, mixed anew for each token; where there are several, the stream has no site."""
    channels: bool = False
    """Whether every channel has scales of its own; those given are their means."""

    @property
    def identity(self) -> str:
        """The proved identity in words."""
        return in_words(self)


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A decoder's wiring, in names shared by every architecture."""

    path: str
    """Module path of the list of blocks."""
    blocks: tuple[Block, ...]
    n_heads: int
    n_kv_heads: int
    d_model: int
    positions: bool = True
    """Whether position ids are counted from 0, as the model itself would count them."""
    vision: Vision | None = None
    """The vision tower and the connector, in a vision-language model."""
    dictionaries: tuple[Dictionary, ...] = ()
    """One a layer at most: their features are units of the sites ``LAYER.feature``."""

    @property
    def n_layers(self) -> int:
        return len(self.blocks)

    @property
    def error(self) -> float:
        """The worst relative error of the residual identity over the blocks."""
        return max(block.error for block in self.blocks)

    def tap(self, site: Site) -> Tap:
        """The module and side that carry `site`.

        Raises:
            SiteUnavailable: if this model has no single tensor there.
        """
        if site.kind in PICTURE_KINDS:
            return self._before_language(site)
        if not 0 <= site.layer < self.n_layers:
            raise SiteUnavailable(f"{site}: this model has layers 0 to {self.n_layers - 1}.")
        path = f"{self.path}.{site.layer}"
        if site.kind in _STREAM and self.blocks[site.layer].streams > 1:
            raise SiteUnavailable(
                f"{site}: this model carries {self.blocks[site.layer].streams} residual streams side by side, not one. It has "
                f"{self._here(site.layer)}."
            )
        if site.kind == "resid_pre":
            return Tap(path, "input")
        if site.kind == "resid_post":
            return Tap(path, "output")
        if site.kind == "feature":
            return self.tap(self.dictionary(site.layer).writes_to)
        part = self._part(site)
        if part is None:
            raise SiteUnavailable(
                f"{site}: layer {site.layer} of this model has no single tensor at {site.kind!r}. It has "
                f"{self._here(site.layer)}."
            )
        if site.kind == "experts":
            return Tap(f"{path}.{part}", "routing", path, (self.blocks[site.layer].widths or {})["experts"])
        return Tap(f"{path}.{part}", "output" if site.kind.endswith("_out") else "input")

    def _part(self, site: Site) -> str | None:
        """The module that carries a site, relative to its block."""
        block = self.blocks[site.layer]
        if site.kind == "mlp_in":
            # What holds the module that reads the hidden activations, unless that one writes to the stream by itself: BERT's is in
            # a module of another purpose.
            return (block.mlp_act or "").rpartition(".")[0] or None if block.mlp_act != block.mlp_out else None
        return None if site.kind == "pattern" else getattr(block, site.kind)

    def dictionary(self, layer: int) -> Dictionary:
        """The dictionary whose features are the units of ``LAYER.feature``.

        Raises:
            SiteUnavailable: if none is held with the model.
        """
        for dictionary in self.dictionaries:
            if dictionary.layer == layer:
                return dictionary
        held = ", ".join(f"{each.layer}.feature" for each in self.dictionaries)
        raise SiteUnavailable(
            f"{layer}.feature: no dictionary of this layer is held with the model"
            f"{f', which has {held}' if held else ''}. Give one: --features FILE, or lm.with_features(broca.read_dictionary(FILE))."
        )

    def with_dictionaries(self, dictionaries: Sequence[Dictionary]) -> Anatomy:
        """The same wiring with these dictionaries instead of those that it has.

        Raises:
            SiteUnavailable: if the model has not the site of one.
            SelectionError: if one was made for another width, or two are of the same layer.
        """
        for dictionary in dictionaries:
            sides = (
                (dictionary.source, dictionary.encoder.shape[0]),
                (dictionary.writes_to, dictionary.decoder.shape[1]),
            )
            for site, width in sides:
                if site.kind in ("feature", "pattern", "experts", *PICTURE_KINDS):
                    raise SelectionError(f"{dictionary!r} is of {site}, where no dictionary can be. Give its site.")
                if (own := self.width(site)) != width:
                    raise SelectionError(
                        f"{dictionary!r} is for {width} units at {site}, this model has {own} there. It was made for another model or site."
                    )
        layers = [each.layer for each in dictionaries]
        if twice := sorted({layer for layer in layers if layers.count(layer) > 1}):
            raise SelectionError(
                f"Two dictionaries write to layer {twice[0]}. Give one a layer, and compare them in turn."
            )
        return replace(self, dictionaries=tuple(sorted(dictionaries, key=lambda each: each.layer)))

    def _before_language(self, site: Site) -> Tap:
        """A place in the vision tower, or the connector."""
        if not self.has(site):
            there = "no such part" if self.vision is None else f"{self.vision.n_blocks} vision blocks"
            raise SiteUnavailable(f"{site}: this model has {there}. Write 0.connector, or LAYER.vision.")
        assert self.vision is not None
        path = self.vision.connector if site.kind == "connector" else f"{self.vision.path}.{site.layer}"
        return Tap(path or "", "output")

    def has(self, site: Site) -> bool:
        """Whether `site` can be read and edited."""
        if site.kind in PICTURE_KINDS:
            own = self.vision
            if own is None or site.layer < 0:
                return False
            return site.layer < own.n_blocks if site.kind == "vision" else own.connector is not None and site.layer == 0
        if not 0 <= site.layer < self.n_layers or site.kind == "pattern":
            return False
        if site.kind == "feature":
            return any(each.layer == site.layer for each in self.dictionaries)
        return self.blocks[site.layer].streams == 1 if site.kind in _STREAM else self._part(site) is not None

    def _here(self, layer: int) -> str:
        return ", ".join(kind for kind in KINDS if kind not in PICTURE_KINDS and self.has(Site(layer, kind)))

    def width(self, site: Site) -> int:
        """How many units `site` has."""
        if site.kind in PICTURE_KINDS:
            self.tap(site)
            return self.vision.width if self.vision and site.kind == "vision" else self.d_model
        self.tap(site)
        if site.kind == "feature":
            return self.dictionary(site.layer).n_features
        widths = self.blocks[site.layer].widths or {}
        return widths.get(site.kind, self.d_model)

    def sites(self, kind: Kind, *, images: bool = False) -> tuple[Site, ...]:
        """Every site of `kind` that this model has; those of blocks that text alone skips only with `images`.

        Raises:
            SiteUnavailable: if no layer has one.
        """
        layers: Iterable[int] = (i for i, block in enumerate(self.blocks) if images or block.on_text)
        if kind in PICTURE_KINDS:
            layers = range(self.vision.n_blocks if self.vision else 1)
        found = tuple(site for site in (Site(layer, kind) for layer in layers) if self.has(site))
        if not found:
            self.tap(Site(0, kind))
        return found

    def head_width(self, site: Site) -> int:
        """Units of one head at a `z` site.

        Raises:
            SiteUnavailable: if the site is not `z`, or its width is no multiple of the number of heads.
        """
        width, own = self.width(site), self.blocks[site.layer].heads
        if site.kind != "z" or not self.n_heads or width % self.n_heads:
            raise SiteUnavailable(f"{site}: {width} units are not {self.n_heads} heads. Heads are slices of 'z' sites.")
        if own not in (None, self.n_heads):
            raise SiteUnavailable(
                f"{site}: this layer has {own} heads, the model's config says {self.n_heads}. Use single units there."
            )
        return width // self.n_heads

    def members(self, site: Site, grain: str) -> int:
        """How many units of `site` one choice of a grain is: 1, a head's, or those of the heads that share a key-value head.

        Raises:
            SiteUnavailable: if the grain has no meaning there.
        """
        if grain == "unit":
            return 1
        head = self.head_width(site)
        if grain == "head":
            return head
        if not self.n_kv_heads or self.n_heads % self.n_kv_heads:
            raise SiteUnavailable(f"{site}: {self.n_heads} heads share {self.n_kv_heads} key-value heads unevenly.")
        return head * (self.n_heads // self.n_kv_heads)

    def choices(self, site: Site, grain: str) -> int:
        """How many units, heads or groups of heads `site` has."""
        return self.width(site) // self.members(site, grain)


def in_words(block: Block) -> str:
    """The proved identity of a block, such as ``post = pre + 0.22 (self_attn + mlp)``."""
    if block.streams > 1:
        wrote = " + ".join(name for step in block.steps for name, _ in step.writers)
        return f"post = {block.streams} streams mixed for each token, with {wrote}"
    text = "pre"
    for step in block.steps:
        scales = {round(scale, 4) for _, scale in step.writers}
        if len(scales) == 1 and len(step.writers) > 1:
            (scale,) = scales
            inner = " + ".join(name for name, _ in step.writers)
            more = f" + {inner}" if scale == 1 else f" + {scale:g} ({inner})"
        else:
            more = "".join(f" + {'' if round(s, 4) == 1 else f'{s:.4g} '}{name}" for name, s in step.writers)
        carry = "" if round(step.carry, 4) == 1 else f"{step.carry:.4g} "
        text = f"{carry}{f'({text})' if carry and ' ' in text else text}{more}"
        if step.norm:
            text = f"{step.norm}({text})"
    return f"post = {text}{' + constant' if block.constant else ''}{', channel by channel' if block.channels else ''}"
