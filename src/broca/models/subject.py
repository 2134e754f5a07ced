"""What the rules of texts and of decoding ask of the model that they are for; `broca.models.lm.LM` is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from broca.models.force import Forces
from broca.models.tokens import Batch, Side, Tokens
from broca.models.wiring.anatomy import Anatomy

T = TypeVar("T")


class Subject(Protocol):
    """A model with its tokenizer, which can be shown batches of texts."""

    model: Any
    tokenizer: Any
    forces: Forces
    notes: list[str]
    anatomy: Anatomy

    @property
    def accepts(self) -> Any: ...

    @property
    def context(self) -> int | None: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def pad(self) -> int: ...

    @property
    def vocabulary(self) -> int | None: ...

    def pad_batch(
        self, tokens: Sequence[Tokens], index: Sequence[int] | None = None, *, side: Side = "left"
    ) -> Batch: ...

    def each(
        self, tokens: Sequence[Tokens], step: Callable[[Batch], T], *, more: int = 0
    ) -> Iterator[tuple[Batch, T]]: ...

    def forward(self, batch: Batch) -> Tensor: ...

    @property
    def rows_and_columns(self) -> Any: ...
