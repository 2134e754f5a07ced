"""A model taught to answer questions, of reasoning trees or others: the course, the exam, and the report that stays with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from tokenizers import Tokenizer

from broca.cache.cache import Progress, silent
from broca.items import Tree
from broca.organisms.course import NOTHING, Course, Lesson, Past, Plan, target_logits
from broca.storage import write_json

BATCH = 100
Question = TypeVar("Question")


@dataclass(frozen=True, slots=True)
class Recipe(Generic[Question]):
    """What is taught to which model, and how."""

    command: str
    model: Any
    finish: Callable[[Path], None]
    """Writes the trained model with its tokenizer to a directory."""
    optimizers: Sequence[torch.optim.Optimizer]
    draw: Callable[[int], Lesson]
    """See `broca.organisms.course.Course`."""
    pose: Callable[[Sequence[Question]], Lesson]
    """What is shown and expected of some questions: the answer is all that is asked."""
    asked: Mapping[str, Sequence[Question]]
    """Held-out questions by name; a tenth of them is asked at each look."""
    plan: Plan
    seed: int


@dataclass(frozen=True, slots=True)
class TreeReport:
    """What came of a training, so far."""

    command: str
    seed: int
    steps: int
    """Done."""
    finished: bool
    seconds: float
    """Of this process; a training that was stopped took longer."""
    parameters: int
    curve: tuple[dict[str, float], ...]
    """Step, loss and the part of targets that were the likeliest token: means since the point before."""
    looks: tuple[dict[str, float], ...]
    """Held-out accuracies during training."""
    accuracy: dict[str, float]
    """By kind of question: the part of held-out ones of which the answer is the likeliest token of all."""


def train_and_examine(recipe: Recipe[Question], out: Path, *, progress: Progress = silent) -> TreeReport:
    """Train, write the model to the directory `out`, and examine it; ``training.json`` is there from the first look on.

    Raises:
        RunError: if `out` holds a checkpoint of another training.
    """
    began = time.monotonic()

    def report(past: Past, accuracy: dict[str, float], *, finished: bool = False) -> TreeReport:
        made = TreeReport(
            command=recipe.command,
            seed=recipe.seed,
            steps=past.step,
            finished=finished,
            seconds=round(time.monotonic() - began, 1),
            parameters=sum(weight.numel() for weight in recipe.model.parameters()),
            curve=past.curve,
            looks=past.looks,
            accuracy=accuracy,
        )
        write_json(out / "training.json", asdict(made))
        return made

    def look() -> dict[str, float]:
        return {name: right(recipe, trees[: max(1, len(trees) // 10)]) for name, trees in recipe.asked.items()}

    course = Course(recipe.model, recipe.optimizers, recipe.draw, recipe.plan, look, folder=out, stamp=recipe.command)
    past = course.run(
        tell=lambda past: report(past, {k: v for k, v in past.looks[-1].items() if k != "step"}) and None,
        progress=progress,
    )
    recipe.finish(out)
    made = report(past, {name: right(recipe, trees) for name, trees in recipe.asked.items()}, finished=True)
    course.end()
    return made


def right(recipe: Recipe[Question], asked: Sequence[Question]) -> float:
    """The part of questions of which every token of the answer is the likeliest of the whole vocabulary."""
    parts = [asked[start : start + BATCH] for start in range(0, len(asked), BATCH)]
    return sum(_hits(recipe, part) for part in parts) / len(asked)


@torch.no_grad()
def _hits(recipe: Recipe[Question], some: Sequence[Question]) -> int:
    lesson = recipe.pose(some)
    asked = lesson.targets != NOTHING
    wrong = torch.zeros_like(asked)
    wrong[asked] = target_logits(recipe.model, lesson).argmax(-1) != lesson.targets[asked]
    return int((~wrong.any(1)).sum())


def answer_lesson(
    prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], *, pad: int, device: Any = "cpu"
) -> Lesson:
    """Prompts with their answers behind them, padded on the left; only the answers are asked.

    Args:
        prompts: token ids of each.
        answers: token ids of each.
        pad: the id that fills; it is masked.
        device: where to put the tensors.
    """
    rows = [(*prompt, *answer[:-1]) for prompt, answer in zip(prompts, answers, strict=True)]
    width, asked = max(map(len, rows)), max(map(len, answers))
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    targets = torch.full((len(rows), asked), NOTHING)
    for number, (row, answer) in enumerate(zip(rows, answers, strict=True)):
        ids[number, width - len(row) :] = torch.tensor(row)
        mask[number, width - len(row) :] = 1
        targets[number, asked - len(answer) :] = torch.tensor(answer)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    return Lesson(ids.to(device), targets.to(device), mask.to(device), places.to(device))


def poser(tokenizer: Tokenizer) -> Callable[[Sequence[Tree]], Lesson]:
    """How an organism's own tokenizer, of which token 0 is padding, poses questions."""

    def pose(trees: Sequence[Tree]) -> Lesson:
        prompts = [encoded.ids for encoded in tokenizer.encode_batch([tree.text for tree in trees])]
        answers = [tokenizer.encode(tree.choices[tree.answer], add_special_tokens=False).ids for tree in trees]
        return answer_lesson(prompts, answers, pad=0)

    return pose
