"""Work in batches that fit into memory: where one does not, it is halved, said once, and the work goes on.

A GPU says so by an error of its own; on a CPU torch raises a plain RuntimeError, and NumPy and Python a MemoryError.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from broca.errors import BrocaError

A = TypeVar("A")
B = TypeVar("B")

_log = logging.getLogger(__name__)

INCAPABLE = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What a model raises that cannot do what is tried of it. A failed allocation is among them: see `is_out_of_memory`."""

_SIGNS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""In what torch says when it is refused memory."""


LIMIT = 1 << 28
"""Bytes that a batch may keep at once, where the caller knows what a token takes."""
GRAPH = 16
"""Numbers that a block keeps of a token for its backward pass, in widths of the stream: its parts, and an MLP of three or four widths."""


def batch_within(size: int, longest: int, per_token: float, *, limit: int = LIMIT) -> int:
    """Texts a batch: `size`, or as many as keep within a limit; at least one.

    Args:
        size: texts at most.
        longest: tokens of the longest text.
        per_token: bytes that are kept of each token.
        limit: bytes of all of them.
    """
    return max(1, min(size, int(limit / max(1.0, per_token * longest))))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, is an allocation that failed, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS):
        return True
    return error.__cause__ is not None and not isinstance(error, BrocaError) and is_out_of_memory(error.__cause__)


def halving(
    batches: Sequence[tuple[int, ...]],
    step: Callable[[tuple[int, ...]], B],
    *,
    shrink: Callable[[int], None],
    what: Callable[[int], str],
) -> Iterator[tuple[tuple[int, ...], B]]:
    """Each batch with what `step` makes of it; where memory runs out, it and all that follow are cut to half its size.

    Args:
        batches: rows that share one.
        step: what is done with one; it must leave nothing behind when it raises.
        shrink: told of the new size.
        what: the row that does not fit alone, in words.

    Raises:
        BrocaError: if a single row does not fit.
    """
    waiting = list(batches)
    while waiting:
        rows = waiting[0]
        try:
            result = step(rows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(rows) == 1:
                raise BrocaError(
                    f"Out of memory on {what(rows[0])}. Use a shorter text, a smaller dtype or model, or a device_map that spreads it."
                ) from error
            size = len(rows) // 2
        else:
            del waiting[0]
            yield rows, result
            continue
        # Outside the handler: until it ends, the traceback holds what the failed step had made.
        release()
        shrink(size)
        waiting = [part for other in waiting for part in _cut(other, size)]


def in_parts(rows: Sequence[A], step: Callable[[Sequence[A]], Sequence[B]], *, size: int) -> list[B]:
    """What `step` makes of all rows, `size` at a time, for models that are no `LM`; halved where memory runs out.

    Raises:
        BrocaError: if a single row does not fit, or `size` is below 1.
    """
    if size < 1:
        raise BrocaError(f"{size} texts a batch make no progress. Give 1 or more.")
    begun = False

    def shrink(smaller: int) -> None:
        nonlocal begun
        if not begun:
            _log.warning("Out of memory: batch size lowered from %d to %d.", size, smaller)
        begun = True

    found: list[B] = []
    batches = _cut(tuple(range(len(rows))), size)
    parts = halving(batches, lambda own: step([rows[i] for i in own]), shrink=shrink, what=lambda i: f"text {i + 1}")
    for _, made in parts:
        found.extend(made)
    return found


def release() -> None:
    """Give back what nothing holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _cut(rows: tuple[int, ...], size: int) -> list[tuple[int, ...]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
