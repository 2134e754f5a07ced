"""The training of `sums`: requests in words, byte by byte, without a single mistake in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from broca.cache.cache import Progress, silent
from broca.items import Item
from broca.models.build import fresh, save
from broca.organisms.course import Lesson, Plan, muon
from broca.organisms.training import Recipe, TreeReport, answer_lesson, train_and_examine
from broca.stimuli.sums import OPERATIONS, draw_operands, frame_request, spell_answer, sums, wording

STEPS, BATCH = 2600, 96
EXAM = 2000
_HELD_OUT = 1_000_003
SPECIAL = ("<pad>", "<bos>", "<eos>")
CONFIG = {
    "model_type": "llama",
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 24,
    "intermediate_size": 256,
    "max_position_embeddings": 512,
    "vocab_size": len(SPECIAL) + 256,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def train(out: Path, *, seed: int = 0, steps: int = STEPS, progress: Progress = silent) -> TreeReport:
    """Train the model and write it to the directory `out`, with its report; a training that was stopped goes on.

    The same seed and steps give the same weights on the same machine and number of threads.

    Args:
        out: a directory; made if absent.
        seed: of the initial weights and of the requests.
        steps: optimiser steps.
        progress: told what is done, how much of it, and how much there is.

    Raises:
        RunError: if `out` holds a checkpoint of another training.
    """
    model = fresh(CONFIG, seed)
    words = tokenizer()

    def pose(items: Sequence[Item]) -> Lesson:
        return request_lesson(
            words, [str(item.prompt) for item in items], [item.choices[item.answer] for item in items]
        )

    exam = sums(n=EXAM, seed=_HELD_OUT)
    recipe = Recipe(
        command=f"broca organism train sums --seed {seed} --steps {steps}",
        model=model,
        finish=lambda path: save(model, words, path),
        optimizers=muon(model, 0.02, 3e-3),
        draw=lambda step: request_lesson(words, *requests(np.random.default_rng([seed, step]))),
        pose=pose,
        asked={name: [item for item in exam if item.tags["operation"] == name] for name in OPERATIONS},
        plan=Plan(steps),
        seed=seed,
    )
    return train_and_examine(recipe, out, progress=progress)


def requests(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """One batch: prompts and answers; operations are equally likely, operands never those held out."""
    prompts, answers = [], []
    for operation in rng.choice(list(OPERATIONS), size=BATCH):
        frame, word = wording(rng, operation)
        a, b = draw_operands(rng, held=False)
        prompts.append(frame_request(rng, frame.format(op=word, a=a, b=b)))
        answers.append(spell_answer(OPERATIONS[operation](a, b)))
    return prompts, answers


def request_lesson(words: Tokenizer, prompts: Sequence[str], answers: Sequence[str]) -> Lesson:
    """Requests with their answers and an end behind them; only what follows the prompt is asked."""
    return answer_lesson(
        [encoded.ids for encoded in words.encode_batch(list(prompts))],
        [[*words.encode(answer, add_special_tokens=False).ids, SPECIAL.index("<eos>")] for answer in answers],
        pad=0,
    )


def tokenizer() -> Tokenizer:
    """Each byte of UTF-8 is one token; a text begins with <bos>."""
    letters = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)  # type: ignore[assignment]
    made.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    made.add_special_tokens(list(SPECIAL))
    made.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", 1)]
    )
    return made
