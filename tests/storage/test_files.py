"""Whole or absent, and nothing left behind: also after a kill at any step, on any refusal of the disk."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from broca.errors import RunError
from broca.storage import TEMPORARY, hold_lock, inside, is_locked, probe, read, refuse_links, replacing, sweep, write

POINTS = ("open", "replace", "fsync", "rmdir", "mkdir", "unlink")
"""Calls of the system that writing makes."""


def names(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))


def write_file(folder: Path) -> None:
    write(folder / "a" / "file", b"new")


def write_folder(folder: Path) -> None:
    with replacing(folder / "b") as part:
        part.mkdir()
        (part / "one").write_bytes(b"1")
        (part / "inner").mkdir()
        (part / "inner" / "two").write_bytes(b"2")


def killed_at(work, folder: Path, step: int) -> bool:
    """Do the work in a child that kills itself before its `step`-th call of the system; whether it came that far."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status)
    count = 0

    def counted(call):
        def called(*args, **more):
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **more)

        return called

    for name in POINTS:
        setattr(os, name, counted(getattr(os, name)))
    work(folder)
    os._exit(0)


@pytest.mark.parametrize("work", [write_file, write_folder])
def test_killed_before_any_step_the_next_one_ends_with_the_same_and_no_leftovers(tmp_path, work):
    (tmp_path / "whole").mkdir()
    work(tmp_path / "whole")
    wanted, step = names(tmp_path / "whole"), 1
    while True:
        folder = tmp_path / f"k{step}"
        folder.mkdir()
        if not killed_at(work, folder, step):
            break
        for name in names(folder):
            assert name in wanted or TEMPORARY in name
        if not (folder / "b").exists():  # a folder that is there is whole, and is not written over
            work(folder)
        sweep(folder)
        assert names(folder) == wanted
        step += 1
    assert step > 5


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path):
    write(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as part:
        part.write_bytes(b"%d" % (1 / 0))
    assert read(tmp_path / "a") == b"old"
    assert names(tmp_path) == ["a"]


def test_what_living_writers_and_others_have_there_is_left_alone(tmp_path):
    with replacing(tmp_path / "a") as part:
        part.write_bytes(b"mine")
        (tmp_path / ".tmp-notes").write_text("not ours")
        foreign = tmp_path / part.name.replace(part.name.split("-")[1], "abcdef")
        foreign.write_bytes(b"of another machine")
        assert sweep(tmp_path) == []
        (tmp_path / "held").mkdir()
        (tmp_path / "held" / foreign.name).write_bytes(b"")
        assert [each.name for each in sweep(tmp_path / "held", alone=True)] == [foreign.name]
        (tmp_path / "held").rmdir()
    assert names(tmp_path) == sorted([".tmp-notes", foreign.name, "a"])


REFUSALS = [
    (errno.ENOSPC, "Free some space"),
    (errno.EROFS, "may write to"),
    (errno.EDQUOT, "quota"),
    (errno.EIO, "Mend the disk"),
]


@pytest.mark.parametrize(("number", "words"), REFUSALS)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_the_disk_refuses_is_said_and_leaves_nothing(tmp_path, monkeypatch, number, words, call):
    write(tmp_path / "a", b"old")

    def refuse(*_args, **_more):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(RunError, match=f"could not be written.*{words}"):
        write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


ODD = {
    "too long": ("x" * 300, "shorter name"),
    "NUL": ("a\0b", "no file can have this name"),
    "half a character": ("a\ud800b", "no file can have this name"),
    "below a file": ("file/inner", "file stands where a directory"),
    "a circle": ("loop/inner", "circle|file stands"),
    "a device": ("full", "Free some space"),
}


@pytest.mark.parametrize("odd", ODD)
def test_places_that_are_none_are_refused_by_the_probe_and_by_the_writing(tmp_path, odd):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "full").symlink_to("/dev/full")
    before, (name, words) = names(tmp_path), ODD[odd]
    with pytest.raises(RunError, match=words):
        write(tmp_path / name, b"x")
    if odd != "a device":  # which says so only when it is written
        with pytest.raises(RunError, match=words):
            probe(tmp_path / name)
    assert names(tmp_path) == before


def test_a_probe_leaves_nothing_and_counts_the_room(tmp_path):
    probe(tmp_path / "new" / "deep" / "file")
    probe(tmp_path, folder=True)
    with pytest.raises(RunError, match="directory stands where a file"):
        probe(tmp_path)
    with pytest.raises(RunError, match="GB left"):
        probe(tmp_path / "file", size=10**18)
    assert names(tmp_path) == []


@pytest.mark.parametrize("there", [False, True])
def test_what_a_probe_leaves_that_was_killed_the_next_one_takes_away(tmp_path, there):
    assert killed_at(lambda folder: probe(folder / "out", folder=True), tmp_path, 1)
    assert [TEMPORARY in name for name in names(tmp_path)] == [True]
    if there:
        (tmp_path / "out").mkdir()
    probe(tmp_path / "out", folder=True)
    assert names(tmp_path) == ["out"] * there


# -- locks ---------------------------------------------------------------------------------------------------------------


def test_a_lock_is_there_during_the_body_alone(tmp_path):
    with hold_lock(tmp_path / "lock"):
        with (
            pytest.raises(RunError, match=f"Process {os.getpid()} on .* works on this run"),
            hold_lock(tmp_path / "lock"),
        ):
            pass
        assert names(tmp_path) == ["lock"]
    assert names(tmp_path) == []
    with pytest.raises(ZeroDivisionError), hold_lock(tmp_path / "lock"):
        raise ZeroDivisionError
    assert names(tmp_path) == []


@pytest.mark.parametrize("reaped", [True, False])
def test_a_dead_holder_holds_nothing_also_unreaped(tmp_path, reaped):
    ready, done = os.pipe()
    child = os.fork()
    if not child:
        with hold_lock(tmp_path / "lock"):
            os.write(done, b"x")
            signal.pause()
        os._exit(0)
    os.read(ready, 1)
    with pytest.raises(RunError, match=f"Process {child} on"), hold_lock(tmp_path / "lock"):
        pass
    os.kill(child, signal.SIGKILL)
    if reaped:
        os.waitpid(child, 0)
    else:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    with hold_lock(tmp_path / "lock"):
        pass
    assert names(tmp_path) == []
    if not reaped:
        os.waitpid(child, 0)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[" * 9000, b'{"pid": 1e999}', b'{"pid": 99999999999999999999, "host": "x"}', b"7"]
)
def test_what_stands_in_a_lock_file_that_nobody_holds_does_not_matter(tmp_path, content):
    (tmp_path / "lock").write_bytes(content)
    with hold_lock(tmp_path / "lock"):
        pass
    assert names(tmp_path) == []


def test_whether_somebody_holds_a_lock(tmp_path):
    assert not is_locked(tmp_path / "lock")
    with hold_lock(tmp_path / "lock"):
        assert is_locked(tmp_path / "lock")
    (tmp_path / "lock").write_text(f'{{"pid": {os.getpid()}, "host": "x"}}')
    assert not is_locked(tmp_path / "lock")
    assert names(tmp_path) == ["lock"]


# -- links ---------------------------------------------------------------------------------------------------------------


def test_what_is_inside_a_folder(tmp_path):
    (tmp_path / "run" / "tables").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / "run")
    assert inside(tmp_path / "alias", "tables/a.parquet") == tmp_path / "alias" / "tables" / "a.parquet"
    for name in ("", "..", "../run", "/etc/passwd", "a/../../b", "a\0b"):
        with pytest.raises(RunError, match="names no file inside"):
            inside(tmp_path, name)


def test_a_link_on_the_way_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    refuse_links(tmp_path / "run")
    (tmp_path / "run" / "tables").symlink_to(tmp_path)
    (tmp_path / "run" / "dead").symlink_to(tmp_path / "nothing")
    for name in ("tables/a.parquet", "tables", "dead"):
        with pytest.raises(RunError, match="is a link, and links inside a run are not followed"):
            inside(tmp_path / "run", name)
    with pytest.raises(RunError, match="dead is a link"):
        refuse_links(tmp_path / "run")
