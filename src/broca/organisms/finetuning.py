"""Any Hugging Face model taught a task of reasoning trees, as Hou et al. (2023) taught GPT-2 the k-th smallest number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from broca.cache.cache import Json, Progress, silent
from broca.errors import StimulusError
from broca.items import Tree, fingerprint
from broca.models.build import save
from broca.models.lm import LM
from broca.models.questions import split
from broca.models.tune import Part, merge_adapters, trainable
from broca.organisms.course import Lesson, Plan
from broca.organisms.training import Recipe, TreeReport, answer_lesson, train_and_examine
from broca.stimuli.trees import trees

STEPS, BATCH, LOOK = 15_000, 128, 250
RATES = {"full": 2e-5, "attention": 2e-5, "mlp": 2e-5, "norm": 2e-4, "lora": 2e-4}
"""Peak learning rates of AdamW; 2e-5 is the published one."""
WARMUP, DECAY = 500, 1e-3
EXAM = 1000
MADE = ("kth", "rules")
"""Tasks of which there is no end; of others a fifth of the groups is held out."""
_HELD_OUT, _TRAIN = 1_000_003, 2_000_000


def tune(
    task: str,
    model: str,
    out: Path,
    *,
    part: Part = "full",
    seed: int = 0,
    steps: int = STEPS,
    batch: int = BATCH,
    rate: float | None = None,
    look: int = LOOK,
    options: Mapping[str, Json] | None = None,
    progress: Progress = silent,
) -> TreeReport:
    """Teach a model a task, and write it to `out` with a report; a training that was stopped goes on.

    Cross-entropy of the answer's tokens alone, no dropout, float32. The same settings give the same weights on the same
    machine and number of threads.

    Args:
        task: a name of `broca.stimuli.trees.TREES`, or a file of trees.
        model: directory, hub id or shipped organism; left as it is.
        out: a directory; made if absent.
        part: what may learn.
        seed: of the order of questions.
        steps: optimiser steps.
        batch: questions a step.
        rate: peak learning rate; as `RATES` says when None.
        look: steps between two looks at held-out questions; each writes a checkpoint and the report so far.
        options: of the task; ``n`` and ``seed`` are set here where questions are made.
        progress: told what is done, how much of it, and how much there is.

    Raises:
        ModelError: if the model cannot be loaded, or has nothing to train in `part`.
        StimulusError: if the task's file is malformed or too small, or a question does not fit the model.
        RunError: if `out` holds a checkpoint of another training.
    """
    lm = LM.load(model, dtype="float32")
    draw, held = _source(task, lm, dict(options or {}), seed, batch)
    learner = trainable(lm.model, lm.anatomy, part, seed=seed)
    weights = [weight for weight in learner.parameters() if weight.requires_grad]
    rate = RATES[part] if rate is None else rate
    settings = {"part": part, "seed": seed, "steps": steps, "batch": batch, "rate": rate, "look": look}
    asked = " ".join(f"--options.{name} {value}" for name, value in (options or {}).items())
    flags = " ".join(f"--{name} {value}" for name, value in settings.items())
    recipe = Recipe(
        command=f"broca organism train {task} --model {model} {flags} {asked}".strip(),
        model=learner,
        finish=lambda path: save(merge_adapters(learner), lm.tokenizer, path),
        optimizers=[torch.optim.AdamW(weights, lr=rate, weight_decay=DECAY)],
        draw=lambda step: _tree_lesson(lm, draw(step)),
        pose=lambda some: _tree_lesson(lm, some),
        asked={task if task in MADE else Path(task).stem: held},
        plan=Plan(steps, warmup=min(WARMUP, steps // 10), level=0.8, look=look),
        seed=seed,
    )
    return train_and_examine(recipe, out, progress=progress)


def _source(
    task: str, lm: LM, options: dict[str, Json], seed: int, batch: int
) -> tuple[Callable[[int], Sequence[Tree]], Sequence[Tree]]:
    """The questions of each step, and those held out."""
    if task in MADE:
        for name in ("n", "seed"):
            if name in options:
                raise StimulusError(f"Option {name!r} of {task!r} is set by the training. Leave it out.")

        def make_trees(n: int, at: int) -> tuple[Tree, ...]:
            return trees(task, tokenizer=lm.tokenizer, n=n, seed=at, **options)

        return lambda step: make_trees(batch, _TRAIN * (seed + 1) + step), make_trees(EXAM, _HELD_OUT)
    found = trees(task, **options)
    held = [tree for tree in found if int(fingerprint(tree.cluster), 16) % 5 == 0]
    rest = [tree for tree in found if int(fingerprint(tree.cluster), 16) % 5]
    if not held or not rest:
        raise StimulusError(
            f"{task} has {len({tree.cluster for tree in found})} groups, too few to hold a fifth of them out. Give more."
        )
    return lambda step: [rest[i] for i in np.random.default_rng([seed, step]).integers(len(rest), size=batch)], held


def _tree_lesson(lm: LM, some: Sequence[Tree]) -> Lesson:
    """Questions in tokens. An answer that would run into the last word of its prompt is tokenised by itself."""
    answers = [tree.choices[tree.answer] for tree in some]
    if any(tree.text[-1].isalnum() and answer[0].isalnum() for tree, answer in zip(some, answers, strict=True)):
        prompts = [list(tokens.ids) for tokens in lm.tokenize([tree.text for tree in some])]
        after = [list(lm.tokenizer(answer, add_special_tokens=False)["input_ids"]) for answer in answers]
    else:
        cut = split(lm, [tree.text for tree in some], [(answer,) for answer in answers], names=[t.id for t in some])
        prompts, after = [list(one.shared.ids) for one in cut], [list(one.options[0]) for one in cut]
    return answer_lesson(prompts, after, pad=lm.pad, device=lm.device)
