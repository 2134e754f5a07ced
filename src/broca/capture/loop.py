"""The loop in which texts are read: in batches by length, what is made of each put back in order, shards added in order.

So a result does not depend on the batch size, on how shards were spread over workers, or on a kill between two of them, and
memory does not grow with the number of texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.capture.reduce import Reducer
from broca.errors import StatisticsError
from broca.models.hooks import Read, read_sites
from broca.models.lm import LM
from broca.models.tokens import Batch, Tokens
from broca.sites import Site

K = TypeVar("K")
R = TypeVar("R", bound=Reducer)

SHARD = 64
"""Texts a shard. Part of what a result means: changing it changes the last bits."""


def look(lm: LM, batch: Batch, reads: Mapping[Site, Read]) -> None:
    """One forward pass that ends at the last site asked for, with the tensor at each site shown to its reader."""
    # accelerate moves offloaded layers back after their forward pass: let such a model finish.
    stop = getattr(lm.model, "hf_device_map", None) is None
    with read_sites(lm.model, lm.anatomy, reads, stop=stop):
        lm.call(batch)


def look_up(lm: LM, batch: Batch, sites: Sequence[Site], of: Callable[[Tensor], Tensor]) -> dict[Site, Tensor]:
    """What `of` makes of the tensor at each site in one forward pass, on the CPU in float32; a site that never ran is left out."""
    found: dict[Site, Tensor] = {}

    def reader(site: Site) -> Read:
        return lambda values: found.update({site: of(values)})

    look(lm, batch, {site: reader(site) for site in sites})
    lm.assert_fired()
    return {site: values.to("cpu", torch.float32) for site, values in found.items()}


def in_order(
    lm: LM, tokens: Sequence[Tokens], step: Callable[[Batch], Mapping[K, Tensor]], *, size: int | None = None
) -> dict[K, NDArray[Any]]:
    """What `step` makes of every batch, ``(batch, ...)`` by name, as ``(text, ...)`` in the order of the texts."""
    rows: dict[K, NDArray[Any]] = {}
    for batch, found in lm.each(tokens, step, size=size):
        for name, values in found.items():
            array = values.cpu().numpy()
            where = rows.setdefault(name, np.empty((len(tokens), *array.shape[1:]), array.dtype))
            where[list(batch.index)] = array
    return rows


def shards(
    lm: LM, tokens: Sequence[Tokens], step: Callable[[Batch], Mapping[Site, Tensor]], what: str
) -> Iterator[dict[Site, NDArray[Any]]]:
    """What `step` makes of the texts at each site, shard by shard; it knows a text by its place among all texts.

    Raises:
        StatisticsError: if a number is NaN or infinite, naming site and text; `what` says what the numbers are.
    """
    for start in range(0, len(tokens), SHARD):
        part = tokens[start : start + SHARD]

        def whole(batch: Batch, start: int = start) -> Mapping[Site, Tensor]:
            return step(replace(batch, index=tuple(start + i for i in batch.index)))

        rows = in_order(lm, part, whole)
        refuse_nan(rows, part, what)
        yield rows


def reduce(
    found: Iterable[Mapping[Site, NDArray[Any]]],
    sites: Sequence[Site],
    reducer: Callable[[], R],
    *,
    n: int,
    progress: Callable[[int, int], None] | None,
) -> dict[Site, R]:
    """One reducer a site, fed with all shards of n texts."""
    kept = {site: reducer() for site in sites}
    for i, rows in enumerate(found, 1):
        for site, values in rows.items():
            part = reducer()
            part.update(values)
            kept[site] = kept[site] + part
        if progress is not None:
            progress(min(i * SHARD, n), n)
    return kept


def refuse_nan(rows: Mapping[Site, NDArray[Any]], tokens: Sequence[Tokens], what: str) -> None:
    """Raises StatisticsError where a number is NaN or infinite, naming site and text; `what` says what the numbers are."""
    for site, values in rows.items():
        if not np.isfinite(values).all():
            bad = int(np.argmax(~np.isfinite(values.reshape(len(tokens), -1)).all(1)))
            raise StatisticsError(
                f"{what} at {site} are NaN or infinite for {tokens[bad].text[:80]!r}. Load the model in float32 or bfloat16 "
                "(float16 overflows in many models), or leave this text out."
            )
