"""Where a model lies, and what lies there instead of one: looked into before anything is imported or read.

Weights come as safetensors beside a config.json. Whatever else users have (other programs' formats, adapters, parts of models) is
named in one sentence, with what to do about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from broca.errors import ModelError
from broca.models.gguf import choose_file, read_header
from broca.models.packages import PACKAGED
from broca.registry import ORGANISMS
from broca.storage import parse_json

_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?:models/)?([\w.-]+/[\w.-]+).*|hf://(.+)")
_ID = re.compile(r"[\w-][\w.-]*(?:/[\w.-]*[\w-])?")
"""An id of the hub; the hub itself knows the finer points."""
_TOKENIZER = ("tokenizer", "vocab", "merges", "spiece", "special_tokens")
_POINTER = b"version https://git-lfs"
_LM = ("CausalLM", "LMHeadModel", "ConditionalGeneration", "ImageTextToText")

_PICKLES = (
    "which are pickles, can run code when they are read, and are not read: write them anew once, AutoModelForCausalLM.from_pretrained(folder, "
    "use_safetensors=False).save_pretrained(folder)."
)
_WEIGHTS = {
    "*.bin": _PICKLES,
    "*.pt": _PICKLES,
    "*.pth": _PICKLES,
    "*.ckpt": _PICKLES,
    "*.h5": "which TensorFlow wrote: convert them with transformers 4, from_pretrained(folder, from_tf=True).save_pretrained(folder).",
    "*.msgpack": "which Flax wrote: convert them with transformers 4, from_pretrained(folder, from_flax=True).save_pretrained(folder).",
    "*.onnx": "which ONNX runs and nobody can look into: take the model in safetensors that they were made from.",
    "*/*.onnx": "which ONNX runs and nobody can look into: take the model in safetensors that they were made from.",
}
"""Weights in other formats, and what to do about them; the most likely first."""


def locate(name: str, *, gguf: str | None = None, weights: bool = True) -> str:
    """Where a model lies: a directory with safetensors, a GGUF file, or what may be a hub id.

    Args:
        name: what the user says: the name of a shipped organism or of a model in a package, a directory, a GGUF file, a hub id.
        gguf: the name of a GGUF file in a directory, or on the hub.
        weights: whether a directory must hold weights, beside a config.

    Raises:
        ModelError: if it is nothing of this, or what lies there is no model that can be read.
    """
    if not name.strip():
        raise ModelError(
            "The model's name is empty. Give a directory, a hub id such as 'owner/name', or a shipped organism."
        )
    path = Path(name).expanduser()
    if gguf is not None and (name in ORGANISMS or name in PACKAGED or path.is_file()):
        raise ModelError(f"gguf={gguf!r} (--gguf) does nothing beside {name}, which is one model. Leave it out.")
    if name in ORGANISMS:
        return str(ORGANISMS[name](name))
    if name in PACKAGED:
        return str(PACKAGED[name].find() or PACKAGED[name].hub_id)
    if path.is_dir():
        if (file := choose_file(path, name, gguf)) is not None:
            read_header(file)
            return str(file)
        check(path, name)
        if weights:
            check_weights(path, name)
        return str(path)
    if path.is_file() and path.suffix == ".gguf":
        read_header(path)
        return str(path)
    if path.is_file():
        raise ModelError(f"{name} is one file, {_of_file(path)}")
    _check_id(name)
    return name


def _check_id(name: str) -> None:
    """Refuse what is here no file, and can be no id of the hub.

    Raises:
        ModelError: saying why.
    """
    address = _ADDRESS.fullmatch(name)
    if address:
        raise ModelError(f"{name} is an address. Give the id alone: {(address[1] or address[2])!r}.")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(
            f"{name} is not a model directory. Give a directory with config.json and model.safetensors, a hub id such "
            f"as 'owner/name', or a shipped organism ({', '.join(ORGANISMS)})."
        )
    if not _ID.fullmatch(name):
        id_, _, revision = name.partition(":")
        more = (
            f" A revision is an option: {id_!r}, revision={revision!r}."
            if _ID.fullmatch(id_) and re.fullmatch(r"[\w./-]+", revision)
            else ""
        )
        raise ModelError(
            f"{name!r} is no directory here, and no id of the hub, which is made of letters, digits, '-', '_' and '.': 'owner/name'.{more}"
        )


def check(path: Path, name: str) -> None:
    """Refuse a directory that holds no config of a language model.

    Raises:
        ModelError: saying what it holds instead.
    """
    adapter = _json(path / "adapter_config.json")
    if adapter is not None:
        base = adapter.get("base_model_name_or_path") if isinstance(adapter, dict) else None
        raise ModelError(
            f"{name} holds an adapter (PEFT) of {repr(base) if base else 'a base that it does not name'}, and whole models are studied: merge it into its base, "
            "AutoPeftModelForCausalLM.from_pretrained(folder).merge_and_unload().save_pretrained(other), and give that folder, with the tokenizer of the base in it."
        )
    config = _json(path / "config.json")
    if config is None:
        raise ModelError(f"{name} is a directory without config.json{_instead(path)}")
    if not isinstance(config, dict):
        raise ModelError(f"{name}: its config.json holds no object with named fields. Get it again.")
    said = config.get("architectures")
    architectures = [str(each) for each in said] if isinstance(said, list) else []
    if (path / "modules.json").is_file() and not any(kind in each for each in architectures for kind in _LM):
        raise ModelError(
            f"{name} is a model of sentences ({', '.join(architectures) or 'sentence-transformers'}), which predicts no next token: give a causal "
            "language model."
        )
    if "quantization" in config:
        raise ModelError(
            f"{name} was written by MLX in packed weights, which transformers does not read: take the model that it was made from."
        )


def check_weights(path: Path, name: str) -> None:
    """Refuse a directory that does not hold all its weights as safetensors.

    Raises:
        ModelError: saying what it holds instead, and what to do about it.
    """
    files = list(path.glob("*.safetensors"))
    index = _json(path / "model.safetensors.index.json")
    named = index.get("weight_map", {}) if isinstance(index, dict) else {}
    gone = (
        sorted({str(file) for file in named.values()} - {file.name for file in files})
        if isinstance(named, dict)
        else []
    )
    if gone:
        raise ModelError(
            f"{name} lacks {len(gone)} of the files that its index names ({', '.join(gone[:3])}). Get them again."
        )
    if not files:
        found = next(_others(path), None)
        what = (
            f"but weights in {found[0]}, {found[1]}"
            if found
            else "and no weights at all. Get it again, or give the directory that has them."
        )
        raise ModelError(f"{name} has a config.json and no model.safetensors, {what}")
    for file in files:
        with file.open("rb") as handle:
            start = handle.read(len(_POINTER))
        if start == _POINTER:
            raise ModelError(
                f"{name}: {file.name} is a pointer of Git LFS, and not the file itself. Fetch it: git lfs pull."
            )


def _others(path: Path) -> Iterator[tuple[str, str]]:
    """Weights in other formats, and what to say of them."""
    for pattern, says in _WEIGHTS.items():
        for file in sorted(path.glob(pattern))[:1]:
            if file.name not in ("training_args.bin", "optimizer.pt", "scheduler.pt"):
                yield str(file.relative_to(path)), says.format(file.name)


def _instead(path: Path) -> str:
    """What a directory holds that has no config.json, and what to do about it."""
    names = sorted(each.name for each in path.iterdir())
    inside = [each for each in names if (path / each / "config.json").is_file()]
    snapshots = sorted((path / "snapshots").glob("*/config.json"))
    others = next(_others(path), ("", ""))
    signs: list[tuple[object, str]] = [
        (not names, ": it is empty. Give a directory written by save_pretrained."),
        (
            snapshots,
            f": it is a cache of the hub. Give {str(snapshots[-1].parent)!r}, or the model's id." if snapshots else "",
        ),
        (inside, f", but these in it have one: {', '.join(inside[:6])}. Give one of them."),
        ("model_index.json" in names, ": it is a pipeline of diffusers, which makes pictures. Give a language model."),
        (
            {"modules.json", "config_sentence_transformers.json"} & set(names),
            ": it is a model of sentences (sentence-transformers), which predicts no next token. Give a causal language model.",
        ),
        (
            "params.json" in names,
            ": it is in its makers' own format (params.json). Take the same model in the format of transformers (often named -hf).",
        ),
        (others[0], f", with {others[0]}, {others[1]}"),
        (
            any(each.startswith(_TOKENIZER) for each in names),
            ": it holds a tokenizer and no model. Give the directory of the model, or load both yourself: LM.wrap(model, tokenizer).",
        ),
    ]
    held = f". It holds {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}. Give a directory written by save_pretrained."
    return next((says for sign, says in signs if sign), held)


def _of_file(path: Path) -> str:
    if (path.parent / "config.json").is_file():
        return f"and a model is a directory of several: give {str(path.parent)!r}."
    pattern = f"*{path.suffix}"
    if pattern in _WEIGHTS:
        return f"with weights, {_WEIGHTS[pattern].format(path.name)}"
    return "and a model is a directory of several, with config.json and *.safetensors. Give that."


def _json(path: Path) -> Any:
    """What a small file of JSON holds; None where there is none, and nothing in it where it is malformed: the loader says so."""
    try:
        return parse_json(path.read_bytes(), Any, name=path.name, error=ModelError, advice="")
    except FileNotFoundError:
        return None
    except (OSError, ModelError):
        return {}
