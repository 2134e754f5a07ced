"""Folders of SAELens: ``cfg.json`` and ``sae_weights.safetensors``.

Dictionaries that are trained as batch-top-k are saved as jump-ReLU with one constant threshold. The rescaling of top-k by decoder
norms is folded into the arrays, which changes nothing. `expected_average_only_in` means that inputs have been brought to a mean norm
of √d by a factor that the folder does not hold: it must be given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from broca.compat.dictionaries.arrays import ADVICE, read_arrays, take
from broca.compat.dictionaries.places import site_of_hook, transcoder_places
from broca.errors import SelectionError
from broca.sites import Site
from broca.storage import read_json
from broca.units.dictionary import Dictionary

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_LARGEST = 1 << 22
_KINDS = {
    "standard": "relu",
    "gated": "gated",
    "jumprelu": "jumprelu",
    "topk": "topk",
    "abstopk": "abstopk",
    "transcoder": "relu",
    "skip_transcoder": "relu",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}
_NORMS = {
    "none": "none",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "constant_norm",
    "expected_average_only_in": "none",
}
_Words = Annotated[str, Field(max_length=300)]
_Width = Annotated[int, Field(ge=1, lt=1 << 31)]


class _Metadata(BaseModel):
    model_name: _Words | None = None
    hook_name: _Words | None = None
    hook_name_out: _Words | None = None
    hook_head_index: int | None = None
    model_from_pretrained_kwargs: dict[str, Any] | None = None


class Config(BaseModel):
    """Of the config what matters at inference; files of before version 6 hold the metadata, and older names, beside it."""

    architecture: _Words = "standard"
    d_in: _Width
    d_sae: _Width
    d_out: _Width | None = None
    k: int | None = None
    rescale_acts_by_decoder_norm: bool = False
    apply_b_dec_to_input: bool = True
    normalize_activations: _Words | bool | None = "none"
    reshape_activations: _Words = "none"
    activation_fn_str: _Words | None = None
    activation_fn: _Words | None = None
    activation_fn_kwargs: dict[str, Any] | None = None
    hook_point: _Words | None = None
    hook_name: _Words | None = None
    hook_head_index: int | None = None
    model_name: _Words | None = None
    model_from_pretrained_kwargs: dict[str, Any] | None = None
    metadata: _Metadata = _Metadata()

    @property
    def kind(self) -> str:
        """The architecture, also of files in which an activation function says it."""
        said = self.activation_fn_str or self.activation_fn
        return "topk" if self.architecture == "standard" and said == "topk" else self.architecture

    @property
    def most(self) -> int:
        """How many features of a top-k dictionary fire at a token."""
        given = (self.activation_fn_kwargs or {}).get("k") if self.k is None else self.k
        return given if isinstance(given, int) else 0


def read_saelens(folder: Path, site: Site | None = None, scale: float | None = None) -> Dictionary:
    """The dictionary in a folder.

    Args:
        folder: with the config and the weights.
        site: where it is, where the config names no site that is known here, or a wrong one; of a transcoder where it writes.
        scale: by which activations were multiplied before training, where the config says that they were.

    Raises:
        SelectionError: if the folder lacks a file, a file is damaged, or the dictionary is of a kind that is not known here.
    """
    config = _config(folder / CONFIG)
    path = folder / WEIGHTS
    if config.kind not in _KINDS:
        raise SelectionError(f"{folder} holds a {config.kind[:60]!r}. Read are {', '.join(_KINDS)}.")
    norm = _norm(config, folder, scale)
    arrays = read_arrays(path)
    made = _arrays(config, arrays, path)
    if scale is not None:
        made |= {
            "encoder": made["encoder"] * scale,
            "decoder": made["decoder"] / scale,
            "decoder_bias": made["decoder_bias"] / scale,
        }
    transcodes = "transcoder" in config.kind
    if site is None:
        source, target = _places(config, folder)
    else:
        source, target = transcoder_places(site, str(folder)) if transcodes else (site, None)
    whose = config.metadata.model_name or config.model_name
    return Dictionary(
        _KINDS[config.kind],  # type: ignore[arg-type]
        **made,
        source=source,
        target=target,
        k=config.most,
        centred=config.apply_b_dec_to_input and not transcodes,
        norm=norm,
        without_mean=_is_without_mean(config, whose or ""),
        about={"name": folder.name, "path": str(folder), "format": "saelens", "model_name": whose or ""},
    )


def _config(path: Path) -> Config:
    return read_json(path, Config, largest=_LARGEST, error=SelectionError, advice=ADVICE)


def _norm(config: Config, folder: Path, scale: float | None) -> Literal["none", "layer_norm", "constant_norm"]:
    said = config.normalize_activations
    name = ("expected_average_only_in" if said else "none") if isinstance(said, bool) or said is None else said
    if name not in _NORMS:
        raise SelectionError(f"{folder} normalises activations by {name[:60]!r}. Read are {', '.join(_NORMS)}.")
    if name == "expected_average_only_in" and scale is None:
        raise SelectionError(
            f"{folder} was trained on activations brought to a mean norm of √d by a factor that its files do not hold. Give it: "
            "broca.read_dictionary(..., scale=√d / mean norm); 1 where it has been folded in."
        )
    if name != "expected_average_only_in" and scale is not None:
        raise SelectionError(f"A scale is given, and {folder} asks for none. Leave it out.")
    return _NORMS[name]  # type: ignore[return-value]


def _arrays(config: Config, arrays: dict[str, np.ndarray], path: Path) -> dict[str, Any]:
    kind = _KINDS[config.kind]
    names = {
        "encoder": "W_enc",
        "decoder": "W_dec",
        "decoder_bias": "b_dec",
        "bias": "b_gate" if kind == "gated" else "b_enc",
    }
    names |= {"jumprelu": {"threshold": "threshold"}, "gated": {"gain": "r_mag", "magnitude": "b_mag"}}.get(kind, {})
    made = take(arrays, path, **names)
    shape = (config.d_in, config.d_sae)
    if made["encoder"].shape != shape:
        turned = ": it is transposed" if made["encoder"].shape == shape[::-1] else ""
        raise SelectionError(
            f"{path}: W_enc has shape {made['encoder'].shape}, and the config says (d_in, d_sae) = {shape}{turned}. {ADVICE}"
        )
    if "skip" in config.kind:
        made["skip"] = take(arrays, path, skip="W_skip")["skip"].T
    if config.rescale_acts_by_decoder_norm and kind.endswith("topk"):
        norm = np.linalg.norm(np.atleast_2d(made["decoder"]), axis=1)
        if norm.shape != made["bias"].shape or not (norm > 0).all():
            raise SelectionError(f"{path}: W_dec does not fit b_enc, or has a row of zeros. {ADVICE}")
        made |= {
            "encoder": made["encoder"] * norm,
            "bias": made["bias"] * norm,
            "decoder": made["decoder"] / norm[:, None],
        }
    return made


def _places(config: Config, folder: Path) -> tuple[Site, Site | None]:
    told = config.metadata.hook_name or config.hook_name or config.hook_point
    if config.metadata.hook_head_index is not None or config.hook_head_index is not None:
        raise SelectionError(f"{folder} is of a single head. Dictionaries are read of whole sites.")
    if not told:
        raise SelectionError(
            f"{folder} does not say where it is. Give its site: site='12.resid_post', or --features 12.resid_post={folder}."
        )
    out = config.metadata.hook_name_out
    return site_of_hook(told, str(folder)), site_of_hook(out, str(folder)) if out else None


def _is_without_mean(config: Config, model: str) -> bool:
    """Whether TransformerLens took the mean out of what is written to the stream: it does for models with LayerNorm unless told otherwise."""
    told = config.metadata.model_from_pretrained_kwargs or config.model_from_pretrained_kwargs or {}
    hook = config.metadata.hook_name or config.hook_name or config.hook_point or ""
    written = "hook_resid" in hook or hook.endswith("_out")
    return model.startswith("gpt2") and written and told.get("center_writing_weights") is not False
