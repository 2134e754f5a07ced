"""A tap in transformers' AttentionInterface: attention rows, heads and spans at the speed of the model's own kernel.

The model computes its output with the kernel that it would use anyway. Beside it, for the queries asked for and no
others, the tap computes ``softmax(q k^T)`` from the tensors that the kernel was handed, so that maps of tokens by
tokens are never stored unless they are asked for.

Nothing is believed: before its first use on a model the tap is proved on a probe. Its rows times the values must be
what the kernel returned, and the logits must be those of the untapped model. Classes that do not go through the
interface (GPT-J, Falcon, Bloom, ...) are asked for their own weights instead, and `lm.notes` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from broca.errors import GuardError, SiteUnavailable
from broca.models import hooks
from broca.models.lm import LM
from broca.models.rows import Look, Queries, Rows
from broca.models.spans import span_matrix, sum_over_spans
from broca.models.tap import BASES, Cut, Show, Swap, from_weights, implementation_of, switch_tap
from broca.models.tokens import Batch, Span, Tokens, pad_tokens
from broca.models.wiring.plain_text import plain_texts

T = TypeVar("T")

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 5e-3}
"""Largest relative error of the proof, by dtype: a few rounding steps of a kernel's sum."""


@dataclass(frozen=True, slots=True)
class TapProof:
    """How attention is read from a model, and how well that was proved."""

    route: Literal["tap", "weights"]
    """Beside the kernel, or from the weights that the class itself returns."""
    layers: tuple[int, ...]
    """The layers that have attention."""
    logits: float
    """Largest difference that the tap makes to a logit at a real position, relative to the largest logit."""
    outputs: float
    """Tap: relative error of rows times values against the kernel's output. Weights: error of a row's sum."""


_proofs: WeakKeyDictionary[nn.Module, tuple[tuple[str, torch.dtype], TapProof]] = WeakKeyDictionary()


@contextmanager
def watch_attention(lm: LM, look: Look, show: Show) -> Iterator[TapProof]:
    """Run the body with `show` called for the attention rows of every call of the model, layer by layer.

    The queries of one layer come in blocks, first to last. Contexts nest, also on one model; afterwards the model's
    attention implementation is what it was. In generation each new token is a call with one query.

    Args:
        lm: the model.
        look: which queries, heads and layers.
        show: is shown each block; it must keep what it needs, reduced.

    Raises:
        GuardError: if attention cannot be read from this model without changing it, or not be proved.
        SiteUnavailable: if a layer or head does not exist or has no attention.
    """
    proof = check_tap(lm)
    _check_layers(lm, look, proof)
    if proof.route == "weights":
        with from_weights(lm, look, show):
            yield proof
        return
    with switch_tap(lm) as state, _among(state.looks, (look, show, hooks.suspensions())):
        yield proof


@contextmanager
def cut_attention(lm: LM, cut: Cut) -> Iterator[None]:
    """Run the body with attention edges cut before the softmax, so that each row still sums to 1; see `tap.Cut`.

    Rows that are shown meanwhile are those of the model so changed. Afterwards the model's attention is what it was.

    Raises:
        GuardError: if the model's class bypasses the interface, or attention cannot be read from it.
    """
    _check_interface(lm, "single attention edges cannot be cut in it. Lesion whole heads at 'z' sites instead.")
    with switch_tap(lm) as state, _among(state.cuts, (cut, hooks.suspensions())):
        yield


@contextmanager
def swap_attention(lm: LM, swap: Swap) -> Iterator[None]:
    """Run the body with attention rows replaced after the softmax, before they meet the values; see `tap.Swap`.

    What a row sums to is the caller's: 1, or less where attention sinks take a share. Swaps nest, each shown the rows that
    those before it left; whoever looks is shown the last. Afterwards the model's attention is what it was.

    Raises:
        GuardError: if the model's class bypasses the interface, or attention cannot be read from it.
    """
    _check_interface(
        lm, "its attention rows cannot be replaced: the weights that it returns have been used already. Patch 'z'."
    )
    with switch_tap(lm) as state, _among(state.swaps, (swap, hooks.suspensions())):
        yield


def _check_interface(lm: LM, so: str) -> None:
    """Refuse a class that the tap cannot reach.

    Raises:
        GuardError: saying what follows from it.
    """
    if check_tap(lm).route == "weights":
        raise GuardError(f"{type(lm.model).__name__} bypasses transformers' attention interface, so {so}")


@contextmanager
def _among(entries: list[T], entry: T) -> Iterator[None]:
    """Run the body with `entry` in a list, then take out this one and no equal."""
    entries.append(entry)
    try:
        yield
    finally:
        entries[:] = [other for other in entries if other is not entry]


def attention_rows(
    lm: LM,
    batch: Batch,
    *,
    rows: Queries = "last",
    heads: Sequence[int] | Mapping[int, Sequence[int]] | None = None,
    layers: Sequence[int] | None = None,
    spans: Sequence[Sequence[Span]] | None = None,
) -> dict[int, Tensor]:
    """Attention of one batch, by layer.

    Args:
        lm: the model.
        batch: padded on either side.
        rows: which queries; see `Queries`. Only "all" stores token by token maps, and with `spans` not even that.
        heads: which heads, in this order: for every layer, or by layer.
        layers: which layers; all that have attention when None.
        spans: for each text of the list that was batched, the same number of character spans: attention is summed
            over the tokens of each.

    Returns:
        ``(batch, head, query, key)`` for each layer, keys padded as the batch is, or ``(batch, head, query, span)``;
        float32 or wider. Rows of padded queries are NaN. Rows sum to 1, except where the model has attention sinks.

    Raises:
        GuardError: if attention cannot be read from this model.
        SiteUnavailable: if a layer or head does not exist or has no attention.
        StimulusError: if a text is too short for `rows`, or a span holds no token.
    """
    over = None if spans is None else span_matrix(batch, spans)
    found: dict[int, list[Tensor]] = {}

    def show(seen: Rows) -> None:
        weights = seen.weights if over is None else sum_over_spans(seen.weights, over)
        found.setdefault(seen.layer, []).append(weights)

    with watch_attention(lm, _look(rows, heads, layers), show):
        lm.next_logits(batch)
    return {layer: parts[0] if len(parts) == 1 else torch.cat(parts, 2) for layer, parts in sorted(found.items())}


def check_tap(lm: LM) -> TapProof:
    """Prove on a probe that the tap reads this model's attention and leaves its logits alone; once for each model.

    Raises:
        GuardError: if it does not, or the class neither uses the interface nor returns attention weights.
    """
    base = implementation_of(lm)
    cached = _proofs.get(lm.model)
    if cached is not None and cached[0] == (base, lm.dtype):
        return cached[1]
    if base not in BASES:
        raise GuardError(
            f"{type(lm.model).__name__} runs the attention kernel {base!r}, whose rows the tap cannot read; it reads "
            f"{' and '.join(BASES)}. Load the model with attn_implementation='sdpa', or read heads at 'z' sites."
        )
    with hooks.suspend():
        proof = _prove_tap(lm) or _prove_weights(lm)
    if proof.route == "weights":
        note = (
            f"{type(lm.model).__name__} bypasses transformers' attention interface: attention is read from the weights "
            "that the class itself returns under eager attention; every layer's whole map is held during a forward pass."
        )
        lm.notes.extend({note} - set(lm.notes))
    _proofs[lm.model] = ((base, lm.dtype), proof)
    return proof


def _look(
    rows: Queries, heads: Sequence[int] | Mapping[int, Sequence[int]] | None, layers: Sequence[int] | None
) -> Look:
    if isinstance(heads, Mapping):
        chosen = {layer: tuple(some) for layer, some in heads.items()}
        return Look(rows, chosen, tuple(chosen) if layers is None else tuple(layers))
    return Look(rows, None if heads is None else tuple(heads), None if layers is None else tuple(layers))


def _check_layers(lm: LM, look: Look, proof: TapProof) -> None:
    for layer in look.layers or ():
        if layer not in proof.layers:
            raise SiteUnavailable(
                f"{layer}.pattern: layer {layer} has no attention to read. This model has it in layers "
                f"{', '.join(map(str, proof.layers))}."
            )
    for layer in proof.layers:
        for head in look.heads_at(layer) or ():
            if not 0 <= head < lm.anatomy.n_heads:
                raise SiteUnavailable(f"Head {layer}.{head}: this model has heads 0 to {lm.anatomy.n_heads - 1}.")


def _probe(lm: LM) -> Batch:
    """Two texts of different length, padded on the left."""
    texts = plain_texts(lm.model, lm.tokenizer)
    long, short = (Tokens(tuple(ids[:n]), "") for ids, n in zip(texts, (12, 8), strict=True))
    return pad_tokens([long, short], (0, 1), lm.pad, device=lm.device)


def _prove_tap(lm: LM) -> TapProof | None:
    """The proof of the tap; None where the class makes no call through the interface."""
    batch = _probe(lm)
    real = batch.mask.bool()
    plain = lm.forward(batch)[real]
    with switch_tap(lm) as state:
        state.audit = {}
        tapped = lm.forward(batch)[real]
    if not state.audit:
        return None
    logits = float((tapped - plain).abs().max() / plain.abs().max())
    layer, outputs = max(state.audit.items(), key=lambda pair: pair[1])
    tolerance = _TOLERANCE[lm.dtype]
    if not logits <= tolerance:
        raise GuardError(
            f"The attention tap changes the logits of {type(lm.model).__name__} (by {logits:.1e} of the largest), so what "
            "it sees would not be the model's. Read heads at 'z' sites instead."
        )
    if not outputs <= tolerance:
        raise GuardError(
            f"In layer {layer} of {type(lm.model).__name__}, attention rows times values differ from what the kernel "
            f"returned (relative error {outputs:.1e}): this attention is not softmax(q k) as the tap knows it. Read "
            "heads at 'z' sites instead."
        )
    return TapProof("tap", tuple(sorted(state.audit)), logits, outputs)


def _prove_weights(lm: LM) -> TapProof:
    """The proof of the weights that a class returns: a row for every real query, summing to 1 over real keys."""
    batch = _probe(lm)
    off: dict[int, float] = {}
    real = batch.mask.bool()

    def show(seen: Rows) -> None:
        over = real.to(seen.weights)[:, None, None].expand_as(seen.weights)
        total = (seen.weights * over).sum(-1).transpose(1, 2)[seen.real.to(over.device)]
        off[seen.layer] = float((total - 1).abs().max())

    plain = lm.forward(batch)[real]
    with from_weights(lm, Look("all"), show):
        asked = lm.forward(batch)[real]
    logits, outputs = float((asked - plain).abs().max() / plain.abs().max()), max(off.values())
    tolerance = _TOLERANCE[lm.dtype]
    if not max(logits, outputs) <= tolerance:
        raise GuardError(
            f"{type(lm.model).__name__} bypasses transformers' attention interface, and the weights that it returns are "
            f"not those it uses (a row's sum is off by {outputs:.1e}, logits by {logits:.1e}). Read heads at 'z' sites."
        )
    return TapProof("weights", tuple(sorted(off)), logits, outputs)
