"""Types commands of `small` where there is no room: on disks that are read-only, or full before the work or within it.

    python disks.py FOLDER NAME ...

The disk is a small tmpfs where this process may mount one; else the size of files is limited. Then room is made, and the same command is
typed again. One line of JSON is printed a command: how many disks there were, and what was wrong on which.
"""

# ruff: noqa: T201 - the script speaks to the test that started it
from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import kills
import torch

import small
from broca.models.lm import LM

PAGE = 4096
SHARES = (0.25, 0.5, 0.75)
DISK = "disk"
PASSED = "a model is loaded"
# A command ends with the short name of the kind; what is written by a call alone raises the sentence itself.
SENTENCE = re.compile(r"could not be written: [^\n]+\.(?: \[run\])?\s*$|takes [^\n]+ GB, and [^\n]+\. \[\w+\]\s*$")


def placed(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words with the place on the disk."""
    return (*words[:-1], f"{DISK}/{words[-1]}")


def mounted(place: Path, *options: str) -> bool:
    """Whether a tmpfs with these options is at a place now."""
    program = shutil.which("mount")
    command = [program or "", "-t", "tmpfs", "-o", ",".join(options), "broca-test", str(place)]
    return program is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def disk(folder: Path, size: int) -> Iterator[bool]:
    """A disk of so many bytes in a folder; whether it could be had."""
    (folder / DISK).mkdir()
    had = mounted(folder / DISK, f"size={max(1, size // PAGE + 1) * PAGE}")
    try:
        yield had
    finally:
        if had:
            subprocess.run(["umount", str(folder / DISK)], check=False)


def size_of(folder: Path) -> int:
    """What a folder takes, in whole pages, as a tmpfs counts."""
    return sum(-(-path.lstat().st_size // PAGE) * PAGE for path in folder.rglob("*") if path.is_file())


def limited(words: tuple[str, ...], size: int | None, *, loads: bool = True) -> Callable[[], int]:
    """The command, where no file may be larger than so many bytes; where it may not load a model, it says that it would."""

    def work() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if not loads:
            LM.load = refuse
        if size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        return small.typed(words)

    return work


def refuse(*_: object, **__: object) -> None:
    raise AssertionError(PASSED)


def wrong(folder: Path, code: int, said: str) -> str:
    """What is not as it should be after a command that found no room."""
    faults = []
    if code != 1:
        faults.append(f"it ends with {code}")
    if "Traceback" in said or not SENTENCE.search(said):
        faults.append(f"it says {said[-700:]}")
    if left := [str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.startswith(".tmp-")]:
        faults.append(f"it leaves {', '.join(left)}")
    if left := [str(path.relative_to(folder)) for path in folder.rglob("*.lock")]:
        faults.append(f"it leaves {', '.join(left)}")
    return "; ".join(faults)


def no_room(start: Path, folder: Path, words: tuple[str, ...]) -> Iterator[str]:
    """A disk on which nothing can be written: said before any work, and nothing is made."""
    small.copied(start, folder)
    with disk(folder, PAGE) as had:
        if had:
            mounted(folder / DISK, "remount", "ro")
        code, said = kills.forked(folder, limited(words, None if had else 0, loads=False))
        yield wrong(folder, code, said)
        if had:
            mounted(folder / DISK, "remount", "rw")
            fill(folder / DISK)
            code, said = kills.forked(folder, limited(words, None, loads=False))
            yield wrong(folder, code, said)


def fill(place: Path) -> None:
    """Use up all the room of a disk."""
    handle = os.open(place / "full", os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(handle, b"\1" * PAGE):
            pass
    except OSError:
        os.close(handle)


def some_room(start: Path, folder: Path, words: tuple[str, ...], whole: dict[str, str], size: int) -> str:
    """A disk that is full within the work: one sentence, nothing half written; with more room the same command ends as always."""
    small.copied(start, folder)
    with disk(folder, size) as had:
        code, said = kills.forked(folder, limited(words, None if had else size))
        if code == 0:  # what it writes is smaller than its parts were together
            return "" if kills.essence(folder, without=start) == whole else "it ends with 0, and other files"
        if fault := wrong(folder, code, said):
            return fault
        if had:
            mounted(folder / DISK, "remount", "size=1g")
        return kills.ended(folder, words, start, whole)


def law(base: Path, work: Path, name: str) -> dict[str, object]:
    """All disks for one command."""
    words, start = placed(small.COMMANDS[name].words), kills.prepared(base, work, name)
    whole_at = small.copied(start, work / f"{name} whole")
    (whole_at / DISK).mkdir()
    code, said = kills.forked(whole_at, lambda: small.typed(words))
    if code:
        return {"name": name, "disks": 0, "faults": [f"with room it ends with {code}: {said[-1500:]}"]}
    whole, size, faults, disks = kills.essence(whole_at, without=start), size_of(whole_at / DISK), [], 0
    for fault in no_room(start, work / f"{name} none", words):
        disks += 1
        faults += [f"no room: {fault}"] if fault else []
    for share in SHARES:
        disks += 1
        fault = some_room(start, work / f"{name} {share}", words, whole, int(share * size))
        faults += [f"{share:.0%} of {size:,} bytes: {fault}"] if fault else []
    return {"name": name, "disks": disks, "faults": faults}


def main(work: Path, names: list[str]) -> None:
    from broca.organisms import finetuning as tuned
    from broca.organisms.kth import train

    tuned.EXAM = train.EXAM = 10
    torch.set_num_threads(1)
    base = small.folder(work / "base")
    os.chdir(base)
    kills.once(names)
    for name in names:
        print(json.dumps(law(base, work, name)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
