"""Capture: stream activations at chosen sites into reducers, one forward pass a batch, nothing kept that was not asked for.

Stimuli are cut into shards of a fixed size in the order given. Within a shard they are batched by length, pooled where
the tensor is, put back in order, and handed to the reducer at once; shards are added in order (`broca.capture.loop`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from numpy.typing import NDArray
from torch import Tensor

from broca.capture.loop import look_up, reduce, shards
from broca.capture.reduce import Reducer
from broca.errors import GuardError, SiteUnavailable
from broca.models.lm import LM
from broca.models.pool import Pool, pool_tokens
from broca.models.tokens import Batch, Span, Tokens
from broca.sites import PICTURE_KINDS, Site

R = TypeVar("R", bound=Reducer)


def capture(
    lm: LM,
    tokens: Sequence[Tokens],
    sites: Sequence[Site],
    reducer: Callable[[], R],
    *,
    pool: Pool | None = None,
    spans: Sequence[Span] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Site, R]:
    """One reducer a site, fed with the pooled activation of every text.

    Args:
        lm: the model; whatever interventions are in force apply.
        tokens: the texts, from `lm.tokenize`.
        sites: where to look.
        reducer: makes an empty reducer (`Moments`, `Gather`, `Covariance`, `Extremes`, or your own).
        pool: how tokens become one vector; the last token by default.
        spans: character span of each text, for ``Pool("span")``.
        progress: called with (texts done, texts in all) after each shard.

    Raises:
        SiteUnavailable: if the model has no such site.
        StatisticsError: if an activation is NaN or infinite, naming site and text.
        GuardError: if a text does not run a site, or an intervention in force never fired.
    """
    found = pooled_shards(lm, tokens, sites, pool=pool, spans=spans)
    return reduce(found, sites, reducer, n=len(tokens), progress=progress)


def pooled_shards(
    lm: LM,
    tokens: Sequence[Tokens],
    sites: Sequence[Site],
    *,
    pool: Pool | None = None,
    spans: Sequence[Span] | None = None,
) -> Iterator[dict[Site, NDArray[Any]]]:
    """Pooled activations ``(stimulus, unit)`` at each site, shard by shard, in the order of the texts.

    Raises:
        SiteUnavailable: if a site holds patches of pictures, which have no place among the tokens of a text.
    """
    if odd := [str(site) for site in sites if site.kind in PICTURE_KINDS]:
        raise SiteUnavailable(
            f"{', '.join(odd)}: patches of pictures are no tokens to pool. Lesion them, or look at others."
        )
    how = pool or Pool()
    return shards(lm, tokens, lambda batch: _look(lm, batch, sites, how, spans), "Activations")


def _look(
    lm: LM,
    batch: Batch,
    sites: Sequence[Site],
    pool: Pool,
    spans: Sequence[Span] | None,
) -> dict[Site, Tensor]:
    """Pooled activations of one batch at every site: one forward pass that ends at the last site asked for."""
    last = batch.last if pool.how == "last" else None
    weights = batch.mask if last is not None else pool.weights(batch, spans)

    def pool_values(values: Tensor) -> Tensor:
        value = pool_tokens(values.abs() if pool.magnitude == "mean-of-abs" else values, weights, last)
        return value.abs() if pool.magnitude == "abs-of-mean" else value

    return every_site(look_up(lm, batch, sites, pool_values), sites, batch)


def every_site(found: dict[Site, Tensor], sites: Sequence[Site], batch: Batch) -> dict[Site, Tensor]:
    """What was found, at every site that was asked for.

    Raises:
        GuardError: if one never ran.
    """
    if len(found) < len(sites):
        skipped = ", ".join(str(site) for site in sites if site not in found)
        raise GuardError(
            f"{skipped} never ran on {batch.tokens[0].text[:60]!r}: the model skips these modules on such input, as "
            "cross-attention to pictures is without one. Leave these layers out, or give every stimulus a picture."
        )
    return found
