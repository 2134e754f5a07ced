"""A changed model as a checkpoint of its own, for programs that load checkpoints: a server with tensor parallelism, say.

Studies never need one: they change weights in place and put them back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broca.errors import ModelError
from broca.models.build import save
from broca.models.force import Intervention
from broca.models.lm import LM
from broca.models.load import load
from broca.models.weight_hashes import weight_hash
from broca.storage import replacing, write_json

ABOUT = "broca.json"
"""The file in a checkpoint that says what was changed in which model."""


@dataclass(frozen=True, slots=True)
class ExportedCheckpoint:
    """A checkpoint that was written."""

    path: Path
    fingerprint: str
    """Hash of the changed weights: what `LM.load(path).fingerprint` is."""
    bytes: int
    """Size of all files."""
    notes: tuple[str, ...] = ()
    """What whoever uses it should know."""


@dataclass(frozen=True, slots=True)
class Export:
    """How a checkpoint is written."""

    check: bool = True
    """Load it once more and compare every weight; takes the memory of a second model while it does."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON that is kept with it."""


def export(lm: LM, changes: Sequence[Intervention], to: str | Path, how: Export = Export()) -> ExportedCheckpoint:
    """Write the model as it is under `changes`: config, weights (safetensors), tokenizer, and what was changed.

    It is written under a temporary name beside its own and renamed when it is whole; the model is left as it was.

    Args:
        lm: the model, all of it in memory.
        changes: interventions that change weights, applied left to right.
        to: the directory; there must be nothing of that name.
        how: whether to check it, and what to keep with it.

    Raises:
        RunError: if the disk refuses.
        ModelError: if there is something at `to`, weights are not in memory, no weight is changed (a
            lesion of units cannot be exported), or what was written does not load as what was meant.
    """
    to = check_target(to)
    _refuse_elsewhere(lm)
    before = weight_hash(lm.model)
    with replacing(to) as folder, lm.under(*changes):
        after = weight_hash(lm.model)
        if after == before:
            raise ModelError(
                "No weight would be changed, so the checkpoint would be the model itself. Give a mask of weights: what a lesion "
                "does to activations is not in a checkpoint."
            )
        notes = (*_tied(lm), *_others(lm))
        save(lm.model, lm.tokenizer, folder)
        about = {
            "format": "broca-export",
            "model": lm.name,
            "revision": lm.revision,
            "base": before,
            "weights": after,
            "changes": list(lm.condition),
            "about": dict(how.about),
            "notes": notes,
        }
        write_json(folder / ABOUT, about)
        if how.check:
            _check(folder, after)
    return ExportedCheckpoint(to, after, sum(file.stat().st_size for file in to.iterdir()), notes)


def check_target(to: str | Path) -> Path:
    """The directory of a checkpoint, of which nothing may be there yet.

    Raises:
        ModelError: if there is something.
    """
    to = Path(to).expanduser()
    if to.exists() or to.is_symlink():
        raise ModelError(f"There is something at {to} already. Give a directory that does not exist yet.")
    return to


def _refuse_elsewhere(lm: LM) -> None:
    away = [name for name, parameter in lm.model.named_parameters() if parameter.is_meta]
    if away:
        raise ModelError(
            f"{len(away)} weights of {lm.name} are not in memory ({away[0]}, ...), so they can neither be changed nor written. "
            "Load the model onto one device, or over several without offloading."
        )


def _tied(lm: LM) -> tuple[str, ...]:
    """One note for each tensor that several parameters share."""
    names: dict[int, list[str]] = {}
    for name, parameter in lm.model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return tuple(
        f"{' and '.join(shared)} are one tied tensor: it is written once, and what is changed in it is changed in all."
        for shared in names.values()
        if len(shared) > 1
    )


def _others(lm: LM) -> tuple[str, ...]:
    wanted = (lm.loaded or {}).get("dtype", "auto")
    return () if wanted == "auto" else (f"The weights are written as {wanted}, as they were loaded.",)


def _check(folder: Path, wanted: str) -> None:
    model, _ = load(str(folder), revision=None, dtype="auto", device="cpu", trust_remote_code=False)
    found = weight_hash(model)
    if found != wanted:
        raise ModelError(
            f"The checkpoint loads with other weights ({found}) than were written ({wanted}), so it was removed. This "
            "architecture, or this tie of weights, does not survive being saved by transformers."
        )


def _settle(folder: Path) -> None:
    """Flush the files to the disk."""
    for file in folder.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
