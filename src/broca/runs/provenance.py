"""What was run, on what, where and with which versions: the content of ``manifest.json``.

It holds versions, hashes and settings; never an environment, a token, a user name or a path that the user did not give.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from broca import __version__
from broca.runs.formats import plain
from broca.runs.manifest import SCHEMA
from broca.runs.spec import Identity, Study, dtype_name

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "numpy", "scipy", "polars")


def opening(study: Study, lm: Any, identity: Identity, place: Path) -> dict[str, Any]:
    """The manifest of a run that begins at a place: everything that is known before it has worked."""
    return {
        "schema": SCHEMA,
        "status": "partial",
        "name": place.name,
        # As it was given, so that commands can be written for the folder in which the run was started.
        "place": str(place),
        "kind": study.kind,
        "hash": identity.hash,
        "spec_hash": Identity(identity.study, {}).hash,
        "seeds": dict(_seeds(identity.study)),
        "model": {**_model(lm), "identity": identity.model},
        "data": dict(identity.data),
        "broca": __version__,
        "git": git(),
        "environment": environment(lm),
    }


def closing(result: object, lm: Any) -> dict[str, Any]:
    """What is known when the work is done: guards, warnings, hashes of data, memory."""
    contrast = plain(getattr(result, "contrast", None))
    data = dict(getattr(result, "data", None) or {})
    if isinstance(contrast, dict) and contrast.get("fingerprint"):
        data.setdefault("contrast", contrast["fingerprint"])
    return {
        "data": plain(data),
        "guards": plain(list(getattr(result, "guards", ()))),
        "warnings": [*map(str, getattr(result, "warnings", ())), *map(str, getattr(lm, "notes", ()))],
        "peak_memory": peak_memory(),
    }


def environment(lm: Any) -> dict[str, Any]:
    """Versions, device and settings that numbers may depend on."""
    torch = sys.modules.get("torch")
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "cuda": torch.version.cuda if torch else None,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "device": str(getattr(lm, "device", "")) or None,
        "device_name": _device_name(torch, lm),
        "threads": torch.get_num_threads() if torch else os.cpu_count(),
        "matmul_precision": torch.get_float32_matmul_precision() if torch else None,
        "deterministic": torch.are_deterministic_algorithms_enabled() if torch else None,
    }


def git() -> dict[str, Any] | None:
    """Commit of the repository that the working directory is in, and whether its tracked files were changed."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return None
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def peak_memory() -> dict[str, int | None]:
    """The most memory that this process has held, in bytes; on the first GPU too, where one was used."""
    torch = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return {"host": _resident(), "cuda": int(torch.cuda.max_memory_allocated()) if torch and used else None}


def _model(lm: Any) -> dict[str, Any]:
    config = getattr(getattr(lm, "model", None), "config", None)
    anatomy = getattr(lm, "anatomy", None)
    return {
        "name": lm.name,
        "revision": getattr(lm, "revision", None),
        "commit": getattr(config, "_commit_hash", None),
        "class": type(lm.model).__name__ if getattr(lm, "model", None) is not None else None,
        "fingerprint": lm.fingerprint,
        "dtype": dtype_name(lm),
        "gguf": getattr(config, "gguf", None),
        "generation": _generation(lm),
        "attention": getattr(config, "_attn_implementation", None),
        "batch_size": getattr(lm, "batch_size", None),
        "device_map": {k: str(v) for k, v in (getattr(getattr(lm, "model", None), "hf_device_map", None) or {}).items()}
        or None,
        "processor": type(lm.processor).__name__ if getattr(lm, "processor", None) is not None else None,
        "parameters": getattr(lm, "n_parameters", None),
        "anatomy": {
            name: plain(getattr(anatomy, name))
            for name in ("path", "n_layers", "n_heads", "n_kv_heads", "d_model", "error")
            if hasattr(anatomy, name)
        },
    }


def _generation(lm: Any) -> dict[str, Any] | None:
    """What texts are continued with, of the model's own settings: what is taken from them, and what is not."""
    if getattr(lm, "model", None) is None:
        return None
    from broca.models.decoding import ignored_settings, inherited_settings

    return {"inherited": plain(inherited_settings(lm.model)), "ignored": plain(ignored_settings(lm.model))}


def _seeds(spec: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in spec.items():
        if key in ("seed", "seeds"):
            yield f"{path}{key}", value
        elif isinstance(value, Mapping):
            yield from _seeds(value, f"{path}{key}.")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device_name(torch: Any, lm: Any) -> str | None:
    device = getattr(lm, "device", None)
    if torch is None or getattr(device, "type", None) != "cuda":
        return None
    return torch.cuda.get_device_name(device)


def _git(*arguments: str) -> str | None:
    program = shutil.which("git")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, no shell
            [program, "--no-optional-locks", *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _resident() -> int | None:
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
