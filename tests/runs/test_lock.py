from __future__ import annotations

import errno
import json
import os
import platform

import pytest

from broca.errors import RunError
from broca.runs import lock as locks
from broca.runs.lock import _identity, is_locked, locked


def test_a_lock_is_there_during_the_body_alone(tmp_path):
    lock = tmp_path / "lock"
    with locked(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError), locked(lock):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_who_lives_is_not_disturbed(tmp_path):
    with (
        locked(tmp_path / "lock"),
        pytest.raises(RunError, match=f"Process {os.getpid()} works"),
        locked(tmp_path / "lock"),
    ):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("holder", [{"pid": 2**22 + 1}, {"born": "1"}], ids=["ended", "number given again"])
def test_the_dead_hold_nothing(tmp_path, holder):
    if "born" in holder and _identity(os.getpid())["born"] is None:
        pytest.skip("this platform does not say when a process began")
    (tmp_path / "lock").write_text(json.dumps(_identity(os.getpid()) | holder))
    with locked(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock").read_text()) == _identity(os.getpid())
    assert not list(tmp_path.iterdir())


def test_another_machine_is_believed(tmp_path):
    (tmp_path / "lock").write_text(json.dumps({"pid": 1, "host": platform.node() + "x", "born": None}))
    with pytest.raises(RunError, match=r"Process 1 on .*x works.*delete"), locked(tmp_path / "lock"):
        pass
    assert (tmp_path / "lock").exists()


def test_a_lock_without_a_name_is_believed_while_it_is_young(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text("")
    with pytest.raises(RunError, match="being taken"), locked(lock):
        pass
    os.utime(lock, (0, 0))
    with locked(lock):
        pass


def test_a_lock_that_a_full_disk_cut_short_is_taken_away(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(locks.json, "dump", full)
        with pytest.raises(RunError, match="No space left"), locked(tmp_path / "lock"):
            pass
    assert not list(tmp_path.iterdir())


def test_whether_somebody_holds_it(tmp_path):
    assert not is_locked(tmp_path / "lock")
    with locked(tmp_path / "lock"):
        assert is_locked(tmp_path / "lock")
    (tmp_path / "lock").write_text(json.dumps(_identity(os.getpid()) | {"pid": 2**22 + 1}))
    assert not is_locked(tmp_path / "lock")
