"""A GGUF file as a directory of safetensors in the user's cache: written once, by what is in the file, and loaded from then on."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import Any

from broca.errors import ModelError
from broca.models.gguf import Header, read_header, sha256
from broca.models.loader_errors import run_loader
from broca.storage import Source, hold_lock, replacing, tensor_header
from broca.storage.user_cache import user_cache

SUFFIX = ".gguf"
_LAYOUT = 1
"""Raised when what is written changes."""
_PATIENCE = 1800.0
"""Seconds to wait while another process writes the same model."""


def model_folder(path: str) -> str:
    """The directory of safetensors for what `locate` found: the same, or, for a GGUF file, the one in the user's cache.

    Raises:
        ModelError: if the file cannot be read, or is of an architecture that transformers does not read.
        RunError: if the cache cannot be written.
    """
    file = Path(path)
    if not is_gguf(path):
        return path
    to = cached_folder(file)
    if is_whole(to):
        return str(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(to.with_name(f".{to.name}.lock"), seconds=_PATIENCE, what=f"{file.name} for {to.parent}"):
        if not is_whole(to):
            shutil.rmtree(to, ignore_errors=True)
            _convert(file, to)
    return str(to)


def is_gguf(path: str) -> bool:
    """Whether what `locate` found is a GGUF file."""
    return path.endswith(SUFFIX) and Path(path).is_file()


def cached_folder(file: Path) -> Path:
    """Where the model of a GGUF file is kept, by the content of the file."""
    return user_cache() / "gguf" / f"{sha256(file)[:16]}-{_LAYOUT}"


def is_whole(folder: Path) -> bool:
    """Whether a folder of the cache has all that belongs to it, and no file of weights is cut off."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights or not all((folder / name).is_file() for name in ("config.json", "tokenizer.json")):
        return False
    try:
        for each in weights:
            tensor_header(each, Source(each.name, ModelError, ""))
    except (FileNotFoundError, ModelError):
        return False
    return True


def _convert(file: Path, to: Path) -> None:
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    header = read_header(file)
    if not header.tokenizer:
        raise ModelError(
            f"{file} holds no tokenizer, so texts cannot be shown to it. Get a file that has one, or load both yourself: "
            "LM.wrap(model, tokenizer)."
        )
    if header.architecture not in GGUF_SUPPORTED_ARCHITECTURES:
        raise ModelError(
            f"{file} holds a model of the architecture {header.architecture!r}, which transformers does not read from GGUF. Take the same "
            f"model as safetensors from the hub. It reads {', '.join(sorted(GGUF_SUPPORTED_ARCHITECTURES))}."
        )
    with contextlib.redirect_stderr(io.StringIO()):  # its bars cannot be switched off
        model, tokenizer = _read(file, header)
        with replacing(to) as folder:
            folder.mkdir()
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)


def _read(file: Path, header: Header) -> tuple[Any, Any]:
    """The model with its numbers unpacked, and the tokenizer, as transformers reads them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    auto: Any = AutoModelForCausalLM
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}

    def run() -> tuple[Any, Any, dict[str, Any]]:
        tokenizer = AutoTokenizer.from_pretrained(**where)
        model, report = auto.from_pretrained(
            **where,
            dtype=getattr(torch, header.dtype),
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
        return model, tokenizer, report

    model, tokenizer, report = run_loader(str(file), run)
    if missing := sorted(report.get("missing_keys", ())):
        raise ModelError(
            f"{file} lacks {len(missing)} weights of its model ({', '.join(missing[:3])}, ...), which would be random. Get it again."
        )
    # Unpacked numbers are plain numbers: from here on it is a model like any other.
    model.hf_quantizer = None
    vars(model.config).pop("quantization_config", None)
    model.config.gguf = {"sha256": sha256(file), "types": dict(header.types)}
    return model, tokenizer
