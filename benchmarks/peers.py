"""Side by side with nnsight and TransformerLens: same weights, tokens and sites, streamed into the same statistic.

Runs in an environment of its own (``benchmarks/.venv``, made by ``run.py``), where the peers are installed. Everybody reads
the last token of the residual stream after each block, for texts of 128 tokens in batches of 8, and feeds
`broca.capture.Moments`. Each peer is asked the economical way: last tokens only where it can slice, with and without ending
the pass early, never a full cache. Before anything is timed, all must give the same numbers. Memory is the rise of the
high-water mark above what is resident with the model loaded, each way in a process of its own: first what the wrapper takes
to be made and to warm up, then what the passes take.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ground import (
    BATCH,
    CONFIGS,
    LENGTH,
    SIZES,
    Row,
    arguments,
    interleaved,
    lower_the_mark,
    model,
    named,
    peak_mb,
    random_tokens,
    ratio,
    resident_mb,
    settle,
    strict_malloc,
    tokenizer,
    write,
)
from transformers import AutoTokenizer

from broca.capture import Moments, capture
from broca.models.build import fresh
from broca.models.lm import LM
from broca.models.tokens import Batch, Tokens

STIMULI = {"small": 128, "large": 32}
Found = list[Moments]
Pass = Callable[[], Found]
BARE, OURS = "bare forward", "broca"


def ours(lm: LM, tokens: Sequence[Tokens]) -> Pass:
    sites = lm.anatomy.sites("resid_post")
    return lambda: list(capture(lm, tokens, sites, Moments).values())


def bare(lm: LM, tokens: Sequence[Tokens]) -> Pass:
    batches = list(lm.batches(tokens))

    @torch.no_grad()
    def run() -> Found:
        for batch in batches:
            lm.model(**asked(batch))
        return []

    return run


def nnsight(lm: LM, tokens: Sequence[Tokens], *, early: bool) -> Pass:
    from nnsight import NNsight, save

    wrapped, batches = NNsight(lm.model), list(lm.batches(tokens))
    n = lm.anatomy.n_layers

    @torch.no_grad()
    def run() -> Found:
        kept = [Moments() for _ in range(n)]
        for batch in batches:
            with wrapped.trace(**asked(batch)) as tracer:
                saved = save([wrapped.model.layers[i].output[:, -1] for i in range(n)])
                if early:
                    tracer.stop()
            for moments, values in zip(kept, saved, strict=True):
                moments.update(values.numpy())
        return kept

    return run


def transformer_lens(lm: LM, tokens: Sequence[Tokens], *, early: bool) -> Pass:
    from transformer_lens.model_bridge import TransformerBridge

    # A copy of the model: the bridge rewrites the one it is given.
    other = fresh(CONFIGS[lm.name])
    bridge = TransformerBridge.boot_transformers("local", hf_model=other, tokenizer=stored_tokenizer(), device="cpu")
    batches, n = list(lm.batches(tokens)), lm.anatomy.n_layers
    names = [f"blocks.{i}.hook_out" for i in range(n)]

    @torch.no_grad()
    def run() -> Found:
        kept = [Moments() for _ in range(n)]
        for batch in batches:
            more = {"stop_at_layer": n} if early else {"return_type": "logits"}
            _, cache = bridge.run_with_cache(
                batch.ids,
                attention_mask=batch.mask,
                names_filter=names,
                return_cache_object=False,
                pos_slice=-1,
                **more,
            )
            for moments, name in zip(kept, names, strict=True):
                moments.update(cache[name].reshape(len(batch), -1).numpy())
        return kept

    return run


def stored_tokenizer() -> Any:
    """The tokenizer read back from disk: TransformerLens loads it anew from where it came from."""
    folder = Path(__file__).parent / ".venv" / "tokenizer"
    tokenizer().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def asked(batch: Batch) -> dict[str, Any]:
    return {"input_ids": batch.ids, "attention_mask": batch.mask, "position_ids": batch.positions, "use_cache": False}


WAYS: dict[str, Callable[[LM, Sequence[Tokens]], Pass]] = {
    BARE: bare,
    OURS: ours,
    "nnsight": lambda lm, tokens: nnsight(lm, tokens, early=False),
    "nnsight, early stop": lambda lm, tokens: nnsight(lm, tokens, early=True),
    "TransformerLens": lambda lm, tokens: transformer_lens(lm, tokens, early=False),
    "TransformerLens, early stop": lambda lm, tokens: transformer_lens(lm, tokens, early=True),
}


def agree(size: str) -> tuple[dict[str, float], dict[str, str]]:
    """Largest difference of each way's means from ours; and the error of each way that does not run."""
    tokens, reference = random_tokens(2 * BATCH, CONFIGS[size]["vocab_size"]), None
    off, errors = {}, {}
    for name in [OURS, *(way for way in WAYS if way not in (BARE, OURS))]:
        try:
            found = WAYS[name](model(size), tokens)()
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is its result
            errors[name] = f"{type(error).__name__}: {error}"
            continue
        reference = reference or found
        off[name] = max(float(np.abs(a.mean - b.mean).max()) for a, b in zip(reference, found, strict=True))
    return off, errors


def memory(way: str, size: str) -> dict[str, float]:
    """MB that the wrapper takes, and MB that the passes take at their peak beyond it."""
    lm = model(size)
    tokens = random_tokens(8 * BATCH, CONFIGS[size]["vocab_size"])
    loaded = resident_mb()
    run = WAYS[way](lm, tokens)
    # Once before: what is imported and allocated on first use belongs to the wrapper, not to the passes.
    run()
    lower_the_mark()
    before = resident_mb()
    run()
    return {"wrapper": before - loaded, "passes": peak_mb() - before}


def in_its_own_process(way: str, size: str, threads: int) -> dict[str, float]:
    again = [sys.executable, __file__, "--way", way, "--size", size, "--threads", str(threads)]
    done = subprocess.run(again, check=True, capture_output=True, text=True, env=os.environ | strict_malloc())
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--way", choices=tuple(WAYS))
    parser.add_argument("--size", choices=SIZES, default="small")
    given = parser.parse_args()
    load = settle(given.threads)
    if given.way:
        print(json.dumps(memory(given.way, given.size)))
        return
    rows, times, differences, failures = [], {}, {}, {}
    for size in SIZES:
        off, errors = agree(size)
        differences[size], failures[size] = off, errors
        able = [BARE, *off]
        # One model each: a wrapper leaves its own hooks on the model that it wraps.
        lms = {way: model(size) for way in able}
        tokens = random_tokens(STIMULI[size], CONFIGS[size]["vocab_size"], LENGTH)
        rounds = given.rounds * (2 if size == "small" else 1)
        seconds = interleaved({way: WAYS[way](lms[way], tokens) for way in able}, rounds)
        times[size] = {way: [round(s, 4) for s in some] for way, some in seconds.items()}
        for way in able:
            peak = in_its_own_process(way, size, given.threads)
            label = named(lms[way])
            rows += [
                Row(f"{way}: time", label, statistics.median(seconds[way]), "s"),
                Row(f"{way} / bare forward", label, ratio(seconds[way], seconds[BARE]), "x"),
                Row(
                    f"{way}: peak of the passes", label, peak["passes"], "MB", note=f"wrapper {peak['wrapper']:.1f} MB"
                ),
            ]
            if way != BARE:
                rows.append(Row(f"{way}: largest difference from broca", label, off[way], "", 1e-4))
    write("peers", rows, load=load, seconds=times, differences=differences, failures=failures)


if __name__ == "__main__":
    main()
