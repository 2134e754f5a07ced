"""The command that writes a masked model as a checkpoint, and what finds a mask and its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from broca.cli import terminal
from broca.cli.execute import check_model, load_model
from broca.cli.options import Loading
from broca.cli.setting import Setting
from broca.errors import RunError, SpecError
from broca.page.shell import YOURS, command


def export(
    target: Path,
    *,
    to: Path,
    model: str | None = None,
    check: bool = True,
    loading: Loading = Loading(),
) -> None:
    """Write a masked model as a checkpoint of its own: config, safetensors, tokenizer.

    Args:
        target: A finished sensitivity run, or a mask file.
        to: Directory to write; there must be nothing yet.
        model: The model that is masked, where a mask file is given: directory, GGUF file, hub id, shipped organism, or smollm2.
        check: Load what was written once more, and compare every weight.
    """
    from broca.interventions.weights import WeightMask
    from broca.models.export import Export, check_target
    from broca.models.export import export as write
    from broca.storage import probe, writing

    file, name, items = mask_file(target, model)
    probe(to, folder=True)
    check_target(to)
    check_model(name, loading)
    WeightMask.load(file)
    lm = load_model(name, loading)
    mask = WeightMask.load(file, model=lm.fingerprint)
    with terminal.err.status(f"writing {to}"), writing(to):
        made = write(
            lm, [mask], to, Export(check=check, about={"mask": mask.weights.fingerprint, **mask.weights.about})
        )
    terminal.facts(
        [
            ("masked weights", f"{mask.weights.count:,} of {mask.weights.total:,} ({mask.edit.kind})"),
            ("size", terminal.bytes_in_words(made.bytes)),
            ("weights", made.fingerprint),
        ]
    )
    terminal.notes(made.notes)
    kept = Setting(name, loading).kept_options(working=False)
    kept.pop("revision", None)  # the copy is a directory
    terminal.following({"model": str(made.path)}, command("score", made.path, options=items | kept))


def mask_file(target: Path, model: str | None) -> tuple[Path, str, dict[str, Any]]:
    """The mask's file, the name of the model that it is for, and the items that a run was about, as options.

    Raises:
        RunError: if a run holds no mask of weights.
        SpecError: if nothing says which model it is for.
    """
    from broca.runs import open_run
    from broca.stimuli.options import is_folder

    if not is_folder(target):
        if model is None:
            raise SpecError(f"{target} is a mask and does not say where its model is. Add --model MODEL.")
        return target, model, {"items": YOURS}
    run, file = open_run(target), "mask.safetensors"
    if file not in run.manifest["files"]:
        raise RunError(f"{target} holds no mask of weights. Give a sensitivity run, or a mask file with --model.")
    run.file(file)
    named = model or run.spec["model"].get("name")
    if not named:
        raise SpecError(f"{target} names no model. Add --model MODEL.")
    study = run.spec["study"]
    return target / file, str(named), {"items": study.get("task", YOURS), "options": study.get("options")}
