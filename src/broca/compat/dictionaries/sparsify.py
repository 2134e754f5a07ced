"""Folders of EleutherAI's sparsify: ``cfg.json`` and ``sae.safetensors``, in a folder that is named after the module whose output it is of.

The decoder is stored as (feature, unit), the encoder as a linear layer. A transcoder reads what its module is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from broca.compat.dictionaries.arrays import ADVICE, read_arrays, take
from broca.compat.dictionaries.places import site_of_module, transcoder_places
from broca.errors import SelectionError
from broca.sites import Site
from broca.storage import read_json
from broca.units.dictionary import Dictionary

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
_LARGEST = 1 << 22


class _Config(BaseModel):
    activation: Annotated[str, Field(max_length=100)] = "topk"
    k: Annotated[int, Field(ge=1, lt=1 << 31)] = 32
    num_latents: Annotated[int, Field(ge=0, lt=1 << 31)] = 0
    skip_connection: bool = False
    transcode: bool = False
    d_in: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None


def read_sparsify(folder: Path, site: Site | None = None) -> Dictionary:
    """The dictionary in a folder.

    Args:
        folder: with the config and the weights.
        site: where it is, where the name of the folder does not say it.

    Raises:
        SelectionError: if the folder lacks a file, a file is damaged, or the dictionary is of a kind that is not known here.
    """
    path = folder / CONFIG
    config = read_json(path, _Config, largest=_LARGEST, error=SelectionError, advice=ADVICE)
    if config.activation != "topk":
        raise SelectionError(f"{folder} is of the kind {config.activation[:60]!r}. Read is topk.")
    weights = folder / WEIGHTS
    arrays = read_arrays(weights)
    names = {"encoder": "encoder.weight", "bias": "encoder.bias", "decoder": "W_dec", "decoder_bias": "b_dec"}
    made: dict[str, Any] = take(arrays, weights, **names)
    if made["encoder"].ndim != 2 or made["encoder"].shape[0] != made["bias"].size:
        raise SelectionError(
            f"{weights}: encoder.weight has shape {made['encoder'].shape}, and must be (feature, unit) with {made['bias'].size} features. {ADVICE}"
        )
    made["encoder"] = made["encoder"].T
    if config.skip_connection:
        made["skip"] = take(arrays, weights, skip="W_skip")["skip"].T
    target = site_of_module(folder.name, str(folder)) if site is None else site
    source = transcoder_places(target, str(folder))[0] if config.transcode else target
    about = {"name": folder.name, "path": str(folder), "format": "sparsify"}
    return Dictionary(
        "topk", **made, source=source, target=target, k=config.k, centred=not config.transcode, about=about
    )
