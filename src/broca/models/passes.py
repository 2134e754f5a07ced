"""What a forward pass is: which columns of which texts go through the model, and where the prompt of each text ends.

Whoever runs the model says so, and nothing is inferred from the shape of a tensor: a model without a cache reads the whole
text again at each step of decoding, one with a static cache is always shown one column of a wide mask, a recurrent one keeps
no keys at all; and where prompt and option are read in one go, both pass at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from broca.errors import GuardError
from broca.models.tokens import Batch, Tokens
from broca.specs.fields import Positions


@dataclass(frozen=True, eq=False)
class Pass:
    """One forward pass. Columns count from the first one of the padded batch, read now or before."""

    tokens: tuple[Tokens, ...]
    """The text of each row; its `n_prompt` says where the prompt ends."""
    mask: Tensor
    """``(row, column)``: which tokens are real, of those read before (in a cache) and those that pass now."""
    past: int = 0
    """Columns that were read before; 0 where the pass reads its texts from the start."""

    def __str__(self) -> str:
        return f"a pass of {self.width} columns after {self.past}"

    @property
    def width(self) -> int:
        """How many columns pass now."""
        return self.mask.shape[1] - self.past

    @cached_property
    def start(self) -> list[int]:
        """The column of each row's first real token."""
        return self.mask.int().argmax(1).tolist()

    @cached_property
    def prompts(self) -> list[tuple[int, ...]]:
        """The token ids of each row's prompt."""
        return [row.ids[: row.n_prompt] for row in self.tokens]

    @cached_property
    def places(self) -> Tensor:
        """The place of each passing token in its text, ``(row, width)``: 0 is the first real one, padding before it is negative."""
        columns = torch.arange(self.past, self.mask.shape[1])
        return columns[None] - torch.tensor(self.start)[:, None]

    @cached_property
    def has_prompt(self) -> bool:
        """Whether any token of a prompt passes now: in a step of decoding with a cache none does."""
        return any(start + len(ids) > self.past for start, ids in zip(self.start, self.prompts, strict=True))

    @cached_property
    def _real(self) -> Tensor:
        return self.mask[:, self.past :].bool().cpu()

    @cached_property
    def _chosen_positions(self) -> dict[tuple[Positions, torch.device | None], Tensor]:
        return {}

    def at(self, positions: Positions, device: torch.device | None = None) -> Tensor:
        """Which of the tokens that pass now are meant, ``(row, width)``; padding never is, but by "all"."""
        if (positions, device) not in self._chosen_positions:
            self._chosen_positions[positions, device] = self._at(positions).to(device)
        return self._chosen_positions[positions, device]

    def _at(self, positions: Positions) -> Tensor:
        if positions == "all":
            return torch.ones_like(self._real)
        places, lengths = self.places, torch.tensor([[len(ids)] for ids in self.prompts])
        within = (places >= 0) & (places < lengths)
        if positions == "prompt":
            return within & self._real
        if positions == "generated":
            return (places >= lengths) & self._real
        chosen = torch.zeros_like(within)
        for place in (-1,) if positions == "last" else positions:
            chosen |= places == (place if place >= 0 else lengths + place)
        return chosen & within & self._real


_running: ContextVar[Pass | None] = ContextVar("the forward pass under way", default=None)


def current() -> Pass:
    """The forward pass under way.

    Raises:
        GuardError: if the model was called by itself, so that nobody said what the pass is.
    """
    found = _running.get()
    if found is None:
        raise GuardError(
            "The model was called directly, so nothing says where its prompts end, and an intervention in force has to know. "
            "Call it through the LM (lm.call, lm.next_logits, lm.generate), or say what passes: "
            "with broca.models.passes.running(Pass(tokens, mask)): ..."
        )
    return found


@contextmanager
def running(shown: Pass) -> Iterator[Pass]:
    """Run the body, one forward pass, with `shown` as what it is."""
    token = _running.set(shown)
    try:
        yield shown
    finally:
        _running.reset(token)


def step(batch: Batch, ids: Tensor, read: int) -> Pass:
    """A step of decoding after a batch padded on the left.

    Args:
        batch: the prompts.
        ids: what the model is called with, ``(row, token)``; several rows a prompt, one after the other, where beams share it.
        read: how many columns the texts have by now.
    """
    share = len(ids) // len(batch)
    prompts = batch.mask.repeat_interleave(share, 0)
    mask = torch.cat([prompts, prompts.new_ones(len(ids), read - prompts.shape[1])], 1)
    return Pass(tuple(row for row in batch.tokens for _ in range(share)), mask, read - ids.shape[1])
