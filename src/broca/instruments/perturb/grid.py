"""Patches of pairs that turned: by layer and class of tokens, by head, in both directions, beside what must not do the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.cache.cache import Cache, Part, Progress
from broca.capture.metrics import LogitDifference
from broca.capture.patch_attribution import Lent, attribute_patches
from broca.errors import StatisticsError
from broca.evidence.verdict import Guard
from broca.instruments.perturb.cases import CLASSES, RANDOM, FlippedPair
from broca.interventions.patching import Case, Cell, patch_grid, position_pairs
from broca.items import fingerprint
from broca.models.lm import LM
from broca.page.numbers import limits, number
from broca.sites import Kind, Site
from broca.stats.pairs import ratio_interval
from broca.stats.reliability import rank_agreement

Floats = NDArray[np.float64]

KINDS: tuple[Kind, ...] = ("resid_post", "attn_out", "mlp_out")
"""What is patched by layer and class of tokens."""

RECOVERY = {"direction": pl.String, "donor": pl.String, "kind": pl.String, "layer": pl.Int64, "at": pl.String, "n": pl.Int64,
            "restored": pl.Float64, "share": pl.Float64, "low": pl.Float64, "high": pl.Float64, "logprob": pl.Float64,
            "kl": pl.Float64, "estimate": pl.Float64}  # fmt: skip
"""One row a patch. `restored`: mean change of the logit difference, in logits. `share`: of what the perturbation had taken, sums
over cases, with an interval over resampled groups; of a patch that breaks, negative. `logprob`: mean change of the right
token's, in nats. `kl`: mean divergence from the donor's run that is left, in nats. `estimate`: the share that attribution
patching foretells."""


BY_KIND = {"perturbation": pl.String, "layer": pl.Int64, "at": pl.String, "n": pl.Int64, "share": pl.Float64, "low": pl.Float64,
           "high": pl.Float64}  # fmt: skip
"""The residual stream at the edited word and at the last token, each kind of perturbation by itself."""
_FEW = 3
"""Cases of a kind below which it has no row."""


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """Cases that are patched in one model, with the numbers of each patch, which are computed once."""

    lm: LM
    cases: tuple[FlippedPair, ...]
    cache: Cache
    progress: Progress
    name: str = "own"
    """Of the model, where it is a twin."""

    @property
    def groups(self) -> list[str]:
        return [one.group for one in self.cases]

    def run(self, what: str, cases: Sequence[Case], cells: Sequence[Cell]) -> dict[str, np.ndarray]:
        """The arrays of `broca.interventions.patching.PatchGrid`, and the work that they took: ``(done, whole, passes)``."""

        def compute() -> Part:
            found = patch_grid(self.lm, cases, cells, progress=partial(self.progress, what))
            work = np.array([found.work.done, found.work.whole, found.work.passes])
            return {"donor": found.donor, "before": found.before, "after": found.after, "work": work}

        parts = [
            [cell.at, [[str(s), None if u is None else np.flatnonzero(u).tolist()] for s, u in cell.parts.items()]]
            for cell in cells
        ]
        key = {"cell": "patches", "model": self.name, "cases": fingerprint(list(cases)), "parts": fingerprint(parts),
               "condition": list(self.lm.condition)}  # fmt: skip
        arrays = self.cache(key, compute)
        assert isinstance(arrays, dict)
        return arrays

    def estimate_effects(self, groups: Mapping[Site, int]) -> dict[str, np.ndarray]:
        """What attribution patching foretells, in logits: by ``class/site`` arrays ``(case, group)``."""

        def compute() -> Part:
            pairs = [
                Lent(each.case.run, each.case.donor, {at: position_pairs(each.case, at) for at in (*CLASSES, "all")})
                for each in self.cases
            ]
            metric = LogitDifference([each.case.right for each in self.cases], [each.case.wrong for each in self.cases])
            found = attribute_patches(
                self.lm, pairs, groups, metric, progress=partial(self.progress, "estimating patches")
            )
            return {f"{at}/{site}": values for at, by_site in found.items() for site, values in by_site.items()}

        key = {"cell": "estimates", "model": self.name, "cases": fingerprint([one.case for one in self.cases]),
               "groups": [[str(site), n] for site, n in groups.items()], "condition": list(self.lm.condition)}  # fmt: skip
        arrays = self.cache(key, compute)
        assert isinstance(arrays, dict)
        return arrays


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """What came of all patches by layer and class."""

    table: pl.DataFrame
    """`RECOVERY`."""
    kinds: pl.DataFrame
    """`BY_KIND`."""
    guards: tuple[Guard, ...]
    lost: Floats
    """What there was to restore in each case, in logits."""
    kept: NDArray[np.bool_]
    """Cases that lost more than the threshold."""
    work: NDArray[np.int64]
    """Tokens times blocks that were computed, those of whole passes, and passes."""
    agreement: str
    """How well the estimates agree with the patches, in words."""


def grid(patches: Patches, *, threshold: float, boot: Mapping[str, int]) -> Grid:
    """Patch every layer and class of tokens, in both directions, from the own clean text and from another's.

    Args:
        patches: the cases.
        threshold: what a case must have lost, in logits, to count in a share.
        boot: `n` and `seed` of the bootstrap.
    """
    lm, cases = patches.lm, [one.case for one in patches.cases]
    cells = _cells(lm, KINDS, CLASSES)
    stream = _cells(lm, ("resid_post",), ("edited", "answer"))
    own = patches.run("patching", cases, cells)
    lost = own["donor"][:, 0] - own["before"][:, 0]
    kept = lost > threshold
    estimates = patches.estimate_effects(dict.fromkeys((site for cell in cells for site in cell.parts), 1))
    foretold = np.stack([estimates[f"{cell.at}/{_site(cell)}"][:, 0] for cell in cells], 1)
    elsewhere = _cells(lm, ("resid_post",), (RANDOM,))
    runs = [
        _Run("restore", "own", cells, own, foretold),
        _Run("break", "own", stream, patches.run("patching back", [case.reversed for case in cases], stream)),
        _Run("restore", "elsewhere", elsewhere, patches.run("patching elsewhere", cases, elsewhere)),
    ]
    if others := donor_cases(patches.cases):
        runs.insert(2, _Run("restore", "other", stream, patches.run("patching from other texts", others, stream)))
    rows = [row for run in runs for row in run.rows(lost, kept, patches.groups, boot)]
    few = [case.itself for case in cases[:16]]
    itself = patches.run("patching with itself", few, cells)
    work = sum(run.found["work"] for run in runs)
    table = pl.DataFrame(rows, schema=RECOVERY)
    kinds = pl.DataFrame(_by_kind(patches, runs[0], lost, kept, boot), schema=BY_KIND)
    return Grid(
        table, kinds, _guards(own, itself, cells, lost), lost, kept, np.asarray(work, np.int64), _agreement(table)
    )


def donor_cases(cases: Sequence[FlippedPair]) -> list[Case]:
    """Each case with the clean text of another one, whose right answer is another, and so is the word that is edited there.

    Where no other case is unlike in both, one with another answer; nothing where all have the same answer.
    """
    words = [tuple(one.case.donor.ids[i] for i in one.case.places.get("edited", ((), ()))[0]) for one in cases]
    found = []
    for i, one in enumerate(cases):
        others = [j for j in (*range(i + 1, len(cases)), *range(i)) if cases[j].right != one.right]
        unlike = [j for j in others if words[j] != words[i]]
        if not others:
            return []
        found.append(one.case.with_donor(cases[(unlike or others)[0]].case))
    return found


def _cells(lm: LM, kinds: Sequence[Kind], classes: Sequence[str]) -> list[Cell]:
    return [
        Cell(at, {site: None})
        for kind in kinds
        for layer in range(lm.anatomy.n_layers)
        if lm.anatomy.has(site := Site(layer, kind))
        for at in classes
    ]


def _site(cell: Cell) -> Site:
    return next(iter(cell.parts))


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    direction: str
    donor: str
    cells: Sequence[Cell]
    found: Mapping[str, np.ndarray]
    foretold: Floats | None = None

    def rows(
        self, lost: Floats, kept: NDArray[np.bool_], groups: Sequence[str], boot: Mapping[str, int]
    ) -> list[dict[str, object]]:
        """`RECOVERY`, over the cases that are kept and have tokens of the class."""
        out = []
        for column, cell in enumerate(self.cells):
            change = self.found["after"][:, column] - self.found["before"]
            here = kept & ~np.isnan(change[:, 0])
            low, share, high = share_of(change[here, 0], lost[here], np.asarray(groups)[here], boot)
            site, some = _site(cell), bool(here.any())
            mean = change[here].mean(0) if some else np.full(3, np.nan)
            guess = (
                None
                if self.foretold is None or not some
                else float(self.foretold[here, column].sum() / lost[here].sum())
            )
            out.append(
                {"direction": self.direction, "donor": self.donor, "kind": site.kind, "layer": site.layer, "at": cell.at,
                 "n": int(here.sum()), "restored": float(mean[0]), "share": share, "low": low, "high": high,
                 "logprob": float(mean[1]), "kl": float(self.found["after"][here, column, 2].mean()) if some else None,
                 "estimate": guess}
            )  # fmt: skip
        return out


def _by_kind(
    patches: Patches, run: _Run, lost: Floats, kept: NDArray[np.bool_], boot: Mapping[str, int]
) -> list[dict[str, object]]:
    kinds, groups, out = np.array([one.pair.kind for one in patches.cases]), np.asarray(patches.groups), []
    for column, cell in enumerate(run.cells):
        site = _site(cell)
        if site.kind != "resid_post" or cell.at not in ("edited", "answer"):
            continue
        change = run.found["after"][:, column, 0] - run.found["before"][:, 0]
        for kind in sorted(set(kinds)):
            here = kept & (kinds == kind) & ~np.isnan(change)
            if here.sum() >= _FEW:
                low, share, high = share_of(change[here], lost[here], groups[here], boot)
                out.append({"perturbation": kind, "layer": site.layer, "at": cell.at, "n": int(here.sum()), "share": share, "low": low,
                            "high": high})  # fmt: skip
    return out


def share_of(gain: Floats, lost: Floats, groups: np.ndarray, boot: Mapping[str, int]) -> tuple[float, float, float]:
    """Low, value and high of what was restored of what was lost; NaN limits where too few groups are there."""
    nan = float("nan")
    if not len(gain):
        return nan, nan, nan
    try:
        found = ratio_interval(gain, lost, groups=groups, **boot)
    except StatisticsError:
        return nan, float(gain.sum() / lost.sum()), nan
    return found.low, found.value, found.high


def _guards(
    own: Mapping[str, np.ndarray], itself: Mapping[str, np.ndarray], cells: Sequence[Cell], lost: Floats
) -> tuple[Guard, ...]:
    scale = float(np.abs(lost).max()) or 1.0
    off = float(np.nanmax(np.abs(itself["after"][:, :, 0] - itself["before"][:, None, 0]))) / scale
    change = np.abs(own["after"][:, :, 0] - own["before"][:, None, 0]) / scale
    before = np.array([cell.at == "prefix" for cell in cells])
    ahead = float(np.nanmax(change[:, before], initial=0.0))
    felt = float(np.nanmax(change[:, ~before], initial=0.0))
    return (
        _guard("identity", off <= _ROUNDING, f"A run patched with itself moves by {off:.1e} of the largest loss."),
        _guard(
            "upstream",
            ahead <= _ROUNDING,
            f"Patches before the first mistake, where both runs are the same, move it by {ahead:.1e}.",
        ),
        _guard("effect", felt > _ROUNDING, f"The strongest patch moves it by {felt:.2f}."),
    )


_ROUNDING = 1e-3
"""Of the largest loss: what batches of other shapes may differ by."""


def _guard(name: str, passed: bool, text: str) -> Guard:  # noqa: FBT001 - a state, not a switch
    return Guard(name, "passed" if passed else "marked", text)


def _agreement(table: pl.DataFrame) -> str:
    """Spearman's rho between patches and their estimates, over layers and classes behind the prefix."""
    own = table.filter(pl.col("estimate").is_not_null() & (pl.col("at") != "prefix")).drop_nulls("share")
    try:
        found = rank_agreement(own["share"].to_numpy(), own["estimate"].to_numpy(), n=500)
    except StatisticsError:
        return "There are too few patches to compare their estimates with."
    return f"Attribution patching ranks the {len(own)} patches with rho = {number(found.value)} {limits(found.low, found.high)}."
