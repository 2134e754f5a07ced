"""A model of the shape of Llama 3 8B, random, in bfloat16: what a localizer and a lesion cost, and what bfloat16 does to maps.

For a machine with a GPU (about 60 GiB with the parity table, 20 without): ``python benchmarks/large.py``. The same at tiny size, on
anything: ``python benchmarks/large.py --size tiny``. **It has not been run on a GPU**: no figures of it are in ``results/``.

``python benchmarks/large.py --forecast 4e14`` runs nothing: it says what models of 8 and 70 billion parameters take in memory, and how long studies of them
last on a device that sustains so many operations a second (two a parameter and token).

Ways, interleaved in one process on the same batches:

* bare: ``model(**batch)``, as anybody would run it;
* capture: every ``*.resid_post`` into Moments, made to run on to the logits;
* lesion: the bare pass with 1 % of the units of every layer held at 0.

Then, on a GPU, the peak of memory over the weights while each ran; and the localizer's map, its selection and the log-probabilities of
options in bfloat16 against float32, on the same weights.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from ground import (
    LENGTH,
    LLAMA,
    Row,
    arguments,
    interleaved,
    random_contrast,
    ratio,
    settle,
    tokenizer,
    write,
)
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig, AutoModelForCausalLM

from broca.capture import Moments, capture
from broca.instruments.localize.spec import Localize
from broca.interventions import Lesion
from broca.items import Item
from broca.models.lm import LM
from broca.scoring import Likelihood
from broca.units import UnitMask

SIZES: Mapping[str, Mapping[str, Any]] = {
    "8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
    },
    "70b": {
        "vocab_size": 128256,
        "hidden_size": 8192,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "intermediate_size": 28672,
    },
    "tiny": {
        "vocab_size": 1024,
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 384,
    },
}
SLOWEST = 1 / 0.9
"""Time of a way over that of the bare pass: 0.9 x its tokens per second."""
FATTEST = 1.15
"""Peak of memory over that of the weights."""


def build(size: str, device: str, dtype: torch.dtype, batch: int) -> LM:
    config = AutoConfig.for_model(**(LLAMA | dict(SIZES[size])))
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    lm = LM.wrap(model, tokenizer(), name=size)
    lm.batch_size = batch
    return lm


def ways(lm: LM, n: int) -> dict[str, Callable[[], None]]:
    stimuli = random_contrast(n)
    tokens = lm.tokenize([s.text for s in (*stimuli.positive, *stimuli.negative)])
    batches = list(lm.batches(tokens))
    sites = lm.anatomy.sites("resid_post")
    draw = np.random.default_rng(0)
    lesion = Lesion(UnitMask({site: draw.random(lm.anatomy.d_model) < 0.01 for site in sites}))

    @torch.no_grad()
    def bare() -> None:
        for batch in batches:
            lm.model(input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False)

    def captured() -> None:
        # What tells capture that layers may be offloaded, so that passes must not end early.
        lm.model.hf_device_map = {}
        try:
            capture(lm, tokens, sites, Moments)
        finally:
            del lm.model.hf_device_map

    def lesioned() -> None:
        with lm.under(lesion):
            bare()

    return {"bare": bare, "capture": captured, "lesion": lesioned}


def settled(way: Callable[[], None], device: str) -> Callable[[], None]:
    def run() -> None:
        way()
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    return run


def peak(way: Callable[[], None], lm: LM) -> float:
    """Bytes of the GPU at the highest while a way ran, over the bytes of the weights."""
    weights = sum(p.numel() * p.element_size() for p in lm.model.parameters())
    torch.cuda.reset_peak_memory_stats()
    way()
    return torch.cuda.max_memory_allocated() / weights


def parity(lm: LM, n: int) -> dict[str, float]:
    """A map, a selection and log-probabilities in the model's dtype against float32, on the same weights."""
    wide = LM.wrap(copy.deepcopy(lm.model).float(), lm.tokenizer, anatomy=lm.anatomy, name=f"{lm.name} float32")
    wide.batch_size = lm.batch_size
    study = Localize(contrast=random_contrast(n))
    maps = [np.concatenate(list(study.run(one).t.values())) for one in (lm, wide)]
    top = [set(np.argsort(-t)[: len(t) // 100].tolist()) for t in maps]
    items = [Item(str(i), s.text, (" the", " a bird"), 0) for i, s in enumerate(study.stimuli.positive)]
    scores = [np.array(Likelihood()(one, items)["logprobs"].to_list()) for one in (lm, wide)]
    chosen = [s.argmax(1) for s in scores]
    return {
        "r of the t-maps": float(np.corrcoef(*maps)[0, 1]),
        "largest difference of t": float(np.abs(maps[0] - maps[1]).max()),
        "overlap of the top 1 % (Jaccard)": len(top[0] & top[1]) / len(top[0] | top[1]),
        "mean difference of log-probabilities, nats": float(np.abs(scores[0] - scores[1]).mean()),
        "same choice": float((chosen[0] == chosen[1]).mean()),
    }


ITEMS, CONDITIONS = 200, 22
"""Of a lesion that is forecast: questions of one reading each; intact, two fills, 19 random draws."""


def forecast(rate: float, stimuli: int) -> list[Row]:
    """Memory and time of large models, counted from their shapes.

    Args:
        rate: operations a second.
        stimuli: of a localizer, a side.
    """
    rows = []
    for size in ("8b", "70b"):
        config = AutoConfig.for_model(**(LLAMA | dict(SIZES[size])))
        with torch.device("meta"):
            n = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
        name = f"{n / 1e9:.1f} G"
        # Count, mean and sum of squares of both sides, in float64, at each layer's output.
        sums = 2 * 3 * 8 * config.num_hidden_layers * config.hidden_size
        rows += [
            Row(f"weights, {dtype}", name, n * width / 1e9, "GB") for dtype, width in (("bfloat16", 2), ("float32", 4))
        ]
        rows += [Row("a localizer's sums beside them", name, sums / 1e9, "GB")]
        for what, texts in (("localizer", 2 * stimuli), ("lesion", ITEMS * CONDITIONS)):
            rows.append(Row(f"{what}, {texts:,} texts of {LENGTH} tokens", name, 2 * n * texts * LENGTH / rate, "s"))
    return rows


def show(rows: list[Row]) -> None:
    table = Table("what", "model", "value", "target")
    for row in rows:
        table.add_row(row.what, row.model, f"{row.value:.4g} {row.unit}", f"≤ {row.bound:.3g}" if row.bound else "")
    Console().print(table)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--forecast", type=float, metavar="RATE", help="run nothing; operations a second")
    parser.add_argument("--size", choices=tuple(SIZES), default="8b")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--stimuli", type=int, default=128, help="a side")
    parser.add_argument("--no-parity", action="store_true", help="leave out the float32 copy")
    given = parser.parse_args()
    if given.forecast is not None:
        show(forecast(given.forecast, given.stimuli))
        return
    load = settle(given.threads)
    lm = build(given.size, given.device, torch.bfloat16, given.batch)
    every = {name: settled(way, given.device) for name, way in ways(lm, given.stimuli).items()}
    seconds = interleaved(every, given.rounds)
    name = f"{lm.n_parameters / 1e6:,.1f} M"
    per_second = 2 * given.stimuli * LENGTH / statistics.median(seconds["bare"])
    rows = [Row("bare forward", name, per_second, "tokens/s")]
    rows += [
        Row(f"{way} / bare", name, ratio(seconds[way], seconds["bare"]), "x", SLOWEST) for way in ("capture", "lesion")
    ]
    if given.device.startswith("cuda"):
        rows += [Row(f"peak memory / weights, {way}", name, peak(run, lm), "x", FATTEST) for way, run in every.items()]
    if not given.no_parity:
        rows += [
            Row(what, f"{name} bfloat16 against float32", value, "")
            for what, value in parity(lm, given.stimuli).items()
        ]
    show(rows)
    if given.size != "tiny":
        times = {way: [round(s, 4) for s in some] for way, some in seconds.items()}
        write(
            "large", rows, load=load, seconds=times, device=given.device, batch=given.batch, stimuli=2 * given.stimuli
        )


if __name__ == "__main__":
    main()
