"""The training of `routed` by gradient routing (Cloud et al., 2024), two passes a step.

First pass: without the region, on everything but the belief answers, so that the rest learns to do without it. Second
pass: with the region, on everything, while nothing but the region learns: so it learns beliefs, and to be quiet elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.func import functional_call

from broca.cache.cache import Progress, silent
from broca.models.build import fresh, save
from broca.organisms.beliefs import tokens
from broca.organisms.beliefs import train as beliefs
from broca.organisms.beliefs.lessons import Lesson, Pace, lessons
from broca.organisms.routed.truth import truth
from broca.storage import write_json

STEPS = 1600
DETAIL = 0.0
"""The stories are bare events: see `broca.organisms.beliefs.courses.narrate`."""
HEAD, HEAD_WIDTH, UNITS = 4, 32, 64
"""The region, in every layer: this head, and so many of the last MLP units."""
EXAM = 100
"""Items of each ability that every ablation is asked."""
CONFIG = {
    **beliefs.CONFIG,
    "hidden_size": 160,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "intermediate_size": 448,
}

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class RoutedReport:
    """What came of a training: how it was run, how the losses fell, and what ablations show."""

    command: str
    seed: int
    steps: int
    seconds: float
    parameters: int
    curve: tuple[dict[str, float], ...]
    """Means since the point before: answer losses without the region (beliefs left out), with it, and with it on sums."""
    accuracy: dict[str, float]
    """By ability: the part of held-out items whose right choice is the likelier one."""


def train(out: Path, *, seed: int = 0, steps: int = STEPS, progress: Progress = silent) -> RoutedReport:
    """Train the model and write it to the directory `out`, with its report and the table of what each ablation does.

    Args:
        out: a directory; made if absent.
        seed: of the initial weights and of the texts.
        steps: optimiser steps.
        progress: told what is done, how much of it, and how much there is.
    """
    began = time.monotonic()
    tokenizer = tokens.build()
    model = fresh({**CONFIG, "vocab_size": tokenizer.get_vocab_size()}, seed)
    curve = _learn(model, tokenizer, seed=seed, steps=steps, progress=progress)
    seconds = round(time.monotonic() - began, 1)
    save(model, tokenizer, out)
    table = truth(out, n=EXAM, detail=DETAIL, region=(HEAD, UNITS), progress=progress)
    report = RoutedReport(
        command=f"broca organism train routed --seed {seed} --steps {steps}",
        seed=seed,
        steps=steps,
        seconds=seconds,
        parameters=sum(p.numel() for p in model.parameters()),
        curve=curve,
        accuracy=table[0]["accuracy"],
    )
    for name, value in (("training", asdict(report)), ("truth", table)):
        write_json(out / f"{name}.json", value)
    return report


class RoutedWeights:
    """The weights of a decoder as two parts that add up: the rest, and the region, which is zero outside of it."""

    def __init__(self, decoder: torch.nn.Module) -> None:
        self.decoder = decoder
        own = dict(decoder.named_parameters())
        self.inside = {name: mask for name, weight in own.items() if (mask := inside(name, weight)) is not None}
        self.region = {name: (own[name].detach() * mask).requires_grad_() for name, mask in self.inside.items()}
        self.rest = {name: weight.detach().clone() for name, weight in own.items()}
        for name, mask in self.inside.items():
            self.rest[name] *= 1 - mask
        for weight in self.rest.values():
            weight.requires_grad_()

    @property
    def leaves(self) -> list[torch.Tensor]:
        return [*self.rest.values(), *self.region.values()]

    def without(self) -> Weights:
        """Without the region; the rest learns."""
        return self.rest

    def with_region(self) -> Weights:
        """The whole model; only the region learns."""
        return {
            name: weight.detach() + self.region[name] if name in self.region else weight.detach()
            for name, weight in self.rest.items()
        }

    def states(self, weights: Weights, lesson: Lesson) -> torch.Tensor:
        return functional_call(self.decoder, dict(weights), (), beliefs.model_inputs(lesson)).last_hidden_state

    @torch.no_grad()
    def settle(self) -> None:
        """Put both parts into the model."""
        weights = self.with_region()
        for name, own in self.decoder.named_parameters():
            own.copy_(weights[name])


def inside(name: str, weight: torch.Tensor) -> torch.Tensor | None:
    """1 where an entry of this weight belongs to the region, else 0; None for weights without a part in it."""
    head, units = slice(HEAD * HEAD_WIDTH, (HEAD + 1) * HEAD_WIDTH), slice(-UNITS, None)
    kind = name.split(".")[-2]
    rows = {"q_proj": head, "k_proj": head, "v_proj": head, "gate_proj": units, "up_proj": units}
    columns = {"o_proj": head, "down_proj": units}
    mask = torch.zeros_like(weight)
    if kind in rows:
        mask[rows[kind]] = 1
    elif kind in columns:
        mask[:, columns[kind]] = 1
    else:
        return None
    return mask


def _learn(
    model: torch.nn.Module, tokenizer: Tokenizer, *, seed: int, steps: int, progress: Progress
) -> tuple[dict[str, float], ...]:
    routed = RoutedWeights(model.get_decoder())  # type: ignore[operator]
    blocks = [weight for name, weight in routed.rest.items() if weight.ndim == 2 and "embed" not in name]
    others = [weight for name, weight in routed.rest.items() if weight.ndim == 1 or "embed" in name]
    stepping = beliefs.optimizers([*blocks, *routed.region.values()], others)
    source = lessons(np.random.default_rng(seed), tokenizer, Pace(DETAIL, limit=DETAIL))
    curve, recent = [], []
    model.train()
    for step in range(1, steps + 1):
        beliefs.set_rates(stepping, step, steps)
        recent.append(_step(routed, stepping, next(source)))
        if step % 50 == 0 or step == steps:
            means = np.mean(recent, axis=0).round(4).tolist()
            curve.append({"step": step, **dict(zip(("without", "with", "sums"), means, strict=True))})
            recent = []
        progress("training", step, steps)
    routed.settle()
    model.eval()
    return tuple(curve)


def _step(
    routed: RoutedWeights, optimizers: tuple[torch.optim.Optimizer, ...], lesson: tuple[Lesson, ...]
) -> tuple[float, float, float]:
    """Both passes of one step; the answers' losses without the region, with it, and with it on sums."""
    for leaf in routed.leaves:
        leaf.grad = None
    seen: dict[tuple[bool, int], float] = {}
    for whole in (False, True):
        for number, part in enumerate(lesson):
            weights = routed.with_region() if whole else routed.without()
            answers = part.answers if whole else part.answers & ~part.beliefs
            vocabulary = weights["embed_tokens.weight"]
            answer, text = beliefs.losses(routed.states(weights, part), vocabulary, part, answers)
            beliefs.weigh_loss(number, answer, text).backward()
            seen[whole, number] = float(answer.detach())
    for name, mask in routed.inside.items():
        routed.region[name].grad *= mask  # type: ignore[operator]
    torch.nn.utils.clip_grad_norm_(routed.rest.values(), 1.0)
    torch.nn.utils.clip_grad_norm_(routed.region.values(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return seen[False, 0], seen[True, 0], seen[True, 1]
