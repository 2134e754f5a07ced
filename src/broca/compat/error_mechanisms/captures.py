"""The captures of Error Mech Analysis: pickles of prompt activations, read without running what a pickle may hold, and converted.

A folder has ``activations_00000_00128.pt`` and so on, one a batch, or ``normal_attn_batch_*.pt`` (attentions only), or a file
of its patching script. Their layer numbers differ by one between hidden states and attentions; here each tensor is named by
its site. The last hidden state of a model is what its final norm gave, no block's output; how many blocks there were was not stored.
Nor were attention masks, so padding can be told only if its token is known and was not used otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from safetensors.torch import save
from torch import Tensor

from broca.errors import RunError
from broca.models.torch_files import load_torch
from broca.storage import Source, read_tensors, write

_LAYER = re.compile(r"layer_(\d{1,9})")
_HEADER = "broca"
_TENSORS = {"topk_vals": "topk_logits", "topk_indices": "topk_ids", "input_ids": "ids"}


@dataclass(frozen=True, slots=True)
class OldCapture:
    """One batch.

    `tensors` by name: ``{layer}.resid_post``, for the embeddings ``0.resid_pre``, for the last hidden state ``final_norm``, and
    ``hidden_{number}`` where it cannot be told which of these it is ``(row, token, unit)``;
    ``{layer}.pattern`` ``(row, head, query, key)``, or, of the patching script, ``pattern/{row}/{number}`` ``(head, query, key)``; ``topk_logits`` and ``topk_ids`` ``(row, token, k)``; ``ids`` and, where padding
    is known, ``mask`` ``(row, token)``.
    """

    name: str
    rows: tuple[int, ...]
    """Which rows of the prompt file these are, counted from 0."""
    texts: tuple[str, ...]
    """Prompt and completion in one, as they were stored: see `broca.scoring.answers.completion_of`."""
    tensors: Mapping[str, Tensor]


def old_captures(folder: str | Path, *, pad: int | None = None, blocks: int | None = None) -> Iterator[OldCapture]:
    """The batches of a folder, in the order of their rows' names, one in memory at a time.

    Args:
        folder: with ``.pt`` files; or one such file.
        pad: the token that padding was made of, on the left or the right: then a mask is worked out.
        blocks: how many blocks the model has. When None, a hidden state is taken for a block's output only where the file has the
            attention of a block that comes after.

    Raises:
        RunError: if there is no such folder, it has no ``.pt`` file, two files have the same row, or one is damaged or holds
            something else.
    """
    place = Path(folder).expanduser()
    paths = [place] if place.is_file() else sorted(place.glob("*.pt"))
    if not paths:
        raise RunError(f"{place} has no .pt files. Give the folder that the captures were written to.")
    seen: dict[int, str] = {}
    for path in paths:
        found = read_old_capture(path, pad=pad, blocks=blocks)
        for row in found.rows:
            if row in seen:
                raise RunError(f"Row {row} is in {seen[row]} and in {path.name}. Give the captures of one condition.")
            seen[row] = path.name
        yield found


def read_old_capture(path: str | Path, *, pad: int | None = None, blocks: int | None = None) -> OldCapture:
    """One batch, as `old_captures`.

    Raises:
        RunError: if the file is damaged, holds more than tensors, texts and numbers, lacks what a capture has, or has more layers
            than `blocks`.
    """
    path = Path(path)
    found = _load(path)
    texts: Any = found.get("final_predictions")
    rows: Any = found.get("original_indices")
    if not _all(texts, str) or not _all(rows, int) or len(texts) != len(rows):
        raise RunError(
            f"{path} has no final_predictions and original_indices of the same length. It has "
            f"{', '.join(map(repr, found)) or 'nothing'}. Give a capture of Error Mech Analysis."
        )
    tensors = dict(_tensors(path, found, blocks))
    for name, tensor in tensors.items():
        if len(tensor) != len(rows) and "/" not in name:
            raise RunError(f"{path}: {name} has {len(tensor)} rows, and there are {len(rows)} texts. Capture it again.")
    if pad is not None and "ids" in tensors:
        tensors["mask"] = _mask(tensors["ids"], pad)
    return OldCapture(path.stem, tuple(rows), tuple(texts), tensors)


def convert(
    folder: str | Path, to: str | Path, *, pad: int | None = None, blocks: int | None = None
) -> tuple[Path, ...]:
    """Write each batch as safetensors of the same name, whole or not at all; batches that are there already are left alone.

    Rows and texts are JSON in the metadata; read them back with `read_converted`.

    Args:
        folder: as for `old_captures`.
        to: the folder to write to, made if it is not there.
        pad: as for `old_captures`.
        blocks: as for `old_captures`.

    Raises:
        RunError: as `old_captures`, or if the disk refuses.
    """
    to = Path(to).expanduser()
    to.mkdir(parents=True, exist_ok=True)
    written = []
    for batch in old_captures(folder, pad=pad, blocks=blocks):
        path = to / f"{batch.name}.safetensors"
        if not path.exists():
            header = json.dumps({"rows": batch.rows, "texts": batch.texts})
            tensors = {name: tensor.contiguous() for name, tensor in batch.tensors.items()}
            write(path, save(tensors, {_HEADER: header}))
        written.append(path)
    return tuple(written)


def read_converted(path: str | Path) -> OldCapture:
    """What `convert` wrote.

    Raises:
        RunError: if the file is missing, damaged, or of another origin.
    """
    path = Path(path)
    source = Source(str(path), RunError, "Convert the .pt file again.")
    try:
        header, tensors = read_tensors(path, source, framework="pt")
    except FileNotFoundError as error:
        raise RunError(f"There is no converted capture at {path}. Convert the .pt file again.") from error
    if _HEADER not in header.metadata:
        raise RunError(f"{path} is no converted capture. Convert the .pt file again.")
    about = source.words(header.metadata[_HEADER], _About)
    return OldCapture(path.stem, about.rows, about.texts, tensors)


class _About(BaseModel):
    """What the header of a converted capture says."""

    rows: tuple[int, ...]
    texts: tuple[str, ...]


def _load(path: Path) -> Mapping[str, Any]:
    found = load_torch(path, holds="tensors, texts and numbers", again="Capture it again.", error=RunError)
    if not isinstance(found, dict):
        raise RunError(f"{path} holds a {type(found).__name__}. Give a capture of Error Mech Analysis.")
    return found


def _tensors(path: Path, found: Mapping[str, Any], blocks: int | None) -> Iterator[tuple[str, Tensor]]:
    for old, name in _TENSORS.items():
        if old in found:
            yield name, _tensor(path, old, found[old])
    numbered: dict[str, dict[int, Tensor]] = {"hidden_states": {}, "attentions": {}}
    for old in numbered:
        layers = found.get(old, {})
        if isinstance(layers, list):
            yield from _of_rows(path, layers)
        else:
            numbered[old] = _layers(path, old, layers)
    hidden, attentions = numbered.values()
    last = max(attentions, default=-1) if blocks is None else blocks - 1
    if blocks is not None and (over := [*(i for i in hidden if i > blocks), *(i for i in attentions if i >= blocks)]):
        raise RunError(
            f"{path} has a layer {over[0]}, and blocks is {blocks}. Give how many blocks the captured model has."
        )
    for number, tensor in hidden.items():
        yield _hidden_state(number, last, known=blocks is not None), tensor
    yield from ((f"{number}.pattern", tensor) for number, tensor in attentions.items())


def _layers(path: Path, old: str, layers: object) -> dict[int, Tensor]:
    """Tensors by the number of their layer."""
    if not isinstance(layers, dict):
        raise RunError(f"{path}: {old} is a {type(layers).__name__}. Give a capture of Error Mech Analysis.")
    found: dict[int, Tensor] = {}
    for key, tensor in layers.items():
        number = _LAYER.fullmatch(str(key))
        if number is None:
            raise RunError(f"{path}: {old} has {key!r}, which names no layer. Give a capture of Error Mech Analysis.")
        found[int(number[1])] = _tensor(path, old, tensor)
    return found


def _of_rows(path: Path, rows: list[Any]) -> Iterator[tuple[str, Tensor]]:
    """What the patching script stored: for each row, a list over the layers that it patched, which it did not name."""
    for row, tensors in enumerate(rows):
        if not isinstance(tensors, list):
            raise RunError(
                f"{path}: attentions of row {row} are a {type(tensors).__name__}. Give a capture of Error Mech Analysis."
            )
        for number, tensor in enumerate(tensors):
            yield f"pattern/{row}/{number}", _tensor(path, "attentions", tensor)


def _hidden_state(number: int, last: int, *, known: bool) -> str:
    """Hidden state i is what block i begins with, which is what the block before it left; behind the last block stands a norm.

    Args:
        number: of the hidden state.
        last: the last block, or the last that is known of.
        known: whether it is the last one.
    """
    if number == 0:
        return "0.resid_pre"
    if number <= last:
        return f"{number - 1}.resid_post"
    return "final_norm" if known else f"hidden_{number}"


def _tensor(path: Path, name: str, value: object) -> Tensor:
    if not isinstance(value, Tensor) or value.layout != torch.strided or not value.ndim:
        raise RunError(f"{path}: {name} holds a {type(value).__name__} where an array is expected. Capture it again.")
    return value


def _mask(ids: Tensor, pad: int) -> Tensor:
    """True but for the runs of `pad` at both ends of each row, ``(row, token)``; of a row of nothing else, the last stays."""
    real = ids != pad
    real[:, -1] |= ~real.any(1)
    return (real.int().cumsum(1) > 0) & (real.flip(1).int().cumsum(1).flip(1) > 0)


def _all(values: object, kind: type) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(one, kind) for one in values)
