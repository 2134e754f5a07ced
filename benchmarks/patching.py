"""A grid of patches over layers and classes of tokens: recorded blocks and cached tokens against whole passes.

Ways, interleaved in one process, on pairs of requests with a mistake in their last third, behind other words:

* whole: every patch is a pass over the whole text;
* skipped: blocks below the patched one hand on what they handed on before;
* cached: tokens before the first patched one come from the cache as well (what `patched` does by itself).

Beside them, attribution patching: one donor pass, one forward and one backward for all patches of the grid.
"""

from __future__ import annotations

import statistics

import numpy as np
from ground import Row, arguments, interleaved, model, named, random_tokens, ratio, settle, write

from broca.capture.metrics import LogitDifference
from broca.capture.patch_attribution import Lent, attribute_patches
from broca.interventions.patching import Case, Cell, patch_grid, position_pairs
from broca.models.lm import LM
from broca.models.tokens import Tokens
from broca.sites import Kind, Site

CLASSES = ("edited", "suffix", "answer")
KINDS: tuple[Kind, ...] = ("resid_post", "attn_out", "mlp_out")


def cases_of(lm: LM, n: int, length: int) -> list[Case]:
    """Random texts with another token two thirds of the way, which nothing before it can feel."""
    vocabulary = lm.model.get_input_embeddings().weight.shape[0]
    place = 2 * length // 3
    draw = np.random.default_rng(0)
    found = []
    for tokens in random_tokens(n, vocabulary, length):
        ids = list(tokens.ids)
        ids[place] = (ids[place] + 1 + int(draw.integers(vocabulary - 2))) % vocabulary
        places = {
            "edited": ((place,), (place,)),
            "suffix": (tuple(range(place + 1, length - 1)),) * 2,
            "answer": ((length - 1,), (length - 1,)),
        }
        found.append(Case(Tokens(tuple(ids), ""), tokens, places, 5, 6))
    return found


def measured(lm: LM, n: int, length: int, rounds: int) -> tuple[list[Row], dict[str, list[float]]]:
    cells = [
        Cell(at, {Site(layer, kind): None}) for kind in KINDS for layer in range(lm.anatomy.n_layers) for at in CLASSES
    ]
    cases = cases_of(lm, n, length)
    lent = [Lent(each.run, each.donor, {at: position_pairs(each, at) for at in CLASSES}) for each in cases]
    groups = dict.fromkeys((site for cell in cells for site in cell.parts), 1)
    seconds = interleaved(
        {
            "whole": lambda: patch_grid(lm, cases, cells, way="whole"),
            "skipped": lambda: patch_grid(lm, cases, cells, way="skipped"),
            "cached": lambda: patch_grid(lm, cases, cells),
            "attribution": lambda: attribute_patches(lm, lent, groups, LogitDifference(5, 6)),
        },
        rounds,
    )
    found, whole = patch_grid(lm, cases, cells), patch_grid(lm, cases, cells, way="whole")
    off = float(np.abs(found.after - whole.after).max() / np.abs(whole.after[..., 0]).max())
    told = f"{length} tokens, {len(cells)} patches"
    rows = [
        Row(f"whole passes, {told}", named(lm), statistics.median(seconds["whole"]), "s"),
        *(
            Row(f"{way} / whole, {told}", named(lm), ratio(seconds[way], seconds["whole"]), "x")
            for way in ("skipped", "cached", "attribution")
        ),
        Row(f"work spared, {told}", named(lm), found.work.saved_share, ""),
        Row(f"passes, {told}", named(lm), found.work.passes, ""),
        Row(
            f"whole passes that their work makes, {told}",
            named(lm),
            found.work.passes * (1 - found.work.saved_share),
            "",
        ),
        Row(f"largest difference, {told}", named(lm), off, ""),
    ]
    return rows, seconds


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--cases", type=int, default=32)
    parser.add_argument("--lengths", type=int, nargs="+", default=[24, 96])
    parser.add_argument("--sizes", nargs="+", default=["small", "large"])
    given = parser.parse_args()
    load = settle(given.threads)
    rows: list[Row] = []
    times: dict[str, dict[str, list[float]]] = {}
    for size in given.sizes:
        lm = model(size)
        for length in given.lengths:
            found, times[f"{size}, {length} tokens"] = measured(lm, given.cases, length, given.rounds)
            rows += found
            write("patching", rows, load=load, seconds=times)
            for row in found:
                print(f"{row.what:62} {row.model:12} {row.value:9.3g} {row.unit}", flush=True)


if __name__ == "__main__":
    main()
