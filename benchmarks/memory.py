"""Peak memory of localizing beyond the model: does it grow with the number of stimuli?

Each amount is measured in a process of its own, as the rise of the high-water mark above what was resident just before,
under an allocator that gives freed tensors back at once:

* capture: token ids are drawn beforehand, so the rise is that of the forward passes and of what capture keeps;
* Localize.run: texts in, verdict out, so the rise holds the tokenized stimuli too, which do grow with their number;
* beside them, computed, the dense table of pooled activations that the one-text loop keeps.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

from ground import (
    CONFIGS,
    SIZES,
    Row,
    arguments,
    lower_the_mark,
    model,
    named,
    peak_mb,
    random_contrast,
    random_tokens,
    resident_mb,
    settle,
    strict_malloc,
    write,
)

from broca.capture import Moments, capture
from broca.instruments.localize.spec import Localize

FEW, MANY = 100, 2000
LENGTH, BATCH = 32, 32
BOUND = 1.05
REPEATS = {"small": 3, "large": 1}


def rise(way: str, size: str, n: int) -> float:
    """MB of the high-water mark above what is resident before."""
    lm = model(size)
    lm.batch_size = BATCH
    tokens = random_tokens(n, CONFIGS[size]["vocab_size"], LENGTH)
    study = Localize(contrast=random_contrast(n // 2, LENGTH))
    sites = lm.anatomy.sites("resid_post")
    lower_the_mark()
    before = resident_mb()
    if way == "capture":
        capture(lm, tokens, sites, Moments)
    else:
        study.run(lm)
    return peak_mb() - before


def in_its_own_process(way: str, size: str, n: int, threads: int) -> float:
    again = [sys.executable, __file__, "--way", way, "--size", size, "--stimuli", str(n), "--threads", str(threads)]
    done = subprocess.run(again, check=True, capture_output=True, text=True, env=os.environ | strict_malloc())
    return float(done.stdout.splitlines()[-1])


def medians(way: str, size: str, threads: int) -> tuple[float, float]:
    """For few and for many stimuli, in turns: what an allocator gives back differs from process to process."""
    found = [[in_its_own_process(way, size, n, threads) for n in (FEW, MANY)] for _ in range(REPEATS[size])]
    return statistics.median(few for few, _ in found), statistics.median(many for _, many in found)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--way", choices=("capture", "Localize.run"))
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--stimuli", type=int, default=FEW)
    given = parser.parse_args()
    load = settle(given.threads)
    if given.way:
        print(json.dumps(rise(given.way, given.size, given.stimuli)))
        return
    rows = []
    for size in SIZES:
        lm = model(size)
        few, many = medians("capture", size, given.threads)
        rows += [
            Row(f"capture: peak beyond the model, {FEW} stimuli", named(lm), few, "MB"),
            Row(f"capture: peak beyond the model, {MANY} stimuli", named(lm), many, "MB"),
            Row(f"capture: {MANY} stimuli / {FEW} stimuli", named(lm), many / few, "x", BOUND),
        ]
        if size == "small":
            few, many = medians("Localize.run", size, given.threads)
            each = (many - few) * 1024 / (MANY - FEW)
            rows += [
                Row(f"Localize.run: peak beyond the model, {FEW} stimuli", named(lm), few, "MB"),
                Row(f"Localize.run: peak beyond the model, {MANY} stimuli", named(lm), many, "MB"),
                Row(
                    "Localize.run: growth a stimulus",
                    named(lm),
                    each,
                    "kB",
                    note=f"texts of {LENGTH} tokens, tokenized",
                ),
            ]
        table = 4 * lm.anatomy.d_model * lm.anatomy.n_layers / 1024
        rows.append(Row("one-text loop: dense table a stimulus", named(lm), table, "kB", note="computed"))
    write("memory", rows, load=load, batch=BATCH, length=LENGTH)


if __name__ == "__main__":
    main()
