"""What every benchmark stands on: the two models, the tokenizer, the stimuli, interleaved clocks, and the results file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast, logging

from broca.items import Contrast, Stimulus
from broca.models.build import fresh
from broca.models.lm import LM
from broca.models.tokens import Tokens
from broca.stimuli.contrasts import contrast

RESULTS = Path(__file__).parent / "results"
BATCH, LENGTH = 8, 128
SPECIAL = ["<pad>", "<bos>", "<eos>"]
VOCABULARY = {"small": 1024, "large": 8192}
LLAMA = {"model_type": "llama", "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "small": {
        **LLAMA,
        "vocab_size": VOCABULARY["small"],
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 384,
    },
    "large": {
        **LLAMA,
        "vocab_size": VOCABULARY["large"],
        "hidden_size": 512,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "intermediate_size": 1408,
    },
}
SIZES = tuple(CONFIGS)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: a ratio or an amount, and the bound it is held to, if any."""

    what: str
    model: str
    value: float
    unit: str
    bound: float | None = None
    side: Literal["at most", "at least"] = "at most"
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.bound is None:
            return None
        return self.value <= self.bound if self.side == "at most" else self.value >= self.bound


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE learned from the sentences of the language contrast, so that non-words fall into pieces."""
    made = Tokenizer(BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    sentences = [stimulus.text for stimulus in contrast("language").positive]
    made.train_from_iterator(
        sentences,
        BpeTrainer(
            vocab_size=900,
            special_tokens=SPECIAL,
            initial_alphabet=list("abcdefghijklmnopqrstuvwxyz"),
            show_progress=False,
        ),
    )
    made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>")


def model(size: str) -> LM:
    """A random Llama in float32: `small` has about 1 M parameters, `large` over 30 M."""
    lm = LM.wrap(fresh(CONFIGS[size]), tokenizer(), name=size)
    lm.batch_size = BATCH
    return lm


def named(lm: LM) -> str:
    return f"{lm.n_parameters / 1e6:.1f} M"


def texts(n: int, length: int = LENGTH, seed: int = 0) -> list[str]:
    """Texts of exactly `length` tokens, BOS counted: words that are one token each, drawn at random."""
    words = _words()
    rng = np.random.default_rng(seed)
    return [" ".join(words[i] for i in rng.integers(len(words), size=length - 1)) for _ in range(n)]


@cache
def _words() -> tuple[str, ...]:
    candidates = sorted({word for s in contrast("language").positive for word in s.text.split()})
    return tuple(word for word in candidates if len(tokenizer()(word).input_ids) == 2)


def random_contrast(n: int, length: int = LENGTH) -> Contrast:
    """`n` texts a side, of equal length."""
    drawn = texts(2 * n, length)
    sides = [
        tuple(Stimulus(f"{side}{i}", text) for i, text in enumerate(some))
        for side, some in (("a", drawn[:n]), ("b", drawn[n:]))
    ]
    return Contrast("random words", *sides, source="drawn at random")


def random_tokens(n: int, vocabulary: int, length: int = LENGTH) -> list[Tokens]:
    """Token ids drawn at random, one text at a time."""
    generator = torch.Generator().manual_seed(0)
    return [Tokens(tuple(torch.randint(3, vocabulary, (length,), generator=generator).tolist()), "") for _ in range(n)]


def interleaved(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round. Rounds take turns in who goes first; the first one warms up and is dropped."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for turn in range(rounds + 1):
        for i in range(len(names)):
            name = names[(i + turn) % len(names)]
            start = time.perf_counter()
            ways[name]()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Median over rounds of one way's time by another's in the same round."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def peak_mb() -> float:
    """The process's high-water mark."""
    return _status("VmHWM")


def resident_mb() -> float:
    return _status("VmRSS")


def lower_the_mark() -> None:
    """Set the high-water mark to what is resident now, so that a peak is that of what follows (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def strict_malloc() -> dict[str, str]:
    """Environment in which glibc gives freed tensors back at once: a peak is then what is held, not what was kept in store."""
    return {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def arguments(doc: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser


def settle(threads: int) -> list[float]:
    """Fix the number of threads; returns the machine's load before anything is measured."""
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    return [round(load, 2) for load in os.getloadavg()]


def write(name: str, rows: Sequence[Row], *, load: Sequence[float], **more: Any) -> None:
    """Write ``results/<name>.json``: the figures, and all that they depend on."""
    RESULTS.mkdir(exist_ok=True)
    content = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": list(load),
        "load_after": [round(each, 2) for each in os.getloadavg()],
        "machine": platform.machine(),
        "versions": versions(),
        "rows": [asdict(row) | {"met": row.met} for row in rows],
        **more,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("broca", "torch", "transformers", "numpy", "scipy", "nnsight", "transformer-lens"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
