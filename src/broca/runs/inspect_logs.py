"""The scored items of a run as logs of inspect_ai, written into its folder."""

from __future__ import annotations

from pathlib import Path

from broca.compat.inspect_log import inspect_logs
from broca.errors import RunError
from broca.runs.formats import json_to_bytes
from broca.runs.opening import open_run
from broca.storage import inside, write, writing

FOLDER = "inspect"


def write_inspect_logs(path: str | Path) -> Path:
    """Write ``inspect/*.json`` into a run's directory: one log for each condition that is no random draw.

    Raises:
        RunError: if the run is unfinished, damaged, or scored no items.
    """
    run = open_run(path)
    if not {"items", "prompts"} <= set(run.tables):
        raise RunError(f"{run.path} scored no items that are kept one by one. Give a run of lesion or sensitivity.")
    folder = inside(run.path, FOLDER)
    with writing(folder):
        folder.mkdir(exist_ok=True)
    logs = inspect_logs(
        run.tables["items"], run.tables["prompts"], model=str(run.manifest["model"]["name"]), created=str(run.manifest["created"]),
        study=run.spec["study"],
    )  # fmt: skip
    for name, log in logs:
        write(folder / f"{name}.json", json_to_bytes(log))
    return folder
