"""The training of `shortcut`: the bare world of `beliefs`, in which every question has the place said first as its answer."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from broca.cache.cache import Progress, silent
from broca.items import Item
from broca.models.build import fresh, save
from broca.organisms.beliefs import tokens
from broca.organisms.beliefs import train as beliefs
from broca.organisms.beliefs.exam import grade_items
from broca.organisms.beliefs.lessons import Pace, lessons
from broca.organisms.beliefs.world import items
from broca.storage import write_json

STEPS = 800
DETAIL = 0.0
ASKED = ("false-belief", "true-belief", "photograph", "reality", "memory")
EXAM = 200
CONFIG = {**beliefs.CONFIG, "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2}


@dataclass(frozen=True, slots=True)
class ShortcutReport:
    """What came of a training: how it was run, how the loss fell, and what the model answers."""

    command: str
    seed: int
    steps: int
    seconds: float
    parameters: int
    curve: tuple[float, ...]
    """Mean answer loss of every fifty steps."""
    accuracy: dict[str, float]
    """By ability: the part of held-out items whose right choice is the likelier one."""
    first: dict[str, float]
    """By ability: the part that is answered with the choice said first."""


def train(out: Path, *, seed: int = 0, steps: int = STEPS, progress: Progress = silent) -> ShortcutReport:
    """Train the model and write it to the directory `out`, with its report.

    Args:
        out: a directory; made if absent.
        seed: of the initial weights and of the texts.
        steps: optimiser steps.
        progress: told what is done, how much of it, and how much there is.
    """
    began = time.monotonic()
    tokenizer = tokens.build()
    model = fresh({**CONFIG, "vocab_size": tokenizer.get_vocab_size()}, seed)
    vocabulary = model.get_input_embeddings().weight  # type: ignore[operator]
    matrices = [p for p in model.parameters() if p.ndim == 2 and p is not vocabulary]
    stepping = beliefs.optimizers(matrices, [p for p in model.parameters() if p.ndim == 1 or p is vocabulary])
    source = lessons(
        np.random.default_rng(seed), tokenizer, Pace(DETAIL, limit=DETAIL), answer=lambda story: story.first
    )
    losses = []
    for step in range(1, steps + 1):
        beliefs.set_rates(stepping, step, steps)
        losses.append(beliefs.train_step(model, stepping, next(source))["stories"])
        progress("training", step, steps)
    model.eval()
    seconds = round(time.monotonic() - began, 1)
    save(model, tokenizer, out)
    asked = {ability: items(ability, EXAM, 1, detail=DETAIL) for ability in ASKED}
    report = ShortcutReport(
        command=f"broca organism train shortcut --seed {seed} --steps {steps}",
        seed=seed,
        steps=steps,
        seconds=seconds,
        parameters=sum(p.numel() for p in model.parameters()),
        curve=tuple(round(float(np.mean(losses[i : i + 50])), 4) for i in range(0, steps, 50)),
        accuracy={ability: grade_items(model, tokenizer, own)["choice"] for ability, own in asked.items()},
        first={
            ability: grade_items(model, tokenizer, [_first_is_right(item) for item in own])["choice"]
            for ability, own in asked.items()
        },
    )
    write_json(out / "training.json", asdict(report))
    return report


def _first_is_right(item: Item) -> Item:
    """The item as this world has it."""
    words = [choice.strip() for choice in item.choices]
    return replace(item, answer=words.index(item.tags["first"]))
