"""What the rules of texts and of decoding ask of the model that they are for; `broca.models.lm.LM` is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from broca.models.force import Forces
from broca.models.tokens import Batch, Side, Tokens


class Subject(Protocol):
    """A model with its tokenizer, which can be shown batches of texts."""

    model: Any
    tokenizer: Any
    forces: Forces
    notes: list[str]

    @property
    def accepts(self) -> Any: ...

    @property
    def context(self) -> int | None: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def pad(self) -> int: ...

    @property
    def vocabulary(self) -> int | None: ...

    def pad_batch(
        self, tokens: Sequence[Tokens], index: Sequence[int] | None = None, *, side: Side = "left"
    ) -> Batch: ...

    def forward(self, batch: Batch) -> Tensor: ...

    def picture_inputs(self, batch: Batch) -> dict[str, Tensor]: ...
