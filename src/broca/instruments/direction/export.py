"""The direction at the chosen layer as a file, beside a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from broca.errors import SpecError
from broca.instruments.direction.result import direction_at
from broca.registry import COMPAT
from broca.sites import Site
from broca.storage import probe

SUFFIXES = (".safetensors", ".gguf")


def check_export(study: Any, path: Path) -> None:
    """Refuse a file of no known kind, or a place where llama.cpp has none, before the work.

    Raises:
        SpecError: if it is one.
        RunError: if it cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise SpecError(f"--export {path}: give a name that ends in {' or '.join(SUFFIXES)}.")
    if path.suffix == ".gguf" and not study.sites.endswith(".resid_post"):
        raise SpecError(
            f"--export {path}: llama.cpp adds control vectors to outputs of blocks alone. Fit there: --sites '*.resid_post'."
        )
    if path.suffix == ".gguf" and study.layer == 0:
        raise SpecError(
            f"--export {path}: llama.cpp has no control vector of layer 0. Give another --layer, or a name that ends in .safetensors."
        )
    probe(path)


def write_export(run: Any, path: Path) -> dict[str, str]:
    """Write it, and say where."""
    result, arrays = run.result, run.tensors
    steered = result["steered"]
    site = steered["site"]
    tables = [{Site.parse(site): arrays[f"{name}/{site}"]} for name in ("vectors", "readers", "centres")]
    direction = direction_at(tables[0], tables[1], tables[2], steered)
    if path.suffix == ".gguf":
        COMPAT["control-vector"](direction, path, model_type=steered["model_type"])
    else:
        direction.save(path)
    return {"direction": str(path)}
