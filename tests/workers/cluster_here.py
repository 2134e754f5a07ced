"""A cluster of this machine: `sbatch`, `srun`, `sacct` and `scancel`, as far as submitit uses them, as scripts in a folder.

    python cluster_here.py sbatch|srun|sacct|scancel WORDS

An array job's tasks run in the background, each in a process group of its own. What was submitted stays in the folder.
"""

# ruff: noqa: T201 - the words of a command line
from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(os.environ.get("CLUSTER_HERE", "."))


def install(folder: Path) -> None:
    """Put the commands into a folder, which is to be on the path."""
    for name in ("sbatch", "srun", "sacct", "scancel"):
        place = folder / name
        place.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {__file__} {name} "$@"\n')
        place.chmod(0o755)


def sbatch(words: list[str]) -> None:
    script = Path(words[0]).read_text()
    if "--partition=full" in script:
        sys.exit("sbatch: error: invalid partition specified: full\nsbatch: error: Batch job submission failed")
    number = 1 + len(list(HERE.glob("*.script")))
    (HERE / f"{number}.script").write_text(script)
    array = re.search(r"--array=0-(\d+)", script)
    for task in range(int(array[1]) + 1) if array else [None]:
        ours = {"SLURM_JOB_ID": f"{number}", "SLURM_PROCID": "0"}
        if task is not None:
            ours |= {"SLURM_ARRAY_JOB_ID": f"{number}", "SLURM_ARRAY_TASK_ID": f"{task}"}
        name = f"{number}" if task is None else f"{number}_{task}"
        process = subprocess.Popen(
            ["bash", "-c", f'{script}; echo $? > "{HERE}/{name}.code"'],
            env=os.environ | ours,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        (HERE / f"{name}.pid").write_text(str(process.pid))
    print(f"Submitted batch job {number}")


def srun(words: list[str]) -> None:
    job = os.environ["SLURM_JOB_ID"]
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID", job), os.environ.get("SLURM_ARRAY_TASK_ID", "")
    command = list(words)
    while command[0].startswith("--"):
        option = command.pop(0)
        if option in ("--output", "--error"):
            place = command.pop(0)
            for sign, value in (("%A", array), ("%a", task), ("%j", job), ("%t", "0")):
                place = place.replace(sign, value)
            file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, 1 if option == "--output" else 2)
    os.execvp(command[0], command)


def sacct(words: list[str]) -> None:
    print("JobID|State|NodeList")
    for place in HERE.glob("*.pid"):
        code = place.with_suffix(".code")
        state = ("COMPLETED" if code.read_text().strip() == "0" else "FAILED") if code.exists() else "RUNNING"
        if (HERE / f"{place.stem}.cancelled").exists():
            state = "CANCELLED"
        print(f"{place.stem}|{state}|here")


def scancel(words: list[str]) -> None:
    (HERE / f"{words[0]}.cancelled").touch()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(int((HERE / f"{words[0]}.pid").read_text()), signal.SIGTERM)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2:])
