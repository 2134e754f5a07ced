"""The training of `beliefs`: ``broca organism train beliefs`` runs this, and the shipped weights come from it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from broca.cache.cache import Progress, silent
from broca.models.build import fresh, save
from broca.organisms.beliefs import benchmark, tokens
from broca.organisms.beliefs.card import TrainingReport, card
from broca.organisms.beliefs.exam import accuracies, narrative_perplexity, shortcuts
from broca.organisms.beliefs.lessons import MIX, Lesson, Mix, Pace, lessons
from broca.storage import write, write_json

RATES = (0.008, 3e-3)
"""Peak learning rates: of Muon, and of AdamW for what is no matrix of a block."""
WARMUP, LEVEL = 30, 0.6
"""Steps until the rates are at their peak, and the part of all steps after which they fall."""
WEIGHTS = ((1.0, 0.3), (0.3, 0.03), (0.0, 0.2))
"""What the answers and the text weigh in the loss: stories, sums, plain narrative (which has no answer)."""
STRIDE = 4


@dataclass(frozen=True, slots=True)
class Round:
    """A part of the training with optimisers, texts and a schedule of its own."""

    steps: int
    """Of the usual number, `STEPS`."""
    rate: float
    """Of the peak learning rates."""
    detail: float
    """Of its first stories."""
    mix: Mix


ROUNDS = (
    Round(6000, 1.0, 0.0, MIX),
    Round(2000, 0.5, 1.0, {"false-belief": 0.4, "true-belief": 0.4, "photograph-before": 0.1, "photograph-after": 0.1}),
)
"""From bare events to the whole world; then mostly beliefs, which are learned last."""
STEPS = sum(part.steps for part in ROUNDS)
LOOK = 500
"""Held-out accuracies are looked at after so many steps."""
EXAM = 400
"""So many held-out items of each ability, and plain stories, are examined at the end."""
CONFIG = {
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "initializer_range": 0.05,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "pad_token_id": tokens.PAD,
    "bos_token_id": tokens.BOS,
    "eos_token_id": tokens.EOS,
}


def train(out: Path, *, seed: int = 0, steps: int = STEPS, progress: Progress = silent) -> TrainingReport:
    """Train the model and write it to the directory `out`, with its report and model card.

    The same seed and steps give the same weights on the same machine and number of threads.

    Args:
        out: a directory; made if absent.
        seed: of the initial weights and of the texts.
        steps: optimiser steps.
        progress: told what is done, how much of it, and how much there is.
    """
    began = time.monotonic()
    tokenizer = tokens.build()
    model = fresh({**CONFIG, "vocab_size": tokenizer.get_vocab_size()}, seed)
    curve, looks = _learn(model, tokenizer, seed=seed, steps=steps, progress=progress)
    seconds = round(time.monotonic() - began, 1)
    save(model, tokenizer, out)
    marks = accuracies(model, tokenizer, n=EXAM)
    report = TrainingReport(
        command=f"broca organism train beliefs --seed {seed} --steps {steps}",
        seed=seed,
        steps=steps,
        seconds=seconds,
        parameters=sum(p.numel() for p in model.parameters()),
        curve=tuple(curve),
        looks=tuple(looks),
        accuracy={ability: mark["choice"] for ability, mark in marks.items()},
        exact={ability: mark["exact"] for ability, mark in marks.items()},
        shortcuts={name: shortcuts(benchmark(name, n=1000)) for name in ("belief", "photograph")},
        perplexity=narrative_perplexity(model, tokenizer, n=EXAM),
    )
    write_json(out / "training.json", asdict(report))
    write(out / "MODEL_CARD.md", card(report, words=len(tokens.vocabulary()), n=EXAM).encode())
    return report


def _learn(
    model: torch.nn.Module, tokenizer: Tokenizer, *, seed: int, steps: int, progress: Progress
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Every round; the curve and the looks."""
    curve, looks, done = [], [], 0
    for number, part in enumerate(ROUNDS):
        some = round(part.steps * steps / STEPS)
        rng = np.random.default_rng(seed + 1000 * number)
        for step, seen in enumerate(_round(model, tokenizer, part, rng, some), start=done + 1):
            curve.append({"step": step, **seen})
            if step % LOOK == 0 and step < steps:
                model.eval()
                found = accuracies(model, tokenizer, n=100)
                looks.append({"step": step, **{name: round(marks["choice"], 3) for name, marks in found.items()}})
            progress("training", step, steps)
        done += some
    model.eval()
    return _means(curve, 50), looks


def _round(
    model: torch.nn.Module, tokenizer: Tokenizer, part: Round, rng: np.random.Generator, steps: int
) -> Iterator[dict[str, float]]:
    """One lesson a step; yields what each step saw."""
    vocabulary, pace = model.get_input_embeddings().weight, Pace(part.detail)  # type: ignore[operator]
    matrices = {id(p): p for p in model.parameters() if p.ndim == 2 and p is not vocabulary}
    stepping = optimizers(matrices.values(), (p for p in model.parameters() if id(p) not in matrices))
    source = lessons(rng, tokenizer, pace, part.mix)
    for step in range(1, steps + 1):
        set_rates(stepping, step, steps, rate=part.rate)
        seen = train_step(model, stepping, next(source))
        pace.took(seen["stories"])
        yield {**seen, "detail": pace.detail}


def _means(curve: Sequence[dict[str, float]], size: int) -> list[dict[str, float]]:
    """Means of so many points each, at the last point of each."""
    parts = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [
        {key: round(float(np.mean([p[key] for p in part])), 4) for key in part[0]} | {"step": part[-1]["step"]}
        for part in parts
    ]


def optimizers(matrices: Iterable[torch.Tensor], others: Iterable[torch.Tensor]) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices of the blocks, AdamW for the embedding and the norms.

    On the simplest stories AdamW alone had not learned to tell the right place from another one of the story in 325 steps;
    with Muon (Jordan et al., 2024) the model told them apart in 275.
    """
    return (
        torch.optim.Muon(list(matrices), lr=RATES[0], momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(list(others), lr=RATES[1], betas=(0.9, 0.98), weight_decay=0.0),
    )


def set_rates(optimizers: Sequence[torch.optim.Optimizer], step: int, steps: int, *, rate: float = 1.0) -> None:
    """Set the learning rates of a step: up in a line, level, down in half a cosine."""
    part = step / steps
    shape = min(1.0, step / WARMUP) if part < LEVEL else 0.5 * (1 + math.cos(math.pi * (part - LEVEL) / (1 - LEVEL)))
    for optimizer, peak in zip(optimizers, RATES, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate * peak * shape


def model_inputs(lesson: Lesson) -> dict[str, torch.Tensor]:
    """What the model is given of a lesson."""
    return {"input_ids": lesson.ids, "position_ids": lesson.places, "attention_mask": lesson.attention_mask}


def losses(
    states: torch.Tensor, vocabulary: torch.Tensor, lesson: Lesson, answers: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross-entropy of the `answers` (with the <eos> after them), and of some of the rest of the text.

    Only these tokens go through the vocabulary's matrix, which saves a quarter of the time: every `STRIDE`-th token of a
    text that has answers (another one in each row), every token of one that has none.

    Args:
        states: the model's last hidden states, (text, position, width).
        vocabulary: the matrix that makes logits of them, (token, width).
        lesson: what was shown.
        answers: which of the lesson's answers count, (text, position); the others are left out.
    """
    targets, answers, left_out = lesson.ids[:, 1:], answers[:, 1:], lesson.answers[:, 1:]
    rows, columns = torch.meshgrid(torch.arange(targets.shape[0]), torch.arange(targets.shape[1]), indexing="ij")
    chosen = (rows + columns) % STRIDE == 0 if left_out.any() else torch.ones_like(answers)
    kept = answers | (chosen & (targets != tokens.PAD) & ~left_out)
    found = F.cross_entropy(F.linear(states[:, :-1][kept], vocabulary), targets[kept], reduction="none")
    of_answers = answers[kept]
    return found[of_answers].mean(), found[~of_answers].mean()


def weigh_loss(part: int, answer: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """The loss of one part of a lesson (stories, sums, narrative), as `WEIGHTS` says."""
    whole, share = WEIGHTS[part]
    return whole * answer + share * text if whole else share * text


def train_step(
    model: torch.nn.Module, optimizers: tuple[torch.optim.Optimizer, ...], lesson: tuple[Lesson, ...]
) -> dict[str, float]:
    """One step; the answer losses of stories and sums, and the loss of narrative."""
    model.train()
    model.zero_grad()
    vocabulary, seen = model.get_output_embeddings().weight, {}  # type: ignore[operator]
    for number, (name, part) in enumerate(zip(("stories", "sums", "text"), lesson, strict=True)):
        states = model.get_decoder()(**model_inputs(part)).last_hidden_state  # type: ignore[operator]
        answer, text = losses(states, vocabulary, part, part.answers)
        weigh_loss(number, answer, text).backward()
        seen[name] = float((answer if WEIGHTS[number][0] else text).detach())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return seen
