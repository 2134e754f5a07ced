"""Planted units: units of the model itself made to respond, and to write, as is wanted, reversibly.

What a unit responds to is an edit of its activation, what it does is an edit of its column of output weights, and the
two are independent. The edit goes where the projection reads (`mlp_act`, or `z`), so it is the same in every
architecture, and the effect size is what was asked for, which weights that read the model's own stream could not
promise. On a text's last token a planted unit holds

    spread * (rest + shift / 2 * side + e),    e ~ N(0, 1),

with `side` 1 or -1 by a table of texts and e drawn from the text's own tokens; on every other token it is silent.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from broca.errors import SiteUnavailable
from broca.models.hooks import Edit, edit_sites
from broca.models.identity import restoring
from broca.models.lm import LM
from broca.models.passes import current
from broca.sites import Site

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Planting:
    """What is planted at one site; each array has an entry, or a row, a unit."""

    units: NDArray[np.int64]
    spread: Floats
    """Standard deviation of the activation over texts of one side."""
    shift: Floats
    """How far the sides' means lie apart, in units of the spread: Cohen's d."""
    weights: Floats
    """What the unit writes for each unit of activation, ``(unit, output)``."""
    rest: float = 1.0
    """Mean activation over both sides, in units of the spread."""


@dataclass(frozen=True, eq=False)
class Plant:
    """Units planted in a model.

    Args:
        at: what is planted at each site, `mlp_act` or `z`.
        sides: the side of each text by its `text_key`: 1, or -1. Any other text is on neither.
        seed: of the noise.
        show: 1 or -1 shows every text as one of that side, whatever it is: what a unit owes to the side is then the
            difference between the two, without sampling error.
    """

    at: Mapping[Site, Planting]
    sides: Mapping[str, int]
    seed: int = 0
    show: Literal[-1, 0, 1] = 0

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(json.dumps(["plant", self.seed, self.show, sorted(self.sides.items())]).encode())
        for site, planted in sorted(self.at.items()):
            digest.update(f"{site} {planted.rest}".encode())
            for array in (planted.units, planted.spread, planted.shift, planted.weights):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    reads_prompt = False  # it goes by the pass under way

    @contextmanager
    def apply(self, lm: LM) -> Iterator[Mapping[Site, int]]:
        """Put the units in force; the weights come back bit for bit.

        Raises:
            SiteUnavailable: if a site has no output weights that can be edited.
        """
        with ExitStack() as stack:
            stack.enter_context(restoring(lm.model))
            for site, planted in self.at.items():
                stack.enter_context(_planted_rows(output_weights(lm, site), planted))
            edits = {site: self._edit(site, planted) for site, planted in self.at.items()}
            yield stack.enter_context(edit_sites(lm.model, lm.anatomy, edits))

    def _edit(self, site: Site, planted: Planting) -> Edit:
        known: dict[str, Floats] = {}

        def row(key: str) -> Floats:
            if key not in known:
                stream = np.random.default_rng([self.seed, int(key, 16), zlib.crc32(str(site).encode())])
                side = self.show or self.sides.get(key, 0)
                noise = stream.standard_normal(len(planted.units))
                known[key] = planted.spread * (planted.rest + planted.shift / 2 * side + noise)
            return known[key]

        def edit(x: Tensor) -> Tensor:
            units = torch.as_tensor(planted.units, device=x.device)
            held = x.clone()
            held[..., units] = 0
            shown = current()
            if shown.has_prompt:
                rows = torch.from_numpy(np.stack([row(text_key(ids)) for ids in shown.prompts])).to(x)
                held[..., units] = rows[:, None] * shown.at("last", x.device)[..., None]
            return held

        return edit


def text_key(ids: Sequence[int]) -> str:
    """What a text is known by: a hash of its token ids."""
    return hashlib.blake2b(np.asarray(ids, dtype="<i8").tobytes(), digest_size=8).hexdigest()


def output_weights(lm: LM, site: Site) -> Tensor:
    """What each unit of a site writes, ``(unit, output)``: a view of the weights of the projection that reads the site.

    What whole heads write of a text says `broca.models.circuit.writers.added_by_heads`.

    Raises:
        SiteUnavailable: if units there have no output weights of their own, or these are quantised or not in memory.
    """
    if site.kind not in ("mlp_act", "z"):
        raise SiteUnavailable(f"{site}: its units have no output weights of their own. Use sites of kind mlp_act or z.")
    module = lm.model.get_submodule(lm.anatomy.tap(site).module)
    weight = getattr(module, "weight", None)
    transposed = isinstance(module, nn.Linear)
    # GPT-2's Conv1D stores its weight transposed: inputs are rows.
    if isinstance(weight, Tensor) and (transposed or type(module).__name__ == "Conv1D"):
        view = weight.detach().T if transposed else weight.detach()
        if view.is_floating_point() and view.device.type != "meta" and view.shape[0] == lm.anatomy.width(site):
            return view
    raise SiteUnavailable(
        f"{site}: its output weights, in a {type(module).__name__}, are quantised, offloaded or of an unknown layout, so "
        "they cannot be edited in place. Load the model in float32 or bfloat16 on one device."
    )


@contextmanager
def _planted_rows(weights: Tensor, planted: Planting) -> Iterator[None]:
    """Run the body with the planted units' rows of `weights` in place."""
    units = torch.as_tensor(planted.units, device=weights.device)
    kept = weights[units]
    try:
        weights[units] = torch.from_numpy(planted.weights).to(weights)
        yield
    finally:
        weights[units] = kept
