"""What a result with features says of the dictionaries that they are of: how much of the model they explain, and what fires the selected.

The share of loss recovered is ``(zero - rebuilt) / (zero - intact)``: mean losses per token with the site put to 0, with what the
dictionary makes of it in its place, and as it is. A feature is like another where it fires as often and writes as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.cache.cache import Cache, Progress
from broca.evidence.maps import cell
from broca.evidence.tables import ACTIVATIONS
from broca.evidence.verdict import Guard
from broca.interventions.reconstruct import Reconstruct
from broca.models.coding import Code
from broca.models.hooks import read_codes
from broca.models.lm import LM
from broca.models.pool import Pool
from broca.models.surprise import surprise
from broca.models.tokens import Batch, Tokens
from broca.models.unexplained_variance import explained_variance, text_tokens
from broca.sites import Site
from broca.specs.cost import Phase
from broca.units import UnitMask

Floats = NDArray[np.float64]

TEXTS = 64
"""Texts, spread over all, whose loss is taken under the dictionary."""
SHOWN, STIMULI, BEFORE, BEHIND = 12, 5, 32, 8
"""Selected features of which stimuli are shown, stimuli of each, and tokens around the strongest."""
RATES = 5
"""Bins of firing rate, in each of which features are ordered by how much they write."""
GOOD = 0.5
"""Of the variance may be unexplained."""


def feature_sites(sites: Sequence[Site]) -> list[Site]:
    """Those whose units are features."""
    return [site for site in sites if site.kind == "feature"]


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """What dictionaries make of some texts, by site."""

    figures: Mapping[Site, Mapping[str, float]]
    rate: Mapping[Site, Floats]
    """(feature,): share of tokens at which each fires."""
    written: Mapping[Site, Floats]
    """(feature,): root mean square of the length of what each writes, over tokens."""

    @property
    def likeness(self) -> dict[Site, Floats]:
        """(feature,): by which matched draws tell which features are alike: their bin of firing rate, then what they write."""
        return {site: likeness(self.rate[site], self.written[site]) for site in self.rate}

    @property
    def fires(self) -> dict[Site, NDArray[np.bool_]]:
        """(feature,): whether it fires at all."""
        return {site: rate > 0 for site, rate in self.rate.items()}


def likeness(rate: Floats, written: Floats) -> Floats:
    """The bin of a feature's firing rate, and within it the rank of what it writes as a fraction: ``(feature,)``."""
    alive = rate > 0
    limits = np.quantile(rate[alive], np.arange(1, RATES) / RATES) if alive.any() else np.zeros(RATES - 1)
    rank = np.argsort(np.argsort(written, kind="stable"), kind="stable")
    return np.searchsorted(limits, rate, side="right") + rank / max(len(rank), 1)


def measure(
    lm: LM, tokens: Sequence[Tokens], sites: Sequence[Site], *, cache: Cache, progress: Progress
) -> FeatureStatistics:
    """What the dictionaries of some sites make of texts: one pass over all, and three over `TEXTS` of them.

    Args:
        lm: the model.
        tokens: the texts.
        sites: those of features among them count, no others.
        cache: of expensive steps.
        progress: told what is done.
    """
    figures, rate, written = {}, {}, {}
    for site in feature_sites(sites):
        dictionary = lm.anatomy.dictionary(site.layer)

        def compute(site: Site = site) -> dict[str, NDArray[Any]]:
            progress("measuring features", 0, 1)
            found = explained_variance(lm, tokens, site.layer)
            return {
                "figures": np.array([found.n, found.fvu, found.l0, *_losses(lm, tokens, site)]),
                "rate": found.rate,
                "energy": found.energy / max(found.n, 1),
            }

        key = cell("dictionary", lm, tokens, [site], Pool("mean")) | {"dictionary": dictionary.fingerprint}
        got = cache(key, compute)
        assert isinstance(got, dict)
        names = ("n", "fvu", "l0", "intact", "rebuilt", "zero")
        figures[site] = dict(zip(names, map(float, got["figures"]), strict=True))
        rate[site] = np.asarray(got["rate"], np.float64)
        written[site] = np.sqrt(np.asarray(got["energy"], np.float64)) * dictionary.decoder_norm
    return FeatureStatistics(figures, rate, written)


def feature_phases(tokens: Sequence[Tokens], sites: Sequence[Site]) -> list[Phase]:
    """What `measure` and `strongest` read of texts, at most: all of them twice, and some three times for the loss under the dictionary."""
    here = len(feature_sites(sites))
    most = sorted(map(len, tokens), reverse=True)
    return [Phase("measuring features", here * (2 * sum(most) + 3 * sum(most[:TEXTS])))] if here else []


def _losses(lm: LM, tokens: Sequence[Tokens], site: Site) -> tuple[float, float, float]:
    """Nats a token, as it is, with the dictionary in place of what stands at its target, and with nothing there."""
    able = [each for each in tokens if 2 <= len(each) <= (lm.context or len(each)) and each.view is None]
    if not able:
        return float("nan"), float("nan"), float("nan")
    some = [able[i] for i in np.unique(np.linspace(0, len(able) - 1, min(TEXTS, len(able))).astype(int))]
    count = sum(len(each) - 1 for each in some)
    found = []
    for force in ((), (Reconstruct(site.layer),), (Reconstruct(site.layer, zero=True),)):
        with lm.under(*force):
            found.append(float(surprise(lm, some).sum() / count))
    return found[0], found[1], found[2]


def table(lm: LM, measured: FeatureStatistics) -> pl.DataFrame | None:
    """One row a dictionary; None where there is none."""
    rows = []
    for site, own in measured.figures.items():
        dictionary = lm.anatomy.dictionary(site.layer)
        lost = own["zero"] - own["intact"]
        rows.append(
            {
                "site": str(site),
                "dictionary": dictionary.name,
                "architecture": dictionary.architecture,
                "reads": str(dictionary.source),
                "writes": str(dictionary.writes_to),
                "n_features": dictionary.n_features,
                "dead": float((measured.rate[site] == 0).mean()),
                "tokens": int(own["n"]),
                "fvu": own["fvu"],
                "l0": own["l0"],
                "intact": own["intact"],
                "rebuilt": own["rebuilt"],
                "zero": own["zero"],
                "recovered": (own["zero"] - own["rebuilt"]) / lost if lost > 0 else None,
            }
        )
    return pl.DataFrame(rows) if rows else None


def guards(measured: FeatureStatistics) -> tuple[Guard, ...]:
    """Marks a dictionary that leaves much of these texts unexplained: what its features do not carry, no lesion of them takes away."""
    found = []
    for site, own in measured.figures.items():
        text = f"The dictionary of {site} leaves {own['fvu']:.3g} of the variance on these texts unexplained (FVU; the error stays in the stream)."
        good = own["fvu"] < GOOD
        found.append(Guard("reconstruction", "passed" if good else "marked", text if good else f"{text} {_POOR}"))
    return tuple(found)


_POOR = "Dictionaries of their own site and texts leave less than .5: part of what the model does here is in no feature, and a null says little."


@dataclass(slots=True, eq=False)
class _Strongest:
    """Of a feature the texts in which it fires most."""

    name: str
    index: int
    texts: list[tuple[float, int, Floats]] = field(default_factory=list)
    """The largest activation, the place of the text, and the activation at every token."""

    def show(self, place: int, values: Floats) -> None:
        """Take a text in, if it is one of the strongest."""
        top = float(np.abs(values).max())
        if top:
            self.texts = sorted([*self.texts, (top, place, values)], key=lambda each: (-each[0], each[1]))[:STIMULI]


def strongest(
    lm: LM,
    tokens: Sequence[Tokens],
    labels: Sequence[str],
    mask: UnitMask,
    *,
    order: Mapping[Site, Floats] | None = None,
    cache: Cache,
) -> pl.DataFrame | None:
    """The texts that fire each selected feature most, one row a token around the strongest; None where no feature is selected.

    Args:
        lm: the model.
        tokens: the texts.
        labels: what each is called: its side, or its ability.
        mask: the selection; of its features the first `SHOWN` count.
        order: by which they are put in order, the largest in size first; as they are numbered when None.
        cache: of expensive steps.
    """
    chosen = [(site, int(i)) for site in feature_sites(mask.sites) for i in np.flatnonzero(mask.at[site])]
    if not chosen or mask.grain != "unit":
        return None
    if order is not None:
        chosen.sort(key=lambda each: -abs(float(order[each[0]][each[1]])) if each[0] in order else 0.0)
    some = chosen[:SHOWN]

    def compute() -> pl.DataFrame:
        found = [_Strongest(f"{site}:{i}", i) for site, i in some]
        for layer in dict.fromkeys(site.layer for site, _ in some):
            here = [each for each, (site, _) in zip(found, some, strict=True) if site.layer == layer]
            _look(lm, tokens, layer, here)
        rows = [row for each in found for row in _rows(lm, tokens, labels, each)]
        return pl.DataFrame(rows, schema={name: column.dtype for name, column in ACTIVATIONS.columns.items()})

    key = cell("strongest", lm, tokens, [site for site, _ in some], Pool("mean"))
    got = cache(key | {"features": [i for _, i in some], "labels": list(labels)}, compute)
    assert isinstance(got, pl.DataFrame)
    return got


def _look(lm: LM, tokens: Sequence[Tokens], layer: int, features: Sequence[_Strongest]) -> None:
    """Show every text to the features of a layer."""
    columns = [each.index for each in features]

    def step(batch: Batch) -> list[NDArray[np.float32]]:
        seen: list[NDArray[np.float32]] = []

        @torch.no_grad()
        def read(x: Tensor, code: Code) -> None:
            counts = text_tokens(batch).to(x.device)[..., None]
            seen.append((code.features[..., columns] * counts).float().cpu().numpy())

        with read_codes(lm.model, lm.anatomy, {layer: read}):
            lm.call(batch)
        (values,) = seen
        starts = batch.start.tolist()
        return [row[start : start + len(of)] for row, start, of in zip(values, starts, batch.tokens, strict=True)]

    for batch, values in lm.each(tokens, step):
        for place, row in zip(batch.index, values, strict=True):
            for each, column in zip(features, row.T, strict=True):
                each.show(place, column.astype(np.float64))


def _rows(lm: LM, tokens: Sequence[Tokens], labels: Sequence[str], of: _Strongest) -> list[dict[str, Any]]:
    rows = []
    for rank, (top, place, values) in enumerate(of.texts):
        pieces, peak = lm.pieces(tokens[place]), int(np.abs(values).argmax())
        rows += [
            {
                "feature": of.name,
                "rank": rank,
                "label": labels[place],
                "largest": top,
                "token": at,
                "text": pieces[at],
                "activation": float(values[at]),
            }
            for at in range(max(0, peak - BEFORE), min(len(values), peak + BEHIND + 1))
        ]
    return rows
