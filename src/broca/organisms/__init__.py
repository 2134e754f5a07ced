"""Small models with known insides, trained by this project and shipped with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from broca.errors import ModelError
from broca.registry import ORGANISMS, unknown

NAMES = tuple(ORGANISMS)
"""The organisms that come with the package."""


def organism_path(name: str) -> Path:
    """The directory of a shipped organism, which loads like any Hugging Face model.

    Raises:
        UnknownName: if there is no organism of that name.
        ModelError: if its weights are not in this installation.
    """
    if name not in NAMES:
        raise unknown("Organism", name, NAMES)
    home, _, kind = name.partition("-")
    path = Path(str(files("broca.organisms"))) / home / f"weights{'-' * bool(kind)}{kind}"
    if not (path / "model.safetensors").is_file():
        raise ModelError(
            f"The weights of organism {name!r} are not in this installation. Reinstall broca, or train them with "
            f"`broca organism train {name}`."
        )
    return path


def features_path(name: str) -> Path | None:
    """The dictionary of features that comes with an organism; None where there is none, or no organism of that name."""
    path = Path(str(files("broca.organisms"))) / name / "features.safetensors"
    return path if name in NAMES and path.is_file() else None


def trainer(name: str) -> Callable[..., Any]:
    """What trains the organism of that name: ``train(out, *, seed, steps, progress)``, which returns its report.

    Raises:
        UnknownName: if there is no organism of that name.
    """
    if name not in NAMES:
        raise unknown("Organism", name, NAMES)
    home, _, k = name.partition("-")
    train = import_module(f"broca.organisms.{home}.train").train
    return partial(train, k=int(k)) if k else train
