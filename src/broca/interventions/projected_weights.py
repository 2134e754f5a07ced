"""A direction taken out of a model's weights: nothing in it can write along the direction any more (Arditi et al., 2024).

Rows of embeddings, and the output side of all that writes to the stream, are made orthogonal to the direction, biases and experts too. That
equals a projection of the stream at every boundary of blocks only where every writer is among these: it is proved on texts each time, and
refused where it does not hold, as with norms whose gains write to the stream (Gemma 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from broca.errors import InterventionError, SelectionError
from broca.interventions.steer import Steer
from broca.items import fingerprint
from broca.models.identity import restoring
from broca.models.lm import LM
from broca.models.tokens import Tokens
from broca.models.weight_matrices import matrices
from broca.models.wiring.plain_text import plain_texts
from broca.units.direction import Direction

TOLERANCE = 1e-4
"""Of the largest logit, by which weights and hooks may differ."""


@dataclass(frozen=True, eq=False)
class WeightProjection:
    """Take a direction out of the weights that write to the residual stream.

    Args:
        direction: one vector of the stream, of this model.

    Raises:
        SelectionError: if it has several vectors, or one of another kind of site.
    """

    direction: Direction

    def __post_init__(self) -> None:
        Steer(self.direction, act="project", where="stream")  # refuses what it refuses

    @property
    def fingerprint(self) -> str:
        return fingerprint(["weight projection", self.direction.fingerprint])

    reads_prompt = False
    reads_ahead = False

    @contextmanager
    def apply(self, lm: LM) -> Iterator[None]:
        """Put it in force, in place; every weight comes back bit for bit.

        Raises:
            SelectionError: if the direction is of another model.
            SiteUnavailable: if weights are quantised, offloaded or shared between layers.
            InterventionError: if the edited weights do not do what the projection of the stream does: some writer is not among them.
        """
        steer = Steer(self.direction, act="project", where="stream").for_model(lm)
        if lm.dtype in (torch.float16, torch.bfloat16):
            raise InterventionError(
                f"In {str(lm.dtype).removeprefix('torch.')} weights keep a rest of their own rounding along the direction. Load the model in "
                "float32; what is exported can be stored in less."
            )
        tokens = [Tokens(tuple(ids), "") for ids in plain_texts(lm.model, lm.tokenizer)]
        with lm.under(steer):
            wanted = lm.all_logits(tokens)
        (vector,) = self.direction.vectors.values()
        unit = torch.from_numpy(vector / self.direction.norm[self.direction.sites[0]])
        with restoring(lm.model), ExitStack() as stack:
            _untie(lm.model, stack)
            for tensor, axis in _writers(lm):
                kept = tensor.clone()
                stack.callback(tensor.copy_, kept)
                _project(tensor, axis, unit)
            _compare(lm, lm.all_logits(tokens), wanted)
            yield


def _compare(lm: LM, found: Tensor, wanted: Tensor) -> None:
    off = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))
    if off > TOLERANCE:
        raise InterventionError(
            f"The weights of {lm.name} cannot be made to do what projecting the stream does (logits differ by {off:.1g} of the largest): "
            "something else writes along the direction, such as a norm behind a block's parts. Project with broca.Steer(direction, "
            "act='project', where='stream')."
        )


@torch.no_grad()
def _project(tensor: Tensor, axis: int, unit: Tensor) -> None:
    """Take the unit vector out of a tensor, whose `axis` is as wide as the stream, in place."""
    wide = tensor.double().movedim(axis, -1)
    direction = unit.to(wide)
    direction = direction / direction.norm()
    rest = wide - (wide @ direction).unsqueeze(-1) * direction
    tensor.copy_(rest.movedim(-1, axis))


def _untie(model: Any, stack: ExitStack) -> None:
    """Give the output embedding a table of its own, where it shares the input's: it reads the stream, and reads it as before."""
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or getattr(head, "weight", None) is not table.weight:
        return
    config, shared = model.config.get_text_config(decoder=True), head.weight
    said = [
        (each, each.tie_word_embeddings)
        for each in {id(c): c for c in (config, model.config)}.values()
        if hasattr(each, "tie_word_embeddings")
    ]
    head.weight = nn.Parameter(shared.detach().clone(), requires_grad=shared.requires_grad)
    for each, _ in said:
        each.tie_word_embeddings = False

    def back() -> None:
        head.weight = shared
        for each, before in said:
            each.tie_word_embeddings = before

    stack.callback(back)


def _writers(lm: LM) -> Iterator[tuple[Tensor, int]]:
    """Every tensor that writes to the stream, and which of its axes is the stream's.

    Raises:
        SelectionError: if there is none in some block.
    """
    width, inside = lm.anatomy.d_model, f"{lm.anatomy.path}."
    for name, module in lm.model.named_modules():
        if isinstance(module, nn.Embedding) and module.embedding_dim == width and not name.startswith(inside):
            yield module.weight.detach(), 1
    seen: set[str] = set()
    layers: set[int] = set()
    for matrix in matrices(lm.model, lm.anatomy):
        if matrix.address.kind not in ("o", "down") or matrix.parameter in seen:
            continue
        seen.add(matrix.parameter)
        layers.add(matrix.address.layer)
        weight = lm.model.get_parameter(matrix.parameter).detach()
        rows = weight.ndim - 2  # output by input, or the other way round
        yield weight, rows + 1 if matrix.transposed else rows
        for own, bias in lm.model.get_submodule(matrix.module).named_parameters(recurse=False):
            last = matrix.parameter.rpartition(".")[2]
            belongs = own == "bias" if last == "weight" else own.startswith(last)
            if belongs and own != last and bias.shape[-1] == width and bias.ndim == weight.ndim - 1:
                yield bias.detach(), bias.ndim - 1
    if lacking := sorted({*range(lm.anatomy.n_layers)} - layers):
        raise SelectionError(
            f"What layer {lacking[0]} of {lm.name} writes with is not known, so a direction cannot be taken out of it."
        )
