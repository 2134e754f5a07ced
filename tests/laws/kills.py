"""Kills commands of `small` at moments of their writing, types them again, and compares what is there then with an unkilled one's.

    python kills.py FOLDER MOMENTS NAME ...

Everything is imported and models are loaded once; each command is typed in a child forked from that. In the child every call that
changes the file system under its folder is counted. Before the n-th of them it ends itself by SIGKILL; or, so that it dies within what it
writes, by the system's own signal at the eighth byte that is written from then on. One line of JSON is printed a command.
"""

# ruff: noqa: T201 - the script speaks to the test that started it
from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import torch

import small
from broca.models.lm import LM

DYING = (-signal.SIGKILL, -signal.SIGXFSZ)
SECONDS = 300
"""That one command may take; one that hangs ends so."""
TORN = 7
"""Bytes of a file that are written before its writer dies within it."""
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "sqlite3.connect"}
OPEN_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PASSING = ("created", "finished", "seconds", "sessions", "cells", "peak_memory", "seal")
"""What of a manifest says when and how it was made, and not what."""


# -- one child -----------------------------------------------------------------------------------------------------


def forked(folder: Path, work: Callable[[], int]) -> tuple[int, str]:
    """Do the work in a child, in a folder; gives its exit code, or minus the signal, and what it said on standard error."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 70
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(writing, 2)
            os.chdir(folder)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            signal.alarm(SECONDS)
            code = work()
        except BaseException:  # noqa: BLE001 - nothing may leave a forked child but by its end
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as heard:
        said = heard.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def watched(act: Callable[[str, str | None], None]) -> None:
    """Call `act` before whatever this process changes below its folder, with what is done and to which path."""
    here = os.path.realpath(".") + os.sep

    def inside(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        # Links stay as they are; pathlib would follow them.
        return (os.path.abspath(os.fsdecode(path)) + os.sep).startswith(here)  # noqa: PTH100

    def hook(event: str, args: tuple) -> None:
        if event == "open":
            if args[2] & OPEN_TO_WRITE and inside(args[0]):
                act(event, os.fsdecode(args[0]))
        # What is named from an open folder is part of taking a tree away.
        elif event in CHANGES and (inside(args[0]) or (event in ("os.remove", "os.rmdir") and args[1] != -1)):
            act(event, None)

    sync = os.fsync

    def fsync(handle: int) -> None:
        act("fsync", None)
        sync(handle)

    os.fsync = fsync
    sys.addaudithook(hook)


def counting(words: tuple[str, ...]) -> Callable[[], int]:
    def work() -> int:
        seen: list[str] = []
        watched(lambda event, _: seen.append(event))
        code = small.typed(words)
        sys.stderr.write(f"\n{json.dumps(seen)}")
        return code

    return work


def dying(words: tuple[str, ...], at: int, how: str) -> Callable[[], int]:
    """The command, ended before its `at`-th change, or while it writes thereafter."""

    def work() -> int:
        count = 0

        def act(event: str, path: str | None) -> None:
            nonlocal count
            count += 1
            if count != at:
                return
            if how == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            held = Path(path).stat().st_size if path is not None and Path(path).exists() else 0
            resource.setrlimit(resource.RLIMIT_FSIZE, (held + TORN, resource.RLIM_INFINITY))

        watched(act)
        return small.typed(words)

    return work


# -- what is there -------------------------------------------------------------------------------------------------


def essence(folder: Path, *, without: Path) -> dict[str, str]:
    """Digest of each file by name, but for what legitimately differs: times, counts of sessions. The inputs are left out."""
    found = {}
    for store in folder.rglob("*.sqlite"):
        lasting(
            store
        )  # one that was killed within its writing rolls back when it is opened, and takes its journal away
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not (without / name).exists() and not path.is_dir():
            found[name] = hashlib.sha256(lasting(path)).hexdigest()
    return found


def lasting(path: Path) -> bytes:
    """What of a file is the same each time."""
    content = path.read_bytes()
    if path.name == "log.jsonl":
        return b"".join(b"%d" % isinstance(json.loads(line), dict) for line in content.splitlines()[:1])
    if path.suffix == ".sqlite":
        with closing(sqlite3.connect(path)) as store:
            return "\n".join(sorted(store.iterdump())).encode()
    if path.name in ("manifest.json", "training.json"):
        told = json.loads(content)
        for passing in PASSING:
            told.pop(passing, None)
        return json.dumps(told).encode()
    if path.suffix == ".html":
        # What it is made of is compared byte for byte; here times and digests are passed over.
        content = re.sub(rb"\b[0-9a-f]{64}\b", b"", content)
        return re.sub(rb"\d[\d.:T+-]* ?(s|seconds?|minutes?|sessions?|MB|GB|UTC)?\b", b"", content)
    return content


# -- the law -------------------------------------------------------------------------------------------------------


def moments(seen: list[str], most: int) -> list[tuple[int, str]]:
    """When to kill: before each change, and within what is written after it, evenly spread."""
    every = []
    for at, event in enumerate(seen, 1):
        every.append((at, "before"))
        if event in ("open", "sqlite3.connect", "os.mkdir"):
            every.append((at, "inside"))
    if len(every) <= most:
        return every
    return [every[round(i * (len(every) - 1) / (most - 1))] for i in range(most)]


def prepared(base: Path, work: Path, name: str) -> Path:
    """The folder in which a command is typed, after those that come before it were."""
    start = base
    for before in small.COMMANDS[name].before:
        start = small.copied(start, work / f"{before} before {name}")
        code, said = forked(start, lambda before=before: small.typed(small.COMMANDS[before].words))
        assert code == 0, said
    for pattern in small.COMMANDS[name].lacking:
        for path in start.glob(pattern):
            path.unlink()
    return start


def law(base: Path, work: Path, name: str, most: int) -> dict[str, object]:
    """Kill a command at moments; gives how many kills there were, and each that did not come to the same end."""
    words, start = small.COMMANDS[name].words, prepared(base, work, name)
    code, said = forked(small.copied(start, work / f"{name} whole"), counting(words))
    if code:
        return {"name": name, "kills": 0, "faults": [f"unkilled it ends with {code}: {said[-1500:]}"]}
    seen, whole = json.loads(said.rpartition("\n")[2]), essence(work / f"{name} whole", without=start)
    kills, faults = 0, []
    for at, how in [(0, "never"), *moments(seen, most)]:
        folder = small.copied(start, work / f"{name} {at} {how}")
        code, _ = forked(folder, dying(words, at, how))
        kills += code in DYING
        if fault := ended(folder, words, start, whole):
            faults.append(f"{how} {at} of {len(seen)} ({seen[at - 1] if at else ''}), ended by {code}: {fault}")
        else:
            shutil.rmtree(folder)
    return {"name": name, "events": len(seen), "kills": kills, "faults": faults}


def ended(folder: Path, words: tuple[str, ...], start: Path, whole: dict[str, str]) -> str:
    """What is wrong with a folder after the command was typed again; empty if nothing is."""
    if essence_or_none(folder, start) == whole:
        return ""
    code, said = forked(folder, lambda: small.typed(words))
    if code:
        return f"typed again it ends with {code}: {said[-1500:]}"
    found = essence(folder, without=start)
    other = sorted(name for name in found.keys() | whole.keys() if found.get(name) != whole.get(name))
    return ", ".join(
        f"{name} is {'missing' if name not in found else 'left' if name not in whole else 'other'}" for name in other
    )


def essence_or_none(folder: Path, start: Path) -> dict[str, str] | None:
    try:
        return essence(folder, without=start)
    except (ValueError, sqlite3.Error):
        return None


def once(names: list[str]) -> None:
    """Load each model of these commands once, for all children: a fork has a copy of its own."""
    load, kept = LM.load, {}

    def loaded(name: str, **how: object) -> LM:
        key = (str(name), repr(sorted(how.items(), key=str)))
        if key not in kept:
            kept[key] = load(name, **how)
        return kept[key]

    LM.load = loaded
    from dataclasses import asdict

    from broca.cli.options import Loading

    asked = [small.COMMANDS[name].words for name in names]
    words = {word for each in asked if each[0] != "organism" for word in each[1:3]}
    for name in words & {"tiny", "kth", "sums"}:
        LM.load(name, **asdict(Loading()))


def main(work: Path, most: int, names: list[str]) -> None:
    from broca.organisms import finetuning as tuned
    from broca.organisms.kth import train

    tuned.EXAM = train.EXAM = 10
    torch.set_num_threads(1)  # others would be missing in a fork, and waited for
    base = small.folder(work / "base")
    os.chdir(base)
    once(names)
    for name in names:
        print(json.dumps(law(base, work, name, most)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
