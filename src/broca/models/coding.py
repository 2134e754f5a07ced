"""The arithmetic of a dictionary on activations: encode, decode, and what an edit of features is to the activations.

An edit moves activations by what it moves the features, ``x + s (f' - f) @ decoder``: whatever the dictionary does not explain, and
every other feature, stays as it was, and features that are put back as they were move nothing, bit for bit. s undoes the
normalisation of the token. Features are encoded once in a pass; what was edited is not encoded again, since other features of a
top-k dictionary would take the place of those that were taken away.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from broca.units.dictionary import Dictionary

EPSILON = 1e-5
"""Added to the deviation of a token before it is divided by; nothing is added where that is undone, as SAELens has it."""


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """Features of some tokens, and what was taken from the tokens before."""

    features: Tensor
    """``(..., feature)``, in float32 or wider."""
    scale: Tensor | None
    """``(..., 1)``: by which what the decoder writes is multiplied; 1 when None."""
    shift: Tensor | None
    """``(..., 1)``: what is added behind; nothing when None."""
    skipped: Tensor | None
    """``(..., output)``: what goes past the features."""


class Coder:
    """A dictionary on a device."""

    def __init__(self, dictionary: Dictionary, device: torch.device, dtype: torch.dtype) -> None:
        def put(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array.copy()).to(device, dtype)

        def put_if(array: np.ndarray | None) -> Tensor:
            return torch.zeros((), device=device, dtype=dtype) if array is None else put(array)

        self.dictionary = dictionary
        self.encoder, self.decoder = put(dictionary.encoder), put(dictionary.decoder)
        self.bias, self.decoder_bias = put(dictionary.bias), put(dictionary.decoder_bias)
        self.threshold, self.magnitude = put_if(dictionary.threshold), put_if(dictionary.magnitude)
        self.gain, self.skip = put_if(dictionary.gain).exp(), put_if(dictionary.skip)

    def encode(self, x: Tensor) -> Code:
        """Features of activations ``(..., input)``."""
        own = self.dictionary
        given = x.to(self.decoder.dtype)
        z, scale, shift = given, None, None
        if own.without_mean:
            shift = z.mean(-1, keepdim=True)
            z = z - shift
        if own.norm == "layer_norm":
            mean, scale = z.mean(-1, keepdim=True), z.std(-1, keepdim=True)
            z, shift = (z - mean) / (scale + EPSILON), mean if shift is None else mean + shift
        elif own.norm == "constant_norm":
            scale = z.norm(dim=-1, keepdim=True) / z.shape[-1] ** 0.5
            z = z / scale.clamp_min(torch.finfo(z.dtype).tiny)
        if own.centred:
            z = z - self.decoder_bias
        if own.is_transcoder:  # what it writes is elsewhere: nothing of the input's scale is owed there
            scale = shift = None
        return Code(self._activate(z), scale, shift, None if own.skip is None else given @ self.skip)

    def _activate(self, z: Tensor) -> Tensor:
        own, drive = self.dictionary, z @ self.encoder
        p = drive + self.bias
        match own.architecture:
            case "jumprelu":
                return torch.where(p > self.threshold, p, 0).relu()
            case "gated":
                return torch.where(p > 0, (drive * self.gain + self.magnitude).relu(), 0)
            case "topk":
                kept = p.topk(own.k, dim=-1)
                return torch.zeros_like(p).scatter(-1, kept.indices, kept.values.relu())
            case "abstopk":
                at = p.abs().topk(own.k, dim=-1).indices
                return torch.zeros_like(p).scatter(-1, at, p.gather(-1, at))
        return p.relu()

    def decode(self, code: Code) -> Tensor:
        """What the dictionary makes of the tokens, ``(..., output)``; the rest is its error."""
        y = code.features @ self.decoder + self.decoder_bias
        if code.skipped is not None:
            y = y + code.skipped
        y = y if code.scale is None else y * code.scale
        return y if code.shift is None else y + code.shift

    def move(self, x: Tensor, code: Code, features: Tensor) -> Tensor:
        """Activations ``(..., output)`` with other features instead of those of `code`; `x` itself where none is another."""
        change = features.to(code.features) - code.features
        graph = torch.is_grad_enabled() and change.requires_grad
        if graph:
            delta = change @ self.decoder
        else:
            moved = change.flatten(0, -2).any(0).nonzero().squeeze(-1)
            if not len(moved):
                return x
            delta = change[..., moved] @ self.decoder[moved]
        delta = delta if code.scale is None else delta * code.scale
        found = (x.to(delta.dtype) + delta).to(x.dtype)
        # Where no feature moved, adding 0 would still turn -0 into 0.
        return found if graph else torch.where(change.ne(0).any(-1, keepdim=True), found, x)


_coders: WeakKeyDictionary[Dictionary, dict[tuple[torch.device, torch.dtype], Coder]] = WeakKeyDictionary()


def coder(dictionary: Dictionary, like: Tensor) -> Coder:
    """A dictionary where a tensor is, in float32, or in float64 where the tensor is."""
    key = like.device, torch.float64 if like.dtype == torch.float64 else torch.float32
    known = _coders.setdefault(dictionary, {})
    if key not in known:
        known[key] = Coder(dictionary, *key)
    return known[key]
