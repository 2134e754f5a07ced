"""What localizing costs on top of the bare forward pass over the same batches.

Ways, interleaved in one process on texts of 128 tokens in batches of 8:

* bare, with logits: ``model(**batch)``, the pass that anybody would run;
* bare, decoder body: the same without the language-model head;
* capture: `broca.capture.capture` of every ``*.resid_post`` into Moments. It ends each pass at the last block;
* capture, whole pass: the same, made to run on to the logits: what is added to a pass, with no head start;
* Localize.run: texts in, verdict out (tokenizing, maps of both halves, corrections, selection, reliability);
* Localize.run, no arrangements: without the thousand permutations of *selective*, whose time does not grow with the model's passes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ground import (
    BATCH,
    LENGTH,
    SIZES,
    Row,
    arguments,
    interleaved,
    model,
    named,
    random_contrast,
    ratio,
    settle,
    write,
)

from broca.capture import Moments, capture
from broca.instruments.localize.spec import Localize
from broca.models.lm import LM
from broca.models.tokens import Batch

BOUNDS = {"small": 1.15, "large": 1.05}
STIMULI = {"small": 128, "large": 32}
"""A side."""
LOCALIZERS = ("Localize.run", "Localize.run, no arrangements")


@torch.no_grad()
def forward(module: Callable[..., Any], batches: Sequence[Batch]) -> None:
    for batch in batches:
        module(input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False)


def ways(lm: LM, n: int) -> dict[str, Callable[[], Any]]:
    study = Localize(contrast=random_contrast(n), pool="last")
    maps = study.model_copy(update={"permutations": 0})
    stimuli = study.stimuli
    tokens = lm.tokenize([s.text for s in (*stimuli.positive, *stimuli.negative)])
    assert {len(each) for each in tokens} == {LENGTH}
    batches = list(lm.batches(tokens, size=BATCH))
    sites = lm.anatomy.sites("resid_post")

    def whole_pass() -> None:
        # What tells capture that layers may be offloaded, so that passes must not end early.
        lm.model.hf_device_map = {}
        try:
            capture(lm, tokens, sites, Moments)
        finally:
            del lm.model.hf_device_map

    return {
        "bare, with logits": lambda: forward(lm.model, batches),
        "bare, decoder body": lambda: forward(lm.model.model, batches),
        "capture": lambda: capture(lm, tokens, sites, Moments),
        "capture, whole pass": whole_pass,
        "Localize.run": lambda: study.run(lm),
        "Localize.run, no arrangements": lambda: maps.run(lm),
    }


def main() -> None:
    given = arguments(__doc__).parse_args()
    load = settle(given.threads)
    rows, times = [], {}
    for size in SIZES:
        lm = model(size)
        seconds = interleaved(ways(lm, STIMULI[size]), given.rounds * (3 if size == "small" else 1))
        times[size] = {way: [round(s, 4) for s in some] for way, some in seconds.items()}
        logits, body = seconds["bare, with logits"], seconds["bare, decoder body"]
        whole = ratio(seconds["capture, whole pass"], logits)
        rows += [
            Row("bare forward with logits", named(lm), statistics.median(logits), "s"),
            *(
                Row(f"{way} / bare with logits", named(lm), ratio(seconds[way], logits), "x", BOUNDS[size])
                for way in ("capture", *LOCALIZERS)
            ),
            Row("capture, no early stop / bare with logits", named(lm), whole, "x", BOUNDS[size]),
            *(
                Row(f"{way} / bare decoder body", named(lm), ratio(seconds[way], body), "x", BOUNDS[size])
                for way in ("capture", *LOCALIZERS)
            ),
        ]
    write("overhead", rows, load=load, seconds=times, stimuli={size: 2 * n for size, n in STIMULI.items()})


if __name__ == "__main__":
    main()
