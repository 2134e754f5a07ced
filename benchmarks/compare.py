"""What comparing a clean and a perturbed run costs on top of two bare forward passes, and how much of it is written.

Ways, interleaved in one process, on requests with a calculation (a dozen tokens, as the published ones) and on the same behind
a hundred words:

* bare: ``model(**batch)`` over the clean texts and over the perturbed ones, each in batches by length, with logits;
* compared: states at every aligned point, attention from two of them, logits; the lens apart;
* compared, without attention; compared, with the lens.

Bytes are those of the tables as Parquet and of the mean differences as safetensors, for `--written` pairs. Beside them stand what
Error Mech Analysis wrote for a kind of 1,000 prompts with gemma-2-9b-it, 0.56 GB, and what broca would write in its place: the
same four layers of a model as wide and with as many heads, with random figures.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ground import Row, arguments, interleaved, model, named, ratio, settle, texts, write
from perturb import prompts
from safetensors.numpy import save

from broca.capture.compare import compare_pairs
from broca.capture.comparison import ComparedRuns, Comparison, Meaning
from broca.capture.pairs import AlignedPair
from broca.items import Pair, Stimulus
from broca.models.lm import LM
from broca.models.tokens import Batch
from broca.sites import Site
from broca.stimuli.alignment import align
from broca.stimuli.perturb import build_pairs

BOUND, MEGABYTE = 1.2, 1.0
ANCESTOR_MB = 560.0
BATCH = 32
"""Texts a batch."""
GEMMA = {"layers": (0, 5, 10, 15), "heads": 16, "units": 3584, "blocks": 42}


def pairs_of(lm: LM, n: int, words: int) -> list[AlignedPair]:
    """Transposed letters in requests, behind `words` others."""
    before = texts(n, words + 1) if words else [""] * n
    made = build_pairs([Stimulus(s.id, str(s.text), s.group) for s in prompts(n)], ["transpose"], seed=0).pairs
    found = []
    for pair, front in zip(made, before, strict=False):
        clean, perturbed = lm.tokenize([f"{front} {pair.clean}".strip(), f"{front} {pair.perturbed}".strip()])
        shift = len(clean.text) - len(pair.clean)
        edits = tuple(type(e)(e.start + shift, e.end + shift, e.before, e.after, e.kind) for e in pair.edits)
        whole = Pair(pair.id, clean.text, perturbed.text, edits, pair.kind)
        aligned = align(whole, clean.offsets or (), perturbed.offsets or ())
        points = {name: ((i,), (j,)) for name, (i, j) in aligned.points.items()}
        segments = {name: aligned.positions(name) for name in ("special", "prefix", "edited", "suffix")}
        found.append(AlignedPair(clean, perturbed, points, aligned.covers, segments, pair.id))
    return found


@torch.no_grad()
def forward(lm: LM, batches: Sequence[Batch]) -> None:
    for batch in batches:
        lm.model(input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False)


def ways(lm: LM, pairs: Sequence[AlignedPair]) -> dict[str, Callable[[], Any]]:
    bare = [*lm.batches([p.clean for p in pairs], size=BATCH), *lm.batches([p.perturbed for p in pairs], size=BATCH)]
    half = BATCH // 2
    return {
        "two bare forwards": lambda: forward(lm, bare),
        "compared": lambda: compare_pairs(lm, pairs, size=half),
        "compared, without attention": lambda: compare_pairs(lm, pairs, size=half, attention=False),
        "compared, with the lens": lambda: compare_pairs(lm, pairs, size=half, lens=True),
    }


def megabytes(found: ComparedRuns) -> dict[str, float]:
    """What a comparison is, on disk."""
    sizes = {}
    for name in ("points", "heads", "logits", "pairs"):
        file = io.BytesIO()
        getattr(found, name)().write_parquet(file, compression="zstd")
        sizes[name] = len(file.getvalue()) / 1e6
    return sizes | {"mean differences": len(save(dict(found.differences))) / 1e6}


def as_wide_as_gemma(n: int, layers: Sequence[int]) -> ComparedRuns:
    """A comparison of random figures of `n` pairs in the shape of gemma-2-9b."""
    sites = tuple(Site(layer, "resid_post") for layer in layers)
    classes, segments = (
        ("edited", "suffix", "operands", "answer"),
        ("special", "prefix", "edited", "suffix", "operands"),
    )
    units = GEMMA["units"]
    assert isinstance(units, int)
    kept = Comparison(Meaning(sites, classes, ("suffix", "answer"), segments, 5, np.zeros((len(sites), units), bool)))
    draw = np.random.default_rng(0)
    for start in range(0, n, 64):
        m = min(64, n - start)
        kept.update(
            {
                "shifts": draw.random((m, 4, len(sites), 6)),
                "differences": draw.normal(size=(m, 4, len(sites), units)),
                "logits": draw.random((m, 4, 3)),
                "heads": draw.random((m, 2, len(sites), GEMMA["heads"], 3 + 2 * len(segments))),
                "tokens": draw.integers(9, 18, (m, 2)),
            }
        )
    return kept.result()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--written", type=int, default=1000)
    parser.add_argument("--sizes", nargs="+", default=["small", "large"])
    given = parser.parse_args()
    load = settle(given.threads)
    rows, times = [], {}
    for size in given.sizes:
        lm = model(size)
        for words, told in ((0, "a dozen tokens"), (100, "100 words more")):
            seconds = interleaved(ways(lm, pairs_of(lm, given.pairs, words)), given.rounds)
            bare = seconds["two bare forwards"]
            rows.append(Row(f"two bare forwards, {told}", named(lm), statistics.median(bare), "s"))
            rows += [
                Row(
                    f"{way} / two bare forwards, {told}",
                    named(lm),
                    ratio(own, bare),
                    "x",
                    BOUND if way == "compared" else None,
                )
                for way, own in seconds.items()
                if own is not bare
            ]
            times[f"{size}, {told}"] = seconds
        found = megabytes(compare_pairs(lm, pairs_of(lm, given.written, 0), size=BATCH // 2))
        rows.append(Row(f"written for {given.written} pairs", named(lm), sum(found.values()), "MB", MEGABYTE))
    blocks, layers = GEMMA["blocks"], GEMMA["layers"]
    assert isinstance(blocks, int)
    assert isinstance(layers, tuple)
    for chosen, told, bound in ((layers, "four layers", MEGABYTE), (tuple(range(blocks)), "all 42 layers", None)):
        found = megabytes(as_wide_as_gemma(given.written, chosen))
        rows.append(Row(f"written for {given.written} pairs, {told}", "gemma-2-9b", sum(found.values()), "MB", bound))
        times[f"gemma, {told}, MB"] = found
    rows.append(Row("written by Error Mech Analysis (its own format, computed)", "gemma-2-9b", ANCESTOR_MB, "MB"))
    write("compare", rows, load=load, seconds=times)
    for row in rows:
        print(
            f"{row.what:70} {row.model:12} {row.value:9.3g} {row.unit:3} {'' if row.bound is None else f'<= {row.bound}'}"
        )


if __name__ == "__main__":
    main()
