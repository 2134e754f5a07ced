"""Inputs that any model takes, from the plainest on.

A few words; with words for the decoder too, where an encoder reads the first; with an image, where blocks are skipped or the model
refuses without one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from broca.models.wiring.plain_text import TOKENS


def inputs(model: Any, ids: Tensor) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Inputs with these ids ``(1, token)``, from the plainest on, and whether there is an image in them."""
    device = ids.device
    accepts = inspect.signature(model.forward).parameters
    plain: dict[str, Any] = {"input_ids": ids, "use_cache": False}
    if "bbox" in accepts:
        plain["bbox"] = torch.zeros(1, TOKENS, 4, dtype=torch.long, device=device)
    yield False, plain
    if "decoder_input_ids" in accepts and getattr(model.config, "is_encoder_decoder", False):
        plain["decoder_input_ids"] = ids
        yield False, plain
    if "qformer_input_ids" in accepts:
        plain["qformer_input_ids"] = ids
    for name, make in _MAKERS.items():
        for values in make(model, device) if name in accepts else ():
            for n in sorted({0, _places(model.config)}):
                full = torch.cat([ids.new_full((1, n), _image_id(model.config)), ids], 1)
                given = {**plain, "input_ids": full, name: values, "attention_mask": torch.ones_like(full)}
                if "image_attention_mask" in accepts:
                    given["image_attention_mask"] = torch.ones(1, full.shape[1], 1, dtype=torch.long, device=device)
                if "image_embeds_position_mask" in accepts:
                    given["image_embeds_position_mask"] = (torch.arange(full.shape[1], device=device) < 4).long()[None]
                yield True, given


def saying(given: Mapping[str, Any], ids: Tensor) -> dict[str, Any]:
    """The same input with other words, behind what stands for an image."""
    n = ids.shape[1]
    return {k: torch.cat([v[:, :-n], ids], 1) if k.endswith("input_ids") else v for k, v in given.items()}


def _places(config: Any) -> int:
    """How many ids stand for an image."""
    return int(getattr(config, "num_query_tokens", None) or getattr(config, "image_seq_length", None) or 0)


def _image_id(config: Any) -> int:
    names = ("image_token_id", "image_token_index", "video_token_index")
    return next((i for name in names if isinstance(i := getattr(config, name, None), int)), 3)


def _vision(config: Any) -> Any:
    names = ("vision_config", "encoder", "vision_encoder_config")
    return next((part for name in names if (part := getattr(config, name, None)) is not None), config)


def _pixels(model: Any, device: torch.device) -> Iterator[Tensor]:
    """Images of the size that the vision part is configured for: a batch, one of several, one of several tiles."""
    vision = _vision(model.config)
    side = getattr(vision, "image_size", None) or 2 * (getattr(vision, "patch_size", None) or 14)
    height, width = side if isinstance(side, list | tuple) else (side, side)
    channels = getattr(vision, "num_channels", None) or 3
    draw = torch.Generator().manual_seed(0)
    image = torch.randn(1, channels, height, width, generator=draw).to(device, next(model.parameters()).dtype)
    yield image
    yield image[None]
    yield image[None, None]


def _states(model: Any, device: torch.device) -> Iterator[Tensor]:
    """Vision states as a decoder's cross attention is given them."""
    draw = torch.Generator().manual_seed(0)
    text = model.config.get_text_config(decoder=True)
    for width in (text.hidden_size, getattr(_vision(model.config), "embed_dim", text.hidden_size)):
        states = torch.randn(1, 4, width, generator=draw).to(device, next(model.parameters()).dtype)
        yield states
        yield states[None]


def _patches(model: Any, device: torch.device) -> Iterator[Tensor]:
    """Patches in a row, each with its place in front, as a table of an image."""
    vision = _vision(model.config)
    yield torch.ones(1, 4, 2 + (getattr(vision, "patch_embed_hidden_size", None) or 0), device=device)


_MAKERS: dict[str, Callable[[Any, torch.device], Iterator[Tensor]]] = {
    "cross_attention_states": _states,
    "image_encoder_embeddings": _states,
    "image_embeds": _states,
    "pixel_values": _pixels,
    "flattened_patches": _patches,
}
"""Arguments by which a forward pass is shown an image, and what to try."""
