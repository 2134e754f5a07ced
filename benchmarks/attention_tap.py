"""What attention rows cost: plain forward, the tap on last rows, and eager's whole maps.

Run ``python benchmarks/attention_tap.py``: about a minute on one thread. Time is the median of interleaved rounds;
memory is the rise of the process's high-water mark above what it had with the model loaded, each way in a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch
from transformers import logging

from broca.models.attention import attention_rows, check_tap
from broca.models.build import fresh
from broca.models.lm import LM
from broca.models.tokens import Tokens, pad_tokens
from broca.models.wiring.dissection import dissect

CONFIG = {
    "model_type": "llama",
    "vocab_size": 1000,
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 1536,
    "max_position_embeddings": 2048,
}
WAYS = ("sdpa", "tap, last row", "tap, last row, 2 heads a layer", "eager, whole maps")


def model(way: str) -> LM:
    made = fresh(CONFIG, attention="eager" if way.startswith("eager") else "sdpa")
    return LM(made, None, dissect(made))


def step(way: str, lm: LM, batch: object) -> int:
    """One forward pass; returns how many bytes of attention it keeps."""
    if way == "sdpa":
        lm.next_logits(batch)
        return 0
    if way.startswith("eager"):
        with torch.no_grad():
            kept = lm.call(batch, output_attentions=True, logits_to_keep=1).attentions
        return sum(each.nbytes for each in kept)
    kept = attention_rows(lm, batch, heads=(0, 5) if "heads" in way else None)
    return sum(each.nbytes for each in kept.values())


def text(length: int) -> object:
    ids = torch.randint(3, 1000, (length,), generator=torch.Generator().manual_seed(0))
    return pad_tokens([Tokens(tuple(ids.tolist()), "")], [0], 0)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_its_own_process(way: str, length: int) -> float:
    again = [sys.executable, __file__, "--memory", way, "--length", str(length)]
    return float(subprocess.run(again, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--length", type=int, default=1024)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--memory", choices=WAYS)
    given = options.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    if given.memory:
        lm = model(given.memory)
        step(given.memory, lm, text(16))
        before = peak()
        step(given.memory, lm, text(given.length))
        print(peak() - before)
        return
    # Before any model is here: a process starts with the high-water mark of the one that started it.
    rises = {way: in_its_own_process(way, given.length) for way in WAYS}
    models = {way: model(way) for way in WAYS}
    for lm in models.values():
        check_tap(lm)
    batch, seconds, kept = text(given.length), {way: [] for way in WAYS}, {}
    for _ in range(given.rounds + 1):
        for way, lm in models.items():
            start = time.process_time()
            kept[way] = step(way, lm, batch)
            seconds[way].append(time.process_time() - start)
    times = {way: statistics.median(some[1:]) for way, some in seconds.items()}
    print(f"{models['sdpa'].n_parameters / 1e6:.1f} M parameters, {given.length} tokens, float32, one thread")
    print(f"{'':32}{'ms':>8}{'x sdpa':>8}{'peak MB':>9}{'kept MB':>9}")
    for way in WAYS:
        ratio = times[way] / times["sdpa"]
        print(f"{way:32}{times[way] * 1000:8.0f}{ratio:8.2f}{rises[way]:9.1f}{kept[way] / 1e6:9.2f}")


if __name__ == "__main__":
    main()
