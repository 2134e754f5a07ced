"""Proofs that a model passed on this machine: what is as it should be need not be proved again when the same model is loaded.

A proof is remembered by everything that it depends on: the model as it is (weights, config, kernels, somebody's hooks), the versions of
torch and transformers, the processor or the accelerator, and the source of this room, so that a change of a single line proves anew. What a
model did not pass is never remembered: its notes are made each time. A file that is not as it was written counts for nothing.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import torch

import broca
from broca.errors import BrocaError
from broca.models import hooks
from broca.models.identity import identity
from broca.models.placement import device_of
from broca.models.subject import Subject
from broca.storage import digest, write
from broca.storage.user_cache import user_cache

T = TypeVar("T")

LEAST = 50_000_000
"""Parameters below which a proof takes no longer than to ask who a model is."""

_anew: WeakSet[torch.nn.Module] = WeakSet()
"""Models that are proved in any case."""


def prove_again(model: torch.nn.Module) -> None:
    """From now on take nothing for proved of a model but what is proved in this process."""
    _anew.add(model)


def proof(lm: Subject, what: str, kind: object, prove: Callable[[], T], best: T) -> T:
    """What a proof comes to: `best` where this very model has passed it here before, and else what it comes to now.

    Args:
        lm: the model; proofs are of the model without what is in force.
        what: what is proved.
        kind: of what texts, or whatever else it depends on; what JSON can hold.
        prove: does it.
        best: what it comes to where it comes out as well as it can.
    """
    if lm.model in _anew or sum(each.numel() for each in lm.model.parameters()) < LEAST:
        return prove()
    content = _content(lm, what, kind)
    place = user_cache() / "proofs" / digest(content)[:32]
    if _reads(place, content):
        return best
    found = prove()
    if found == best:
        _keep(place, content)
    return found


def _content(lm: Subject, what: str, kind: object) -> bytes:
    """Everything that a proof depends on."""
    with hooks.suspend():
        who = identity(lm.model, lm.tokenizer, getattr(lm, "processor", None))
    told: dict[str, Any] = {
        "proof": what,
        "kind": kind,
        "model": who,
        "class": type(lm.model).__qualname__,
        "here": _here(),
    }
    device = device_of(lm.model)
    told["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return json.dumps(told, sort_keys=True, default=str).encode()


@cache
def _here() -> list[str]:
    """Versions, the processor, and the source of this room."""
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        sources.update(path.read_bytes())
    versions = [f"{name} {version(name)}" for name in ("torch", "transformers")] + [f"broca {broca.__version__}"]
    return [*versions, platform.machine(), torch.backends.cpu.get_cpu_capability(), sources.hexdigest()]


def _reads(place: Path, content: bytes) -> bool:
    """Whether a proof lies there as it was written."""
    try:
        return place.stat().st_size == len(content) and place.read_bytes() == content
    except OSError:
        return False


def _keep(place: Path, content: bytes) -> None:
    """A cache that cannot be written costs nothing but time."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write(place, content)
    except (OSError, BrocaError):
        return
