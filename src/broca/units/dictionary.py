"""A dictionary: features that a sparse autoencoder or a transcoder has learned at a site, as arrays and a formula.

With p the pre-activations ``x @ encoder + bias`` (x less the decoder's bias where it is centred by that), feature i is

* ``relu``: max(p, 0);
* ``topk``: max(p, 0) of the k largest p of a token, 0 elsewhere; ``abstopk``: the k largest in size, with their sign;
* ``jumprelu``: p where p > threshold, strictly (Rajamanoharan et al., 2024b); batch-top-k dictionaries are this at inference
  (Bussmann et al., 2024);
* ``gated``: max(x @ (encoder exp(gain)) + magnitude, 0) where p > 0 (Rajamanoharan et al., 2024a);

and what it stands for is ``f @ decoder + decoder_bias``, and ``x @ skip`` more where there is one. An autoencoder writes where it
reads; a transcoder reads at its source, and predicts what is written at its target (Dunefsky et al., 2024).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from broca.errors import SelectionError
from broca.markup import facts
from broca.sites import Site
from broca.units import dictionary_files
from broca.units.direction import Direction

Architecture = Literal["relu", "topk", "abstopk", "jumprelu", "gated"]
Norm = Literal["none", "layer_norm", "constant_norm"]
"""What is done to each token before, and undone behind: nothing; its mean and (unbiased) deviation taken out; its norm made √d."""
Array = NDArray[np.float32]

OPTIONAL = {"jumprelu": ("threshold",), "gated": ("gain", "magnitude")}
"""Arrays, one number a feature, that some architectures have."""


@dataclass(frozen=True, eq=False, repr=False)
class Dictionary:
    """Features of a site. `broca.read_dictionary` and `Dictionary.load` read one, `LM.with_features` puts it to use.

    Raises:
        SelectionError: if arrays do not fit each other or the architecture, or are not finite.
    """

    architecture: Architecture
    encoder: Array
    """(input, feature)."""
    decoder: Array
    """(feature, output)."""
    bias: Array
    """(feature,): of the pre-activations; of the gate, where there is one."""
    decoder_bias: Array
    """(output,)."""
    source: Site
    """Where it reads."""
    target: Site | None = None
    """Where it writes; where it reads when None."""
    k: int = 0
    threshold: Array | None = None
    gain: Array | None = None
    magnitude: Array | None = None
    skip: Array | None = None
    """(input, output)."""
    centred: bool = True
    """Whether the decoder's bias is taken from the input first."""
    norm: Norm = "none"
    without_mean: bool = False
    """Whether it is of activations less their mean over units, as TransformerLens makes them for models with LayerNorm."""
    model: str = ""
    """Fingerprint of the model that it was trained on (`LM.fingerprint`); nothing where nobody says."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from, in plain JSON."""

    def __post_init__(self) -> None:
        for name in ("architecture", "norm"):
            known = get_args(Architecture if name == "architecture" else Norm)
            if getattr(self, name) not in known:
                raise SelectionError(f"{name} is {str(getattr(self, name))[:60]!r}. Choose one of {', '.join(known)}.")
        if self.target is None:
            object.__setattr__(self, "target", self.source)
        for name in dictionary_files.ARRAYS:
            if (given := getattr(self, name)) is not None:
                array = np.ascontiguousarray(given, np.float32)
                array.flags.writeable = False
                object.__setattr__(self, name, array)
        self._check()

    def _check(self) -> None:
        if self.source.layer != self.layer:
            raise SelectionError(
                f"It reads {self.source} and writes {self.target}, of another layer. Dictionaries within a layer are read, one each."
            )
        if self.encoder.ndim != 2 or 0 in self.encoder.shape or self.decoder.ndim != 2:
            raise SelectionError(
                f"The encoder has shape {self.encoder.shape}, the decoder {self.decoder.shape}. Give (input, feature) and (feature, output)."
            )
        d, n, out = *self.encoder.shape, self.decoder_bias.size
        shapes = dict.fromkeys(("bias", "threshold", "gain", "magnitude"), (n,))
        shapes |= {"decoder": (n, out), "decoder_bias": (out,), "skip": (d, out)}
        needed = {"bias", "decoder", "decoder_bias", *OPTIONAL.get(self.architecture, ())}
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found is None and name in needed:
                raise SelectionError(
                    f"A dictionary of the kind {self.architecture} has a {name}, and this one has none."
                )
            if found is not None and found.shape != shape:
                turned = (
                    " It is transposed."
                    if found.shape == shape[::-1] or self.encoder.shape[0] == self.bias.size
                    else ""
                )
                raise SelectionError(
                    f"The {name} has shape {found.shape}, and with an encoder (input, feature) of {self.encoder.shape} it must be "
                    f"{shape}.{turned}"
                )
        if self.architecture.endswith("topk") and not 1 <= self.k <= n:
            raise SelectionError(f"k is {self.k}, and there are {n} features. Give how many fire at a token.")
        if self.centred and d != out:
            raise SelectionError(
                f"It reads {d} units and writes {out}, so its input is not centred by the bias of its output. Give centred=False."
            )
        if odd := [name for name in dictionary_files.ARRAYS if not _finite(getattr(self, name))]:
            raise SelectionError(f"The {odd[0]} holds numbers that are not finite. The file is damaged; get it again.")

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def layer(self) -> int:
        """Of its features: that of what it writes to."""
        return self.writes_to.layer

    @property
    def writes_to(self) -> Site:
        """Where it writes."""
        return self.target or self.source

    @property
    def is_transcoder(self) -> bool:
        """Whether it reads elsewhere than it writes."""
        return self.writes_to != self.source

    @property
    def n_features(self) -> int:
        """How many features it has."""
        return self.encoder.shape[1]

    @cached_property
    def decoder_norm(self) -> NDArray[np.float64]:
        """(feature,): the L2 norm of what a feature of activation 1 writes."""
        return np.linalg.norm(self.decoder.astype(np.float64), axis=1)

    @cached_property
    def fingerprint(self) -> str:
        """Content hash: arrays, formula and place. 16 hex digits."""
        how = [
            self.architecture,
            str(self.source),
            str(self.target),
            self.k,
            self.centred,
            self.norm,
            self.without_mean,
        ]
        digest = hashlib.sha256(json.dumps(["dictionary", *how, self.model]).encode())
        for name in dictionary_files.ARRAYS:
            if (array := getattr(self, name)) is not None:
                digest.update(f"{name}{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()[:16]

    @property
    def name(self) -> str:
        """What it is called: by its file, where it was read from one."""
        return str(self.about.get("name") or self.about.get("path") or "a dictionary without a name")

    def __repr__(self) -> str:
        where = f"{self.source} -> {self.target}" if self.is_transcoder else f"{self.source}"
        return f"Dictionary({self.name}: {self.n_features} {self.architecture} features of {where})"

    def _repr_html_(self) -> str:
        return facts(repr(self), {name: str(value) for name, value in self.about.items()})

    def direction(self, feature: int, lm: Any) -> Direction:
        """What a feature of activation 1 writes, as a direction of a model: to steer along.

        Where the dictionary normalises each token, what the feature writes there is that times the token's scale.

        Raises:
            SelectionError: if there is no such feature.
        """
        if not 0 <= feature < self.n_features:
            raise SelectionError(f"There is no feature {feature}: {self!r} has 0 to {self.n_features - 1}.")
        about = {"name": f"{self.layer}.feature:{feature}", "dictionary": self.name}
        return Direction({self.writes_to: self.decoder[feature]}, model=lm.fingerprint, about=about)

    # -- files -----------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write it as safetensors; arrays that half precision holds as they are take 2 bytes a number."""
        return dictionary_files.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Dictionary:
        """Read what `save` wrote.

        Raises:
            SelectionError: if the file is missing, damaged, or something else.
        """
        return dictionary_files.load(cls, Path(path))


def _finite(array: Array | None) -> bool:
    return array is None or bool(np.isfinite(array).all())
