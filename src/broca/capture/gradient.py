"""Gradients: what one backward pass says that every unit does to a number read from the logits.

Only activations are differentiated, never weights, and every text gives its own row, so that reducers and their law
are those of `broca.capture.activations`: a result does not depend on the batch size, and memory holds the activations
and gradients of one batch at the sites asked for. Whatever interventions are in force apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from broca.capture.loop import reduce, shards
from broca.capture.metrics import Metric
from broca.capture.reduce import Moments, Reducer
from broca.capture.towards import Positions, Towards, baseline_values, on_texts, refuse_unpaired
from broca.errors import GuardError, SiteUnavailable
from broca.models.hooks import Edit, edit_sites
from broca.models.limits import has_gradients
from broca.models.lm import LM
from broca.models.tokens import Batch, Tokens
from broca.models.wiring.anatomy import Anatomy
from broca.sites import Kind, Site

R = TypeVar("R", bound=Reducer)

Progress = Callable[[int, int], None]


def attribution(
    lm: LM,
    tokens: Sequence[Tokens],
    sites: Sequence[Site],
    metric: Metric,
    reducer: Callable[[], R] = Moments,
    *,
    towards: Towards | None = None,
    positions: Positions = "all",
    progress: Progress | None = None,
) -> dict[Site, R]:
    """Attribution patching (Nanda, 2023; Syed et al., 2023): ``(towards - activation) * gradient``, summed over tokens.

    To first order, what the metric gains when the unit alone is patched; exact where the metric is linear in the unit.

    Args:
        lm: the model.
        tokens: the texts, from `lm.tokenize`.
        sites: where the units are.
        metric: what is differentiated: `LogitDifference`, `Logit`, or your own.
        reducer: makes an empty reducer, which is fed ``(text, unit)``.
        towards: what is patched in: 0 when None, so that the estimate is that of a zero lesion; a value a unit; or the
            unit's activation on another text, one for each text (as many tokens, unless `positions` is "last").
        positions: patch every token, or the last one only.
        progress: called with (texts done, texts in all) after each shard.

    Raises:
        SiteUnavailable: if the model has no such site.
        StimulusError: if `towards` has another number of texts, or a text of another length.
        GuardError: if a forward pass does not run a site exactly once.
        StatisticsError: if an attribution is NaN or infinite, naming site and text.
    """
    pairs = None if towards is None or isinstance(towards, Mapping) else towards
    values_of = towards if isinstance(towards, Mapping) else None
    if pairs is not None:
        refuse_unpaired(tokens, pairs, positions)

    def step(batch: Batch) -> dict[Site, Tensor]:
        instead = baseline_values(values_of, sites) if pairs is None else on_texts(lm, batch, sites, pairs, positions)
        values, gradients = differentiate(lm, batch, lm.anatomy, sites, metric)
        counts = batch.mask if positions == "all" else _last_only(batch)
        found = {}
        for site in sites:
            x, g = _wide(values[site]), _wide(gradients[site])
            gain = (instead[site].to(x) - x) * g
            found[site] = gain.masked_fill((counts == 0).to(x.device)[..., None], 0).sum(1)
        return found

    return reduce(shards(lm, tokens, step, "Gradients"), sites, reducer, n=len(tokens), progress=progress)


def output_gradients(
    lm: LM,
    tokens: Sequence[Tokens],
    sites: Sequence[Site],
    metric: Metric,
    reducer: Callable[[], R] = Moments,
    *,
    progress: Progress | None = None,
) -> dict[Site, R]:
    """The metric's gradient with respect to what the projection that reads a site writes at the last token.

    Reducers are fed ``(text, output)``: the direction in which a unit's output weights would move the metric most.

    Raises:
        SiteUnavailable: if a site is not `mlp_act` or `z`: no other unit has output weights of its own.
        GuardError, StatisticsError: as `attribution`.
    """
    outputs = _outputs(sites)

    def step(batch: Batch) -> dict[Site, Tensor]:
        _, gradients = differentiate(lm, batch, _projections(lm.anatomy), list(outputs.values()), metric)
        rows = torch.arange(len(batch))
        return {site: _wide(gradients[out])[rows, batch.last.cpu()] for site, out in outputs.items()}

    return reduce(shards(lm, tokens, step, "Gradients"), sites, reducer, n=len(tokens), progress=progress)


def squared_gradients(
    lm: LM,
    tokens: Sequence[Tokens],
    sites: Sequence[Site],
    metric: Metric,
    reducer: Callable[[], R] = Moments,
    *,
    progress: Progress | None = None,
) -> dict[Site, R]:
    """The squared gradient of each unit's output weights, summed over the column, text by text: ``(text, unit)``.

    No weight is differentiated: with ``G`` the inner products of the output gradients of two tokens, unit u's column has
    the squared gradient ``a_u^T G a_u`` (Goodfellow, 2015, per-example gradients).

    Raises:
        SiteUnavailable: if a site is not `mlp_act` or `z`: no other unit has output weights of its own.
        GuardError, StatisticsError: as `attribution`.
    """
    outputs = _outputs(sites)

    def step(batch: Batch) -> dict[Site, Tensor]:
        both = [*sites, *outputs.values()]
        values, gradients = differentiate(lm, batch, _projections(lm.anatomy), both, metric)
        hidden = (batch.mask == 0)[..., None]
        found = {}
        for site, out in outputs.items():
            x = _wide(values[site]).masked_fill(hidden.to(values[site].device), 0)
            g = _wide(gradients[out]).masked_fill(hidden.to(gradients[out].device), 0).to(x.device)
            found[site] = ((g @ g.transpose(1, 2) @ x) * x).sum(1)
        return found

    return reduce(shards(lm, tokens, step, "Gradients"), sites, reducer, n=len(tokens), progress=progress)


def differentiate(
    lm: LM, batch: Batch, anatomy: Anatomy, sites: Sequence[Site], metric: Metric
) -> tuple[dict[Site, Tensor], dict[Site, Tensor]]:
    """Activations and gradients of one batch at every site, each ``(batch, token, unit)`` in the model's dtype.

    Raises:
        GuardError: if a forward pass does not run a site exactly once.
    """
    has_gradients(lm)
    caught: dict[Site, Tensor] = {}

    def catcher(site: Site) -> Edit:
        def catch(x: Tensor) -> Tensor:
            caught[site] = x if x.requires_grad else x.detach().requires_grad_()
            # Some blocks add to this tensor in place: what was caught must stay as it was.
            return caught[site].clone()

        return catch

    edits = {site: catcher(site) for site in sites}
    with torch.enable_grad(), without_weight_gradients(lm.model), edit_sites(lm.model, anatomy, edits) as fired:
        total = metric(lm.last_logits(batch), batch).sum()
        if wrong := [str(site) for site, times in fired.items() if times != 1]:
            raise GuardError(
                f"A forward pass runs {', '.join(wrong)} {fired[next(s for s in sites if str(s) == wrong[0])]} times, not "
                "once, so its gradient has no one place. Choose sites that the model uses once on this input."
            )
        lm.assert_fired()
        gradients = torch.autograd.grad(total, [caught[site] for site in sites], allow_unused=True)
    found = zip(sites, gradients, strict=True)
    return (
        {site: x.detach() for site, x in caught.items()},
        {site: torch.zeros_like(caught[site]) if g is None else g for site, g in found},
    )


@contextmanager
def without_weight_gradients(model: nn.Module) -> Iterator[None]:
    """Run the body with no weight asking for a gradient: nothing is kept for a backward pass that nobody wants."""
    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in asking:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def _projections(anatomy: Anatomy) -> Anatomy:
    """The same wiring, in which `mlp_out` and `attn_out` are the outputs of the modules that read `mlp_act` and `z`."""
    return replace(
        anatomy, blocks=tuple(replace(block, mlp_out=block.mlp_act, attn_out=block.z) for block in anatomy.blocks)
    )


def _outputs(sites: Sequence[Site]) -> dict[Site, Site]:
    written: dict[Kind, Kind] = {"mlp_act": "mlp_out", "z": "attn_out"}
    for site in sites:
        if site.kind not in written:
            raise SiteUnavailable(
                f"{site}: its units have no output weights of their own. Use sites of kind {' or '.join(written)}."
            )
    return {site: Site(site.layer, written[site.kind]) for site in sites}


def _last_only(batch: Batch) -> Tensor:
    return torch.zeros_like(batch.mask).scatter_(1, batch.last[:, None].to(batch.mask), 1)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
