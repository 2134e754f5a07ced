"""A pass over samples that squares each one's gradients and adds them up: one sample at a time, or a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from broca.cache.cache import Draft
from broca.capture.objectives import Objective, Row, coefficients
from broca.errors import GuardError, StatisticsError
from broca.models.hooks import take_gradients, tap_modules, watch_gradient
from broca.models.limits import pads
from broca.models.lm import LM
from broca.models.tokens import Batch, Tokens, pad_tokens
from broca.models.weight_matrices import Matrix
from broca.specs.fields import Score

_CELLS = 2**20
"""Per-sample gradients are made in blocks of so many numbers, which stay in a cache until they are squared."""


@dataclass
class Sums:
    """Sums over samples, by parameter; two halves of the samples are kept apart where there are two entries."""

    squares: tuple[dict[str, Tensor], ...]
    sizes: tuple[dict[str, Tensor], ...]
    """Of |g|; empty where no score asks for them."""
    inputs: dict[str, Tensor]
    """Of the squares of what goes into a module, ``(column,)``, by the module's path, in float64."""
    n: list[int] = field(default_factory=lambda: [0, 0])
    """Samples of each half."""

    def score(self, matrix: Matrix, weight: Tensor, kind: Score, half: int | None = None) -> Tensor:
        """Scores of a matrix, ``(row, column)`` in the sums' dtype, of all samples or of one half.

        Args:
            matrix: which one.
            weight: its parameter.
            kind: of the score.
            half: 0 or 1; None for all samples.
        """
        of = self.squares if kind in ("squared-gradient", "squared-gradient-weight") else self.sizes
        w = matrix.of(weight.detach())
        if kind == "activation-weight":
            return w.float().abs() * self.inputs[matrix.module].sqrt().to(w.device, torch.float32)
        parts = of if half is None else of[half : half + 1]
        total = matrix.of(parts[0][matrix.parameter])
        for more in parts[1:]:
            total = total + matrix.of(more[matrix.parameter])
        w = w.to(total.device, total.dtype)
        match kind:
            case "gradient-weight":
                return total * w.abs()
            case "squared-gradient-weight":
                return total * w.square()
        return total


@dataclass
class Work:
    """A pass over the samples: what is summed, and what the hooks need to know of the sample at hand."""

    lm: LM
    objective: Objective
    matrices: Sequence[Matrix]
    sums: Sums
    half: int = 0
    weight: float = 1.0
    mask: Tensor | None = None
    units: list[tuple[float, tuple[tuple[int, int, float], ...]]] = field(default_factory=list)
    """What is squared: its weight in the sum, and of each of its rows the place in the batch, the tokens, the slope."""
    reached: set[str] = field(default_factory=set)

    # -- one sample at a time --------------------------------------------------------------------------------------

    def one(self, half: int, rows: Sequence[tuple[Row, ...]], index: Sequence[int]) -> None:
        """Add one sample: its rows in one pass, or each alone where padding moves what the model computes."""
        self.half = half
        passes = [rows] if pads(self.lm, "right") else [[(row,)] for sample in rows for row in sample]
        with torch.enable_grad():
            logprobs, lengths = (
                torch.cat(each) for each in zip(*(self.price_rows(p, index) for p in passes), strict=True)
            )
            terms = self.objective.terms(logprobs, lengths)
            for at, (weight, value) in enumerate(terms):
                self.weight = float(weight)
                self.reached.clear()
                value.backward(retain_graph=at + 1 < len(terms))
                self.assert_reached()

    @contextmanager
    def accumulating(self) -> Iterator[None]:
        """Run the body with a hook at each parameter that takes its gradient and leaves none."""
        with take_gradients(self.lm.model, (m.parameter for m in self.matrices), self.add):
            yield

    def add(self, path: str, gradient: Tensor) -> None:
        """Add one gradient's square, and its size where that is asked for."""
        self.reached.add(path)
        self._add(path, gradient, self.weight, slice(None))

    def _add(self, path: str, gradient: Tensor, weight: float, rows: slice) -> None:
        for kept, square in ((self.sums.squares, True), (self.sums.sizes, False)):
            if kept:
                into = kept[self.half][path][rows]
                g = gradient.to(into.device, into.dtype)
                if square and into.dtype == torch.float16:
                    # published sums round twice, once after the square: a fused step would round once
                    into.add_(g.square(), alpha=weight)
                elif square:
                    into.addcmul_(g, g, value=weight)
                else:
                    into.add_(g.abs(), alpha=weight)

    def assert_reached(self) -> None:
        missing = {m.parameter for m in self.matrices if m.expert is None} - self.reached
        if missing:
            raise GuardError(
                f"{len(missing)} parameters got no gradient ({', '.join(sorted(missing)[:3])}): the objective does not depend on "
                "them on this sample, and their scores would be no measurement. Leave these matrices out."
            )

    # -- many samples at a time ------------------------------------------------------------------------------------

    def batch(self, half: int, rows: Sequence[tuple[Row, ...]], index: Sequence[int]) -> None:
        """Add a batch of samples with as many rows each."""
        self.half = half
        self.reached.clear()
        with torch.enable_grad():
            logprobs, lengths = self.price_rows(rows, index)
            self._units(logprobs.detach(), lengths, [[len(row.ids) for row in sample] for sample in rows])
            logprobs.sum().backward()
        self.assert_reached()

    def _units(self, logprobs: Tensor, lengths: Tensor, tokens: Sequence[Sequence[int]]) -> None:
        """What is squared: each term of each sample, as a sum over the sample's rows."""
        self.units, first = [], 0
        shape = len(tokens), -1
        for own, long, sizes in zip(logprobs.view(shape), lengths.view(shape), tokens, strict=True):
            slopes, weights = coefficients(self.objective, own, long)
            rows = range(first, first + len(sizes))
            self.units += [
                (weight, tuple(zip(rows, sizes, slope, strict=True)))
                for weight, slope in zip(weights.tolist(), slopes.tolist(), strict=True)
            ]
            first += len(sizes)

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Run the body with what each module is given kept until the gradient of what it gives comes back."""
        embeddings = self.lm.model.get_input_embeddings()
        start = next(name for name, module in self.lm.model.named_modules() if module is embeddings)

        def watch(parameter: str) -> Callable[[nn.Module, Any, Tensor], None]:
            def see(module: nn.Module, args: Any, output: Tensor) -> None:
                given = args[0].detach()
                watch_gradient(output, lambda g: self.from_outer(parameter, module, given, g))

            return see

        seen = {m.module: watch(m.parameter) for m in self.matrices}
        with tap_modules(self.lm.model, after={start: _start_graph, **seen}):
            yield

    def from_outer(self, path: str, module: nn.Module, given: Tensor, gradient: Tensor) -> None:
        """Add what the tokens' inputs and output gradients make of each unit: ``G = sum_t g_t x_t^T``, squared."""
        if path in self.reached:
            raise GuardError(
                f"{path} is used twice in one pass, so a batch cannot be taken apart there. Use mode='single'."
            )
        self.reached.add(path)
        assert self.mask is not None
        x, g = (t.reshape(*self.mask.shape, -1) for t in (given, gradient))
        left, right = (g, x) if isinstance(module, nn.Linear) else (x, g)
        # Sequences are padded on the right, so the tokens of a row are its first ones: no product with a pad.
        units = []
        for weight, rows in self.units:
            tall = [(left[row, :n] * slope, right[row, :n]) for row, n, slope in rows]
            a, b = tall[0] if len(tall) == 1 else (torch.cat(side) for side in zip(*tall, strict=True))
            units.append((weight, a, b))
        block = max(1, _CELLS // right.shape[-1])
        for start in range(0, left.shape[-1], block):
            own = slice(start, start + block)
            for weight, a, b in units:
                self._add(path, a[:, own].T @ b, weight, own)

    # -- both ------------------------------------------------------------------------------------------------------

    def price_rows(self, rows: Sequence[tuple[Row, ...]], index: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Summed log-probabilities of all rows, sample by sample, with a graph; and how many tokens each prices."""
        every = [row for sample in rows for row in sample]
        batch = pad_tokens(
            [Tokens(r.ids, "", prompt=r.start) for r in every],
            range(len(every)),
            self.lm.pad,
            side="right",
            device=self.lm.device,
        )
        self.mask = batch.mask
        logits = _logits(self.lm, batch)
        values = torch.stack([_logprob(logits[i], row) for i, row in enumerate(every)])
        if not torch.isfinite(values).all():
            raise StatisticsError(
                f"The log-probability of sample {index[0]} (or one of the {len(index) - 1} after it) is not finite: the model "
                "overflows in this dtype. Load it in float32 or bfloat16, or leave the text out."
            )
        return values, torch.tensor([row.n for row in every], device=values.device)

    @contextmanager
    def seeing_inputs(self) -> Iterator[None]:
        """Run the body with the squares of what goes into each module summed."""

        def look(path: str) -> Callable[[nn.Module, Any], None]:
            def see(_m: nn.Module, args: Any) -> None:
                assert self.mask is not None
                x = args[0].detach().reshape(*self.mask.shape, -1)
                real = self.mask.to(x.device).bool()
                self.sums.inputs[path] += x[real].double().square().sum(0).cpu()

            return see

        with tap_modules(self.lm.model, before={path: look(path) for path in self.sums.inputs}):
            yield

    def _parts(self) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        """All sums, by a name of each."""
        for name, parts in (("squares", self.sums.squares), ("sizes", self.sums.sizes), ("inputs", [self.sums.inputs])):
            yield from ((f"{name}.{i}", part) for i, part in enumerate(parts))

    def state(self, done: int) -> dict[str, np.ndarray]:
        """All that another process needs to go on after `done` samples."""
        found = {"done": np.array([done, *self.sums.n])}
        for name, part in self._parts():
            found |= {f"{name}.{path}": tensor.cpu().numpy() for path, tensor in part.items()}
        return found

    def clear_sums(self) -> None:
        """Forget all sums."""
        for _, part in self._parts():
            for tensor in part.values():
                tensor.zero_()
        self.sums.n = [0] * len(self.sums.n)

    def resume_draft(self, draft: Draft | None) -> int:
        """Take up what was left; how many samples are done."""
        left = draft.load() if draft is not None else None
        if left is None:
            return 0
        for name, part in self._parts():
            for path, tensor in part.items():
                tensor.copy_(torch.from_numpy(np.array(left[f"{name}.{path}"])))
        done, *self.sums.n = (int(value) for value in left["done"])
        return done


def _logits(lm: LM, batch: Batch) -> Tensor:
    """Next-token logits at every position, with a graph."""
    return lm.run(batch).logits


def _logprob(logits: Tensor, row: Row) -> Tensor:
    """Summed log-probability of a row's priced tokens, ``(token, vocabulary)`` of logits given."""
    wide = logits[row.start - 1 : len(row.ids) - 1]
    wide = wide if wide.dtype == torch.float64 else wide.float()
    ids = torch.tensor(row.ids[row.start :], device=logits.device)
    return wide.log_softmax(-1).gather(1, ids[:, None]).sum()


def _start_graph(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
    return output.detach().requires_grad_()
