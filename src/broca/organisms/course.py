"""A training that may be interrupted: steps, rates, checkpoints and looks, with the same weights in the end.

Lessons are drawn by the number of their step, dropout is off, and a checkpoint holds weights, optimisers and the curve:
so a course that was killed goes on from its last checkpoint as if nothing had been.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save

from broca.cache.cache import Progress, silent
from broca.errors import RunError
from broca.storage import Source, read_tensors, write

CHECKPOINT = "checkpoint.safetensors"
POINT = 50
"""Steps whose mean is one point of the curve."""
_PAST = tuple[int, list[dict[str, Any]], list[Any], list[tuple[float, float]]]
"""Steps, curve, looks, and losses and hits since the last point, as a checkpoint has them."""
NOTHING = -100
"""The target where nothing is asked."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one step shows and asks."""

    ids: torch.Tensor
    """(text, position)"""
    targets: torch.Tensor
    """The token expected after each of the last positions, (text, asked position); `NOTHING` where none is."""
    mask: torch.Tensor | None = None
    """(text, position), or (text, 1, position, position) for who sees whom."""
    places: torch.Tensor | None = None
    """Position ids, (text, position)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and at which rates."""

    steps: int
    warmup: int = 50
    level: float = 0.5
    """The part of all steps after which the rates fall, in half a cosine."""
    look: int = 250
    """Steps between two looks at held-out questions; each is a checkpoint too."""
    clip: float = 1.0

    def rate(self, step: int) -> float:
        """Of the peak rates, at this step (from 1)."""
        part = step / self.steps
        falling = 0.5 * (1 + math.cos(math.pi * (part - self.level) / (1 - self.level))) if part > self.level else 1.0
        return min(1.0, step / self.warmup if self.warmup else 1.0) * falling


@dataclass(frozen=True, slots=True)
class Past:
    """How far a course has come."""

    step: int = 0
    curve: tuple[dict[str, float], ...] = ()
    """Loss and the part of targets that were the likeliest token: means since the point before."""
    looks: tuple[dict[str, float], ...] = ()
    recent: tuple[tuple[float, float], ...] = field(default=())
    """Loss and hits since the last point."""


@dataclass(frozen=True, slots=True)
class Course:
    """One training of one model."""

    model: Any
    optimizers: Sequence[torch.optim.Optimizer]
    draw: Callable[[int], Lesson]
    """The lesson of a step, from 1; the same one whenever it is asked for."""
    plan: Plan
    look: Callable[[], Mapping[str, float]]
    """Held-out accuracies of the model as it is."""
    folder: Path
    stamp: str
    """What the training is; a checkpoint of another one is refused."""

    def run(self, *, tell: Callable[[Past], None] = lambda _: None, progress: Progress = silent) -> Past:
        """Every step that is not done yet; the model learns in place.

        Args:
            tell: is given how far it has come at every look: an early report.
            progress: told the steps.

        Raises:
            RunError: if the folder holds a checkpoint of another training, or a damaged one.
        """
        peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        past = self._resume()
        self.model.eval()
        for step in range(past.step + 1, self.plan.steps + 1):
            for optimizer, rates in zip(self.optimizers, peaks, strict=True):
                for group, peak in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = peak * self.plan.rate(step)
            past = self._add_point(past, step, self._step(self.draw(step)))
            if step % self.plan.look == 0 or step == self.plan.steps:
                found = {name: round(value, 4) for name, value in self.look().items()}
                past = replace(past, looks=(*past.looks, {"step": step, **found}))
                self._save(past)
                tell(past)
            progress("training", step, self.plan.steps)
        return past

    def end(self) -> None:
        """Remove the checkpoint, once the result is written."""
        (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def _add_point(self, past: Past, step: int, seen: tuple[float, float]) -> Past:
        recent = (*past.recent, seen)
        if step % POINT and step != self.plan.steps:
            return replace(past, step=step, recent=recent)
        loss, hits = np.mean(recent, axis=0).round(4).tolist()
        return replace(past, step=step, recent=(), curve=(*past.curve, {"step": step, "loss": loss, "right": hits}))

    def _step(self, lesson: Lesson) -> tuple[float, float]:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        logits = target_logits(self.model, lesson)
        asked = lesson.targets != NOTHING
        loss = F.cross_entropy(logits, lesson.targets[asked])
        loss.backward()
        weights = [weight for optimizer in self.optimizers for g in optimizer.param_groups for weight in g["params"]]
        torch.nn.utils.clip_grad_norm_(weights, self.plan.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        hits = (logits.detach().argmax(-1) == lesson.targets[asked]).float().mean()
        return float(loss.detach()), float(hits)

    def _learning(self) -> dict[str, torch.Tensor]:
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def _save(self, past: Past) -> None:
        tensors = {f"weight/{name}": weight.detach() for name, weight in self._learning().items()}
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    tensors[f"state/{number}/{index}/{name}"] = torch.as_tensor(value)
        words = {"stamp": self.stamp, "past": json.dumps([past.step, past.curve, past.looks, past.recent])}
        content = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, words)
        write(self.folder / CHECKPOINT, content)

    def _resume(self) -> Past:
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return Past()
        source = Source(str(path), RunError, "Delete it, and the training begins anew.")
        header, tensors = read_tensors(path, source, framework="pt")
        words = header.metadata
        if words.get("stamp") != self.stamp:
            raise RunError(
                f"{path} belongs to a training with other settings. Repeat those to go on with it, give another directory, "
                "or delete it."
            )
        step, curve, looks, recent = source.words(words.get("past", ""), _PAST)
        try:
            self._restore(tensors)
        except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise source.refusal(f"it lacks what this training saves: {error}") from error
        return Past(step, tuple(curve), tuple(looks), tuple(recent))

    def _restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self._learning().items():
                weight.copy_(tensors[f"weight/{name}"])
        for number, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in tensors.items():
                kind, *rest = key.split("/")
                if kind == "state" and int(rest[0]) == number:
                    state.setdefault(int(rest[1]), {})[rest[2]] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def target_logits(model: Any, lesson: Lesson) -> torch.Tensor:
    """Logits in float32 at the positions that have a target, (target, token)."""
    given = {"attention_mask": lesson.mask, "position_ids": lesson.places}
    shown = {name: value for name, value in given.items() if value is not None}
    width = lesson.targets.shape[1]
    logits = model(input_ids=lesson.ids, use_cache=False, logits_to_keep=width, **shown).logits[:, -width:]
    return logits[lesson.targets != NOTHING].float()


def muon(model: Any, rate: float, others: float) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices of the blocks, AdamW for embeddings, norms and biases."""
    outside = {id(module.weight) for module in (model.get_input_embeddings(), model.get_output_embeddings())}
    outside |= {id(weight) for name, weight in model.named_parameters() if "wpe" in name}
    weights = list(model.parameters())
    inside = [weight for weight in weights if weight.ndim == 2 and id(weight) not in outside]
    rest = [weight for weight in weights if weight.ndim != 2 or id(weight) in outside]
    return (
        torch.optim.Muon(inside, lr=rate, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=others, betas=(0.9, 0.98), weight_decay=0.0),
    )
