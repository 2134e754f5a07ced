"""What a forward pass is called with: ids, mask, positions, and the pictures of a batch as the model takes them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from broca.errors import GuardError
from broca.models.subject import Subject
from broca.models.tokens import Batch


def arguments(lm: Subject, batch: Batch, **more: Any) -> dict[str, Any]:
    """The arguments of the model's own forward for a batch.

    Args:
        lm: the model.
        batch: the texts.
        more: further arguments; they stand above what is given otherwise.

    Raises:
        GuardError: if the pictures of a batch were lost on the way.
    """
    given: dict[str, Any] = {"position_ids": batch.positions} if _counts_positions(lm) else {}
    if batch.has_pictures:
        onward = "past_key_values" in more
        if not batch.beside and not onward:
            raise GuardError("These texts have pictures, and this step works on words alone. Leave the pictures out.")
        given = {**_positions_with_pictures(lm, batch, onward=onward), **picture_inputs(lm, batch)}
    return {"input_ids": batch.ids, "attention_mask": batch.mask, "use_cache": False, **given, **more}


def picture_inputs(lm: Subject, batch: Batch) -> dict[str, Tensor]:
    """The pictures of a batch as the model takes them, in its dtype; nothing where there are none."""
    return {k: v.to(lm.dtype) if v.is_floating_point() else v for k, v in batch.beside.items()}


def _counts_positions(lm: Subject) -> bool:
    """Whether the model is told position ids, counted from 0."""
    return "position_ids" in lm.accepts and lm.anatomy.positions


def _positions_with_pictures(lm: Subject, batch: Batch, *, onward: bool) -> dict[str, Tensor]:
    """Positions of a batch with pictures.

    A model that counts them in rows and columns does so itself, and keeps by how much the tokens that follow lag behind.
    """
    if not _counts_positions(lm):
        return {}
    if lm.rows_and_columns is None:
        return {"position_ids": batch.positions}
    lag = getattr(lm.rows_and_columns, "rope_deltas", None)
    if not onward or lag is None:
        return {}
    return {"position_ids": batch.positions + lag.repeat_interleave(len(batch) // len(lag), 0).to(lm.device)}
