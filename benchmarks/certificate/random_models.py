"""Random tiny models, so that nothing in them is learned, and items that they answer by what they happen to say: there is an ability to lose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ground import tokenizer

from broca.items import Contrast, Item, Stimulus
from broca.models.build import fresh
from broca.models.lm import LM
from broca.scoring import Likelihood
from certificate.maps import WORDS

Rng = np.random.Generator
CONFIG = {
    "model_type": "llama", "vocab_size": 1024, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 8,
    "num_key_value_heads": 8, "intermediate_size": 96, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "tie_word_embeddings": False,
}  # fmt: skip
"""24 heads: more than the 20 without which no rank among them is at .05."""
ITEMS = 32


def model(rng: Rng, spread: float = 0.2, **config: int) -> LM:
    """A random one, its weights so widely spread, of another shape where `config` says so."""
    seed = int(rng.integers(1 << 31))
    return LM.wrap(fresh({**CONFIG, "initializer_range": spread, **config}, seed), tokenizer(), name="random")


def sentence(rng: Rng, n: int = 6) -> str:
    """Words in any order."""
    return " ".join(rng.choice(WORDS, n))


def as_said(lm: LM, asked: Sequence[Item]) -> list[Item]:
    """The items with what the model says as the right answer."""
    said = Likelihood()(lm, asked)["predicted"].to_list()
    return [replace(item, answer=answer) for item, answer in zip(asked, said, strict=True)]


def questions(rng: Rng, n: int, ability: str = "") -> list[Item]:
    """Of different texts, with two choices each."""
    pairs = [rng.choice(WORDS, 2, replace=False) for _ in range(n)]
    return [
        Item(f"{ability}{i}", f"{i} {sentence(rng)} is", (f" {a}", f" {b}"), 0, ability)
        for i, (a, b) in enumerate(pairs)
    ]


def write(items: Sequence[Item], path: Path, **more: Sequence[Any]) -> str:
    """The items as a file that a study reads."""
    rows = [
        {"id": item.id, "prompt": item.prompt, "choices": list(item.choices), "answer": item.answer}
        | {name: values[i] for name, values in more.items()}
        for i, item in enumerate(items)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def abilities(lm: LM, rng: Rng, folder: Path, *, said: bool = True) -> tuple[str, str]:
    """Files of two abilities that differ by lot alone; right answers by lot too where not as the model says."""
    items = questions(rng, 2 * ITEMS)
    items = as_said(lm, items) if said else [replace(item, answer=int(rng.integers(2))) for item in items]
    own, other = folder / "own.jsonl", folder / "other.jsonl"
    return write(items[:ITEMS], own), write(items[ITEMS:], other)


def contrast_of(
    positive: Sequence[str], negative: Sequence[str], groups: Sequence[Sequence[str]] | None = None
) -> Contrast:
    named = groups or [[""] * len(positive), [""] * len(negative)]
    sides = [
        tuple(Stimulus(f"{side}{i}", text, group) for i, (text, group) in enumerate(zip(texts, own, strict=True)))
        for side, texts, own in zip("ab", (positive, negative), named, strict=True)
    ]
    return Contrast("by lot", *sides, source="by lot")
