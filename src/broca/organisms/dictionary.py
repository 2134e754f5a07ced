"""The training of a small dictionary: a top-k sparse autoencoder (Gao et al., 2024) on activations that are held in memory.

Decoder rows have norm 1, so that a feature's activation is the length of what it writes. Features that have not fired for a while
learn from what the others left unexplained. Activations are brought to a mean norm of √d for the training, and the scale is folded
back into the biases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.cache.cache import Progress, silent
from broca.sites import Site
from broca.units.dictionary import Dictionary

BATCH, RATE = 1024, 2e-3
DEAD = 50
"""Steps after which a feature that has not fired counts as dead."""
HELP = 1 / 32
"""The weight of what dead features make of the rest."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a dictionary came out, on activations that it was not trained on."""

    fvu: float
    """Fraction of variance unexplained."""
    dead: int
    """Features that never fired."""
    rows: int


def train_dictionary(
    rows: NDArray[np.float32],
    site: Site,
    *,
    features: int,
    k: int,
    steps: int,
    seed: int = 0,
    model: str = "",
    progress: Progress = silent,
) -> tuple[Dictionary, Fit]:
    """Train a dictionary, and try it on a tenth of the rows that is held out. Its numbers are such that half precision holds them.

    Args:
        rows: ``(token, unit)``: activations at the site.
        site: where they stood.
        features: how many it is to have.
        k: how many fire at a token.
        steps: optimiser steps, of `BATCH` rows each.
        seed: of the initial weights and of the order of rows.
        model: fingerprint of the model.
        progress: told what is done, how much of it, and how much there is.
    """
    held = len(rows) // 10
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(rows), generator=generator)
    data = torch.from_numpy(rows)[order]
    scale = data.shape[1] ** 0.5 / float(data.norm(dim=1).mean())
    learner = _Learner(data[held:] * scale, features, k, generator)
    for step, batch in enumerate(_batches(data[held:] * scale, steps, generator), 1):
        learner.step(batch, RATE * min(1.0, 2 * (1 - step / (steps + 1))))
        progress("training a dictionary", step, steps)
    made = learner.dictionary(site, scale, model)
    return made, _try_on(made, data[:held])


def _batches(data: Tensor, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(steps):
        yield data[torch.randint(len(data), (BATCH,), generator=generator)]


class _Learner:
    """The weights, and a step of learning."""

    def __init__(self, data: Tensor, features: int, k: int, generator: torch.Generator) -> None:
        decoder = torch.randn(features, data.shape[1], generator=generator)
        decoder /= decoder.norm(dim=1, keepdim=True)
        self.k, self.idle = k, torch.zeros(features, dtype=torch.long)
        self.weights = {
            "encoder": decoder.T.clone(),
            "bias": torch.zeros(features),
            "decoder": decoder,
            "decoder_bias": data.mean(0),
        }
        for weight in self.weights.values():
            weight.requires_grad_()
        self.adam = torch.optim.Adam(self.weights.values(), lr=RATE)

    def step(self, x: Tensor, rate: float) -> None:
        w = self.weights
        p = (x - w["decoder_bias"]) @ w["encoder"] + w["bias"]
        kept = p.topk(self.k, dim=1)
        f = torch.zeros_like(p).scatter(1, kept.indices, kept.values.relu())
        rest = x - (f @ w["decoder"] + w["decoder_bias"])
        loss = rest.square().mean()
        self.idle = torch.where((f > 0).any(0), 0, self.idle + 1)
        dead = (self.idle > DEAD).nonzero().squeeze(1)
        if len(dead):
            best = p[:, dead].topk(min(2 * self.k, len(dead)), dim=1)
            extra = torch.zeros(len(x), len(dead)).scatter(1, best.indices, best.values.relu())
            loss = loss + HELP * (rest.detach() - extra @ w["decoder"][dead]).square().mean()
        self.adam.zero_grad()
        loss.backward()
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        with torch.no_grad():
            w["decoder"] /= w["decoder"].norm(dim=1, keepdim=True)

    @torch.no_grad()
    def dictionary(self, site: Site, scale: float, model: str) -> Dictionary:
        w = {name: weight / (scale if name.endswith("bias") else 1) for name, weight in self.weights.items()}
        arrays = {name: weight.half().float().numpy() for name, weight in w.items()}
        return Dictionary("topk", **arrays, source=site, k=self.k, model=model)


@torch.no_grad()
def _try_on(made: Dictionary, data: Tensor) -> Fit:
    from broca.models.coding import coder

    own = coder(made, data)
    code = own.encode(data)
    left = float((data - own.decode(code)).square().sum() / (data - data.mean(0)).square().sum())
    return Fit(left, int((code.features == 0).all(0).sum()), len(data))
