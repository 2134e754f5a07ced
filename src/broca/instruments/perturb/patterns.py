"""Attention patterns of the clean run put into the perturbed one, by layer or head: does what is looked at restore the answer?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from torch import Tensor

from broca.cache.cache import Part
from broca.errors import GuardError
from broca.instruments.perturb.cases import FlippedPair
from broca.instruments.perturb.grid import Grid, Patches, share_of
from broca.instruments.perturb.spec import By
from broca.interventions.pattern import Pattern, PatternPatch, carried_patterns
from broca.interventions.plant import text_key
from broca.items import fingerprint
from broca.models.rerun import record
from broca.models.tokens import Batch
from broca.sites import Site
from broca.units import UnitMask

PATTERNS = {"layer": pl.Int64, "head": pl.Int64, "n": pl.Int64, "restored": pl.Float64, "share": pl.Float64, "low": pl.Float64,
            "high": pl.Float64}  # fmt: skip
"""One row a layer (head null) or head: as `broca.instruments.perturb.grid.RECOVERY`."""


def patterns(patches: Patches, grid: Grid, by: By, boot: Mapping[str, int]) -> tuple[pl.DataFrame, str]:
    """The table, and a warning where this model's attention cannot be replaced.

    Rows of every token behind the first mistake are replaced, carried over through the alignment and brought back to their sums.
    """
    heads = _masks(patches, by)
    if not heads:
        return pl.DataFrame(schema=PATTERNS), ""
    try:
        arrays = _run(patches, heads)
    except GuardError as error:
        return pl.DataFrame(schema=PATTERNS), f"Attention patterns were not patched. {error}"
    groups, kept, rows = np.asarray(patches.groups), grid.kept, []
    for column, (layer, head) in enumerate(heads):
        change = (arrays["after"][:, column] - arrays["before"])[kept]
        low, share, high = share_of(change, grid.lost[kept], groups[kept], boot)
        rows.append(
            {"layer": layer, "head": head, "n": int(kept.sum()), "restored": float(change.mean()) if len(change) else None, "share": share, "low": low,
             "high": high}
        )  # fmt: skip
    return pl.DataFrame(rows, schema=PATTERNS), ""


def _masks(patches: Patches, by: By) -> dict[tuple[int, int | None], UnitMask]:
    anatomy = patches.lm.anatomy
    n = anatomy.n_heads
    found: dict[tuple[int, int | None], UnitMask] = {}
    for layer in range(anatomy.n_layers) if by != "none" and n else ():
        found[layer, None] = UnitMask({Site(layer, "z"): np.ones(n, dtype=bool)}, "head")
        for head in range(n) if by == "heads" else ():
            found[layer, head] = UnitMask({Site(layer, "z"): np.arange(n) == head}, "head")
    return found


def _run(patches: Patches, heads: Mapping[tuple[int, int | None], UnitMask]) -> dict[str, np.ndarray]:
    lm, cases = patches.lm, [one.case for one in patches.cases]

    def compute() -> Part:
        made = carried_patterns(
            lm,
            [case.donor for case in cases],
            [case.run for case in cases],
            *zip(*map(_rows_to_replace, patches.cases), strict=True),
        )
        before, after = np.zeros(len(cases)), np.zeros((len(cases), len(heads)))
        done = 0

        def report(turn: int, size: int) -> None:
            patches.progress("patching attention", done * len(heads) + turn * size, len(cases) * len(heads))

        report(0, 0)
        for batch, gaps in lm.each(
            [case.run for case in cases], lambda batch: _gaps(patches, batch, made, heads, report)
        ):
            before[list(batch.index)], after[list(batch.index)] = gaps[0], gaps[1:].T
            done += len(batch)
            report(0, 0)
        return {"before": before, "after": after}

    key = {"cell": "patterns", "cases": fingerprint(cases), "heads": [mask.fingerprint for mask in heads.values()],
           "condition": list(lm.condition)}  # fmt: skip
    arrays = patches.cache(key, compute)
    assert isinstance(arrays, dict)
    return arrays


def _gaps(
    patches: Patches,
    batch: Batch,
    made: Mapping[str, Pattern],
    heads: Mapping[tuple[int, int | None], UnitMask],
    report: Callable[[int, int], None],
) -> np.ndarray:
    """Logit differences before, and with the pattern of each head, ``(1 + head, case)``."""
    lm = patches.lm
    cases = [patches.cases[i].case for i in batch.index]
    rows = np.arange(len(cases))
    right, wrong = (np.array(each) for each in zip(*((case.right, case.wrong) for case in cases), strict=True))
    recorded = record(lm, batch)

    def gap(logits: Tensor) -> np.ndarray:
        return (logits[rows, right].double() - logits[rows, wrong].double()).cpu().numpy()

    # Of each pass only what is asked for: the logits of all heads would take more than the model does.
    before = gap(recorded.logits)
    found = [before]
    for turn, ((layer, _), mask) in enumerate(heads.items()):
        report(turn, len(cases))
        own = {text_key(case.run.ids): replace(pattern, rows={layer: pattern.rows[layer]})
               for case in cases if layer in (pattern := made[text_key(case.run.ids)]).rows}  # fmt: skip
        if not own:
            found.append(before)
            continue
        with lm.under(PatternPatch(own, heads=mask)):
            found.append(gap(recorded.again({}, layer=layer)))
            lm.assert_fired()
    return np.stack(found)


def _rows_to_replace(one: FlippedPair) -> tuple[Sequence[Sequence[int]], tuple[tuple[int, ...], tuple[int, ...]]]:
    """For each token of the clean run the perturbed tokens over it, and the positions of the rows that are replaced.

    What a row gives to a letter that is missing goes to the rest of its word, or to the token behind it.
    """
    case, aligned = one.case, one.aligned
    word = aligned.positions("edited")[1] or case.places.get("boundary", ((), ()))[1]
    covers = [own or (word if aligned.clean[i] == "edited" else ()) for i, own in enumerate(aligned.covers)]
    covers += [(len(aligned.perturbed) + i,) for i in range(len(case.donor) - len(aligned.clean))]
    pairs = sorted({pair for at in _BEHIND if at in case.places for pair in zip(*case.places[at], strict=True)})
    pairs = pairs or [(len(case.donor) - 1, len(case.run) - 1)]  # a mistake in the last word
    return covers, (tuple(i for i, _ in pairs), tuple(j for _, j in pairs))


_BEHIND = ("boundary", "suffix", "operands", "answer")
"""Tokens whose rows are replaced: those of the edited word itself have no counterpart."""
