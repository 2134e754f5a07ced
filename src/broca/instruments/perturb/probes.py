"""Is it read from the residual stream whether a text was perturbed, or from its tokens alone? By layer and place, with both said.

A probe that tells clean from perturbed says nothing of a model as long as random embeddings of the same tokens do as well.
Those, and the number of tokens, stand in every row of the table, in the same folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.cache.cache import Cache, Part, Progress, no_cache, silent
from broca.errors import StimulusError
from broca.instruments.perturb.probe_rows import BASELINES, POINTS, SPLITS, Point, Seen, Split
from broca.items import Pair, fingerprint
from broca.models.lm import LM
from broca.models.tokens import Chat
from broca.sites import Site
from broca.stats.pairs import paired_bootstrap
from broca.stats.telling import CHOICE, Choice, Rows, Separability, on_control, separability, transfer

PROBES = pl.Schema(
    {
        "kind": pl.String,
        "site": pl.String,
        "layer": pl.Int64,
        "point": pl.String,
        "split": pl.String,
        "pairs": pl.Int64,
        "groups": pl.Int64,
        **dict.fromkeys(("accuracy", "low", "high"), pl.Float64),
        **dict.fromkeys(BASELINES, pl.Float64),
        "best": pl.String,
        **dict.fromkeys(("gain", "gain_low", "gain_high", "p", "null", "control", "selectivity"), pl.Float64),
        "undefined": pl.String,
    }
)
"""One row a kind, site, point and split. `token`, `text` and `count` are accuracies of the baselines; `gain` is over the `best` of
them, or over chance, with a 95 % interval over groups; `p` is against labels exchanged within pairs, whose mean is `null`; `control` the accuracy on
a control task (with folds of rows only). `undefined` says why there is no accuracy."""
TRANSFERS = pl.Schema(
    {"site": pl.String, "layer": pl.Int64, "point": pl.String, "learned": pl.String, "tested": pl.String, "pairs": pl.Int64}
    | dict.fromkeys(("accuracy", *BASELINES, "gain"), pl.Float64)
)  # fmt: skip
"""One row a site, point, kind that is learned and kind that is tested, wordings apart; null where no wording is left to test."""


@dataclass(frozen=True, slots=True)
class ProbeTables:
    """What probes tell, and what of it carries over to other kinds."""

    scores: pl.DataFrame
    """`PROBES`."""
    transfers: pl.DataFrame
    """`TRANSFERS`; empty with one kind."""


def probe_sites(
    lm: LM,
    pairs: Sequence[Pair],
    *,
    sites: Sequence[Site] | None = None,
    points: Sequence[Point] = POINTS,
    splits: Sequence[Split] = SPLITS,
    how: Choice = CHOICE,
    permutations: int = 0,
    chat: Chat = "never",
    n_bootstrap: int = 2000,
    cache: Cache = no_cache,
    progress: Progress = silent,
) -> ProbeTables:
    """Probe every site at every point, each kind by itself, then across kinds.

    Args:
        lm: the model; whatever interventions are in force apply.
        pairs: of any kinds, with their edits.
        sites: where to look; the embeddings and what every block leaves when None.
        points: at which tokens.
        splits: what folds keep together.
        how: how probes are fitted.
        permutations: exchanges of labels within pairs; 20 give p down to 0.05, and cost as many probes.
        chat: whether the chat template is used.
        n_bootstrap: resamplings of groups.
        cache: remembers what is done.
        progress: is told of every site of every kind.

    Raises:
        StimulusError: if there are no pairs, or the tokenizer reports no character offsets.
        StatisticsError: if an activation is NaN or infinite.
    """
    if not pairs:
        raise StimulusError("There are no pairs to probe. Give some of at least one kind.")
    where = tuple(sites or (Site(0, "resid_pre"), *(Site(i, "resid_post") for i in range(lm.anatomy.n_layers))))
    kinds = dict.fromkeys(pair.kind for pair in pairs)
    seen = {kind: Seen(lm, tuple(pair for pair in pairs if pair.kind == kind), where, chat) for kind in kinds}
    work = _Work(how, permutations, n_bootstrap)
    key = {
        "cell": "perturbation probe",
        "pairs": fingerprint([pair.fingerprint for pair in pairs]),
        "condition": list(lm.condition),
        "chat": chat,
        "how": fingerprint([how, permutations, n_bootstrap]),
    }
    parts: dict[str, list[pl.DataFrame]] = {"scores": [], "transfers": []}
    total = len(seen) * len(where) + (len(where) if len(seen) > 1 else 0)
    for i, (kind, site) in enumerate((kind, site) for kind in seen for site in where):
        progress("probing", i, total)
        asked = key | {"kind": kind, "site": str(site), "points": list(points), "splits": list(splits)}
        parts["scores"].append(_frame(cache(asked, partial(work.scores, seen[kind], kind, site, points, splits))))
    for i, site in enumerate(where if len(seen) > 1 else ()):
        progress("probing across kinds", len(seen) * len(where) + i, total)
        asked = key | {"transfer": list(seen), "site": str(site), "points": list(points)}
        parts["transfers"].append(_frame(cache(asked, partial(work.transfers, seen, site, points))))
    progress("probing", total, total)
    empty = pl.DataFrame(schema=TRANSFERS)
    return ProbeTables(pl.concat(parts["scores"]), pl.concat([empty, *parts["transfers"]]))


class _Work:
    """Probes with their baselines, which are fitted once for all sites."""

    def __init__(self, how: Choice, permutations: int, n_bootstrap: int) -> None:
        self.how, self.permutations, self.n_bootstrap = how, permutations, n_bootstrap
        self.known: dict[tuple[object, ...], Any] = {}

    def scores(
        self, seen: Seen, kind: str, site: Site, points: Sequence[Point], splits: Sequence[Split]
    ) -> pl.DataFrame:
        made = []
        for point in points:
            for split in splits:
                rows = seen.rows(point, seen.features(point, site), split)
                named = {"kind": kind, "site": str(site), "layer": site.layer, "point": point, "split": split}
                made.append(named | self._row(seen, kind, point, split, rows))
        return pl.DataFrame(made, schema=PROBES)

    def _row(self, seen: Seen, kind: str, point: Point, split: Split, rows: Rows) -> dict[str, Any]:
        groups = len(np.unique(rows.groups))
        sizes = {"pairs": len(rows.y) // 2, "groups": groups}
        if groups < max(self.how.folds, 2 * self.how.inner):
            return sizes | {"undefined": f"{groups} different {_PLURAL[split]} are too few for {self.how.folds} folds"}
        found = self._separability(rows, permutations=self.permutations)
        base = self._once((kind, point, split), partial(self._baselines, seen, point, split))
        rivals = {"chance": np.full(len(rows.y), 0.5)} | {name: each.correct for name, each in base.items()}
        best = max(rivals, key=lambda name: rivals[name].mean())
        gain = paired_bootstrap(found.correct, rivals[best], groups=rows.groups, n=self.n_bootstrap, seed=self.how.seed)
        row = sizes | {"accuracy": found.accuracy.value, "low": found.accuracy.low, "high": found.accuracy.high}
        row |= {name: each.accuracy.value for name, each in base.items()} | {"best": best}
        row |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high, "p": found.p, "null": found.null}
        if split == "rows" and (control := on_control(rows, seen.at(point), self.how)) is not None:
            row |= {"control": control, "selectivity": found.accuracy.value - control}
        return row

    def transfers(self, seen: Mapping[str, Seen], site: Site, points: Sequence[Point]) -> pl.DataFrame:
        made = []
        for point in points:
            rows = {kind: one.rows(point, one.features(point, site), "wording") for kind, one in seen.items()}
            rows = {kind: one for kind, one in rows.items() if len(np.unique(one.groups)) >= 2 * self.how.inner}
            if len(rows) < 2:
                continue
            found = transfer(rows, self.how)
            base = self._once(("transfer", point), partial(self._across, seen, rows, point))
            best = np.max([np.full_like(found, 0.5), *(base[name] for name in BASELINES)], axis=0)
            for i, learned in enumerate(rows):
                for j, tested in enumerate(rows):
                    values = {"accuracy": found[i, j], "gain": (found - best)[i, j]}
                    values |= {name: base[name][i, j] for name in BASELINES}
                    named = {
                        "site": str(site),
                        "layer": site.layer,
                        "point": point,
                        "learned": learned,
                        "tested": tested,
                    }
                    numbers = {name: None if np.isnan(value) else float(value) for name, value in values.items()}
                    made.append(named | {"pairs": len(rows[tested].y) // 2} | numbers)
        return pl.DataFrame(made, schema=TRANSFERS)

    def _across(self, seen: Mapping[str, Seen], rows: Mapping[str, Rows], point: Point) -> dict[str, NDArray[Any]]:
        features = {kind: seen[kind].baselines(point, self.how.seed) for kind in rows}
        return {
            name: transfer({kind: replace(one, x=features[kind][name]) for kind, one in rows.items()}, self.how)
            for name in BASELINES
        }

    def _baselines(self, seen: Seen, point: Point, split: Split) -> dict[str, Separability]:
        features = seen.baselines(point, self.how.seed)
        return {name: self._separability(seen.rows(point, features[name], split)) for name in BASELINES}

    def _separability(self, rows: Rows, *, permutations: int = 0) -> Separability:
        return separability(rows, self.how, permutations=permutations, n_bootstrap=self.n_bootstrap)

    def _once(self, key: tuple[object, ...], compute: Any) -> Any:
        if key not in self.known:
            self.known[key] = compute()
        return self.known[key]


_PLURAL = {"rows": "rows", "wording": "wordings", "word": "edited words"}


def _frame(part: Part) -> pl.DataFrame:
    assert isinstance(part, pl.DataFrame)
    return part
