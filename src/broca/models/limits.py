"""What a model can be shown: the one door for texts, whatever is done with them.

Too long for its positions, tokens that have no embedding, dropout at work, padding that moves what is computed: each is found
here, before a pass is spent, and by every caller alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from broca.errors import GuardError, ModelError, StimulusError
from broca.models import hooks
from broca.models.passes import Pass
from broca.models.proofs import proof
from broca.models.quantisation import refuse_gradients
from broca.models.subject import Subject
from broca.models.tokens import Side, Tokens
from broca.models.wiring.plain_text import plain_texts

_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.1}
"""Double precision as well: many classes normalise or take a softmax in single precision whatever the dtype."""

_proofs: WeakKeyDictionary[nn.Module, dict[tuple[Side, torch.dtype, str | None], float]] = WeakKeyDictionary()
"""By model, then by side, dtype and attention kernel: how far padding moves a logit, where that is more than rounding."""


def transformers_model(model: Any) -> Any:
    """The model, if it is one of transformers'.

    Raises:
        ModelError: if it is none.
    """
    if not isinstance(model, nn.Module) or not hasattr(model, "config"):
        raise ModelError(
            f"{type(model).__name__} is no transformers model: it has no config. Give the model itself: of one that is wrapped "
            "(DistributedDataParallel, say) its .module."
        )
    return model


def _reads_and_answers(lm: Subject) -> None:
    """See that one stack of blocks both reads a text and goes on from it.

    Raises:
        ModelError: if an encoder reads it.
    """
    if getattr(lm.model.config, "is_encoder_decoder", False) and "decoder_input_ids" in lm.accepts:
        raise ModelError(
            f"{type(lm.model).__name__} has an encoder that reads the text and a decoder that answers; broca shows texts to decoders "
            "that do both. Load another model, or the decoder alone (a ...ForCausalLM class) where transformers has one."
        )


def fits(lm: Subject, tokens: Sequence[Tokens], *, more: int = 0) -> None:
    """See that texts can be shown to a model.

    Args:
        lm: the model.
        tokens: the texts.
        more: tokens that will follow each.

    Raises:
        ModelError: if an encoder reads the text.
        StimulusError: if a text is too long, or holds a token that has no embedding.
        GuardError: if the model is in training mode.
    """
    _reads_and_answers(lm)
    still(lm)
    longest = max(tokens, key=len, default=None)
    if longest is None:
        return
    if lm.context is not None and len(longest) + more > lm.context:
        after = f" and {more} more are to follow" if more else ""
        raise StimulusError(
            f"{longest.text[:60]!r} has {len(longest)} tokens{after}; the model has positions for {lm.context}. Shorten the text"
            f"{', or ask for fewer tokens' if more else ''}; nothing is cut silently."
        )
    known = lm.vocabulary
    strange = next((row for row in tokens if known is not None and row.view is None and max(row.ids) >= known), None)
    if strange is not None:
        token = max(strange.ids)
        raise StimulusError(
            f"{strange.text[:60]!r} holds the token {lm.tokenizer.convert_ids_to_tokens(token)!r} (id {token}), and the model has "
            f"embeddings for {known}: a token was added to the tokenizer alone. Call model.resize_token_embeddings({token + 1}) and "
            "train it, or take the tokenizer that belongs to the model."
        )


def within(lm: Subject, shown: Pass) -> None:
    """See that the model computes each text of a pass as it would compute it alone.

    Raises:
        ModelError: if an encoder reads the texts.
        StimulusError: if a text outruns the model's positions.
        GuardError: if the model is in training mode, or the texts have different lengths and padding moves it.
    """
    _reads_and_answers(lm)
    if lm.model.training:
        still(lm)
    lengths = {len(row) for row in shown.tokens}
    if lm.context is not None and max(lengths) > lm.context:
        raise StimulusError(
            f"A text of {max(lengths)} tokens outruns the model's {lm.context} positions. Shorten it; nothing is cut silently."
        )
    if len(lengths) > 1 and not shown.past and not hooks.suspensions():
        side: Side = "left" if bool(shown.mask[:, -1].all()) else "right"
        if not pads(lm, side):
            raise GuardError(
                "Padding moves what this model computes, and texts of different lengths were shown to it side by side. Use texts "
                "of one length, or lm.batch_size = 1."
            )


def has_gradients(lm: Subject) -> None:
    """See that a backward pass would say something.

    Raises:
        GuardError: if there would be no gradient, or zeros that pass for results.
    """
    refuse_gradients(lm.model)
    what = (
        "Gradients were asked for inside torch.inference_mode()"
        if torch.is_inference_mode_enabled()
        else "The model was made inside torch.inference_mode()"
        if any(parameter.is_inference() for parameter in lm.model.parameters())
        else None
    )
    if what is not None:
        raise GuardError(
            f"{what}, where torch keeps none. Leave that context: what needs no gradient turns them off by itself."
        )


def still(lm: Subject) -> None:
    """See that the model answers alike each time.

    Raises:
        GuardError: if it, or a part with dropout or statistics of its own, is in training mode.
    """
    for name, module in lm.model.named_modules():
        if module.training and (not name or _restless(module)):
            raise GuardError(
                f"{name or type(lm.model).__name__} is in training mode, so that dropout makes every answer another one. Call "
                "lm.model.eval() first, and lm.model.train() when you go on training."
            )


def _restless(module: nn.Module) -> bool:
    """Whether a module computes otherwise while it is trained."""
    if isinstance(module, nn.modules.batchnorm._NormBase):  # noqa: SLF001 - the base of all that keep statistics
        return True
    return any("drop" in name and isinstance(value, float) and value > 0 for name, value in _settings(module))


def _settings(module: nn.Module) -> list[tuple[str, Any]]:
    own = list(vars(module).items())
    return [("dropout", value) for name, value in own if name == "p"] + own if "Drop" in type(module).__name__ else own


def pads(lm: Subject, side: Side) -> bool:
    """Whether texts of different lengths can share a batch: padding moves nothing. Looked into once for each model and side.

    Where it does, `lm.notes` says so, and batches hold texts of one length.
    """
    off = shift(lm, side)
    if not off:
        return True
    note = (
        f"Padding on the {side} moves this model's logits by up to {off:.2g}: only texts of one length share a batch, so that no "
        "text depends on its neighbours."
    )
    start = f"Padding on the {side}"
    if not any(known.startswith(start) for known in lm.notes):
        lm.notes.append(note)
    return False


@torch.no_grad()
def shift(lm: Subject, side: Side) -> float:
    """How far padding moves a logit at a real token, at most: two texts alone, and in one batch. 0 up to `tolerance`."""
    key = (side, lm.dtype, getattr(lm.model.config, "_attn_implementation", None))
    known = _proofs.setdefault(lm.model, {})
    if key not in known:
        with hooks.suspend():
            known[key] = proof(lm, "padding", side, lambda: _excess(lm, side), best=0.0)
    return known[key]


def tolerance(dtype: torch.dtype) -> float:
    """The largest difference of a next-token logit between two paddings of one text that passes for rounding."""
    return _TOLERANCE.get(dtype, 1e-3)


def _excess(lm: Subject, side: Side) -> float:
    off = _shift(lm, side)
    return off if off > tolerance(lm.dtype) else 0.0


def _shift(lm: Subject, side: Side) -> float:
    whole, cut = plain_texts(lm.model, lm.tokenizer, texts=2, tokens=12)
    texts = [Tokens(tuple(whole), ""), Tokens(tuple(cut[:7]), "")]
    batch = lm.pad_batch(texts, side=side)
    together = lm.forward(batch)
    off = 0.0
    for row in range(len(texts)):
        alone = lm.forward(lm.pad_batch(texts, [row]))[0]
        here = together[row][batch.mask[row].bool().to(together.device)]
        difference = (here.double() - alone.double()).abs().max()
        # A model whose logits are no numbers has nothing to compare.
        off = max(off, float(difference)) if bool(torch.isfinite(difference)) else off
    return off
