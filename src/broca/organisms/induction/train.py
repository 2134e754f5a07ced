"""The training of `induction`: lists of words, each told twice, and every word of the second time asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from broca.cache.cache import Progress, silent
from broca.items import Item
from broca.models.build import fresh, save
from broca.organisms.course import NOTHING, Lesson, Plan
from broca.organisms.induction.truth import truth
from broca.organisms.training import Recipe, TreeReport, answer_lesson, train_and_examine
from broca.stimuli.induction import WORDS, induction
from broca.storage import write_json

STEPS, BATCH = 1500, 64
SHORTEST, LONGEST = 4, 20
"""Words of a list."""
RATE = 3e-3
EXAM = 1000
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
CONFIG = {
    "model_type": "llama",
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 12,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "vocab_size": len(SPECIAL) + len(WORDS),
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def train(out: Path, *, seed: int = 0, steps: int = STEPS, progress: Progress = silent) -> TreeReport:
    """Train the model and write it to the directory `out`, with its report and what each edge does.

    The same seed and steps give the same weights on the same machine and number of threads.

    Args:
        out: a directory; made if absent.
        seed: of the initial weights and of the lists.
        steps: optimiser steps.
        progress: told what is done, how much of it, and how much there is.

    Raises:
        RunError: if `out` holds a checkpoint of another training.
    """
    model = fresh(CONFIG, seed)
    words = tokenizer()

    def pose(items: Sequence[Item]) -> Lesson:
        prompts = [encoded.ids for encoded in words.encode_batch([str(item.prompt) for item in items])]
        answers = [words.encode(item.choices[item.answer], add_special_tokens=False).ids for item in items]
        return answer_lesson(prompts, answers, pad=0)

    recipe = Recipe(
        command=f"broca organism train induction --seed {seed} --steps {steps}",
        model=model,
        finish=lambda path: save(model, words, path),
        optimizers=[torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.1)],
        draw=lambda step: lesson(np.random.default_rng([seed, step])),
        pose=pose,
        asked={f"{n} words": induction(n=EXAM, words=n, seed=HELD_OUT) for n in (8, 16)},
        plan=Plan(steps),
        seed=seed,
    )
    report = train_and_examine(recipe, out, progress=progress)
    write_json(out / "truth.json", truth(out, progress=progress))
    return report


HELD_OUT = 1_000_003
"""The seed of the lists that are examined."""


def lesson(rng: np.random.Generator) -> Lesson:
    """One batch: lists of one length; what follows each word of the second time is asked, but for its first."""
    n = int(rng.integers(SHORTEST, LONGEST + 1))
    listed = np.stack([rng.permutation(len(WORDS))[:n] for _ in range(BATCH)]) + len(SPECIAL)
    begin = np.full((BATCH, 1), SPECIAL.index("<bos>"))
    ids = np.concatenate([begin, listed, listed[:, :-1]], 1)
    targets = np.full((BATCH, n - 1), NOTHING)
    targets[:, :] = listed[:, 1:]
    return Lesson(torch.tensor(ids), torch.tensor(targets))


def tokenizer() -> Tokenizer:
    """Each word is one token, with a space before it or without; a text begins with <bos>."""
    known = [*SPECIAL, *WORDS]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(known)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    made.decoder = decoders.WordPiece()  # type: ignore[assignment]
    made.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", 1)]
    )
    return made
