"""The training of `kth`: lists of numbers, and after each number from the k-th on the k-th smallest so far.

Hou et al. (2023) ask after the last number alone, and take the softmax twice; here a list is fifteen lessons instead of
one, and the loss is the cross-entropy of logits. The exam asks after the last number.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from broca.cache.cache import Progress, silent
from broca.models.build import fresh, save
from broca.organisms.course import NOTHING, Lesson, Plan
from broca.organisms.training import Recipe, TreeReport, poser, train_and_examine
from broca.stimuli.trees.kth import draw_indices, kth

STEPS = 1000
NUMBERS, LENGTH, BATCH = 64, 16, 64
RATE = 3e-3
"""Of AdamW. Muon learns as fast, and spreads the attention over many heads."""
EXAM = 2000
"""Held-out lists of each length that are examined at the end; a tenth of them at each look."""
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
CONFIG = {
    "model_type": "gpt2",
    "n_layer": 4,
    "n_head": 8,
    "n_embd": 64,
    "n_positions": 32,
    "vocab_size": len(SPECIAL) + NUMBERS,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def train(out: Path, *, seed: int = 0, steps: int = STEPS, k: int = 2, progress: Progress = silent) -> TreeReport:
    """Train the model and write it to the directory `out`, with its report; a training that was stopped goes on.

    The same seed and steps give the same weights on the same machine and number of threads.

    Args:
        out: a directory; made if absent.
        seed: of the initial weights and of the lists.
        steps: optimiser steps.
        k: which number is asked for, from 1.
        progress: told what is done, how much of it, and how much there is.

    Raises:
        RunError: if `out` holds a checkpoint of another training.
    """
    model = fresh(CONFIG, seed)
    words = tokenizer()
    recipe = Recipe(
        command=f"broca organism train kth --seed {seed} --steps {steps} --options.k {k}",
        model=model,
        finish=lambda path: save(model, words, path),
        optimizers=[torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)],
        draw=lambda step: lesson(np.random.default_rng([seed, step]), k),
        pose=poser(words),
        asked={f"{m} numbers": kth(k=k, m=m, n=EXAM, seed=HELD_OUT, pool=NUMBERS) for m in (LENGTH // 2, LENGTH)},
        plan=Plan(steps),
        seed=seed,
    )
    return train_and_examine(recipe, out, progress=progress)


HELD_OUT = 1_000_003
"""The seed of the lists that are examined."""


def lesson(rng: np.random.Generator, k: int) -> Lesson:
    """One batch; the k-th smallest so far is asked after each number from the k-th on."""
    numbers = draw_indices(rng, NUMBERS, LENGTH, BATCH) + len(SPECIAL)
    targets = np.full(numbers.shape, NOTHING)
    for end in range(k, LENGTH + 1):
        targets[:, end - 1] = np.partition(numbers[:, :end], k - 1, axis=1)[:, k - 1]
    begin = np.full((BATCH, 1), SPECIAL.index("<bos>"))
    return Lesson(torch.tensor(np.concatenate([begin, numbers], 1)), torch.tensor(targets))


def tokenizer() -> Tokenizer:
    """Each number from 0 is one token, with a space before it or without; a text begins with <bos>."""
    words = [*SPECIAL, *map(str, range(NUMBERS))]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    made.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", 1)]
    )
    return made
