from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from broca.errors import RunError
from broca.runs.execution import run
from broca.runs.opening import open_run
from broca.storage.temporary import temporary_of
from broca.workers import Local
from runs import toy
from runs.toy import Choice, Toy, ToyLM, ToyResult

SCRIPT = Path(toy.__file__)
LM = ToyLM()


def own(path: Path) -> dict[str, bytes]:
    """Everything of a run that must not depend on how it came about."""
    files = [path / "spec.toml", path / "result.json", path / "tensors.safetensors", *path.glob("tables/*")]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def script(*args: object, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, args)],
        text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        **options,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    return own(run(Toy(), LM, tmp_path_factory.mktemp("whole") / "toy").path)


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """Which cells are computed."""
    cells: list[int] = []
    monkeypatch.setattr(toy, "HOOK", cells.append)
    return cells


def test_a_run_holds_what_the_design_says(tmp_path):
    done = run(Toy(), LM, tmp_path / "toy")
    names = sorted(str(p.relative_to(done.path)) for p in done.path.rglob("*") if p.is_file())
    assert names == [
        "log.jsonl",
        "manifest.json",
        "result.json",
        "spec.toml",
        "tables/items.parquet",
        "tables/layers.parquet",
        "tensors.safetensors",
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]
    assert done.manifest["status"] == "finished"
    assert done.manifest["cells"] == {"computed": 12, "reused": 0, "discarded": 0}
    assert [e["event"] for e in done.log] == ["start", *["cell"] * 12, "finish"]


def test_two_runs_have_the_same_bytes(tmp_path, whole):
    assert own(run(Toy(), LM, tmp_path / "again").path) == whole


def test_the_name_comes_from_kind_and_hash(tmp_path):
    a, b = run(Toy(), LM, out=tmp_path), run(Toy(name="My Test!"), LM, out=tmp_path)
    assert a.path.name == f"toy-{a.manifest['hash'][:6]}"
    assert b.path.name == f"my-test-{b.manifest['hash'][:6]}"


def test_a_finished_run_is_reopened(tmp_path, computed):
    first = run(Toy(), LM, out=tmp_path)
    before = (first.path / "manifest.json").read_bytes()
    computed.clear()
    again = run(Toy(), LM, out=tmp_path)
    assert again == first
    assert computed == []
    assert (first.path / "manifest.json").read_bytes() == before


def test_a_finished_run_is_never_overwritten(tmp_path):
    run(Toy(), LM, tmp_path / "a")
    with pytest.raises(RunError, match="not overwritten"):
        run(Toy(), LM, tmp_path / "a", resume=False)


@pytest.mark.parametrize(
    "changed",
    [
        {"fingerprint": "f" * 16},
        {"dtype": "torch.bfloat16"},
        {"condition": ("lesion",)},
    ],
)
def test_another_model_is_another_run(tmp_path, changed):
    run(Toy(), LM, tmp_path / "a")
    with pytest.raises(RunError, match=f"model.{next(iter(changed))}: .* there, .* here"):
        run(Toy(), ToyLM(**changed), tmp_path / "a")


def test_other_data_under_the_same_name_is_another_run(tmp_path):
    class Dated(Toy):
        def data_fingerprints(self):
            return {"contrast": content}

    content = "aaaa"
    run(Dated(), LM, tmp_path / "a")
    content = "bbbb"
    with pytest.raises(RunError, match=r"data\.contrast: 'aaaa' there, 'bbbb' here"):
        run(Dated(), LM, tmp_path / "a")


def test_another_spec_is_refused_by_its_fields(tmp_path, whole):
    run(Toy(), LM, tmp_path / "a")
    with pytest.raises(RunError) as caught:
        run(Toy(seed=3, selection=Choice(percent=None, count=7)), LM, tmp_path / "a")
    text = str(caught.value)
    assert "seed: 0 there, 3 here" in text
    assert "selection.percent: 1.0 there, None here" in text
    assert "selection.count: None there, 7 here" in text
    assert "n_cells" not in text
    assert "Choose another path" in text
    assert own(tmp_path / "a") == whole


def test_what_is_no_run_is_not_touched(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="is not a run"):
        run(Toy(), LM, tmp_path / "a")
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "thesis.txt"]
    with pytest.raises(RunError, match="is not a run"):
        run(Toy(), LM, tmp_path / "a" / "thesis.txt")


def test_an_empty_directory_is_filled(tmp_path, whole):
    (tmp_path / "a").mkdir()
    assert own(run(Toy(), LM, tmp_path / "a").path) == whole


@pytest.mark.parametrize("path", ["", ".", "..", "x/.."])
def test_a_path_without_a_name_is_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="names no directory"):
        run(Toy(), LM, path)


# -- ends before the end ---------------------------------------------------------------------------------------------


def test_killed_at_any_step_it_resumes_to_the_same_bytes(tmp_path, whole):
    with script(tmp_path / "count", "count", 0) as counting:
        steps = int(counting.communicate()[0])
    assert steps > 40
    at = sorted({1 + round(k * (steps - 1) / 11) for k in range(12)})
    children = {k: script(tmp_path / f"k{k}", "kill", k) for k in at}
    for k, child in children.items():
        with child:
            child.communicate()
        assert child.returncode == -signal.SIGKILL
        path = tmp_path / f"k{k}"
        if path.exists():
            assert own(open_run(path).path) == whole  # what has the name is whole
        assert own(run(Toy(), LM, path).path) == whole
        assert not (tmp_path / f".k{k}.partial").exists()
    later = json.loads((tmp_path / f"k{at[6]}" / "manifest.json").read_text())
    assert later["sessions"] == 2
    assert later["cells"]["reused"] > 0
    assert later["cells"]["computed"] in (11, 12, 13)


def test_a_stopped_study_computes_only_what_is_missing(tmp_path, monkeypatch, whole):
    computed = []

    def stumble(i):
        computed.append(i)
        if i == 5 and computed.count(5) == 1:
            raise ZeroDivisionError("a bug")

    monkeypatch.setattr(toy, "HOOK", stumble)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(Toy(), LM, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(RunError, match="not finished"):
        open_run(tmp_path / "a")
    assert own(run(Toy(), LM, tmp_path / "a").path) == whole
    assert computed == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11]
    events = open_run(tmp_path / "a").log
    assert [e["event"] for e in events if e["event"] != "cell"] == ["start", "stopped", "resume", "finish"]


def test_ctrl_c_leaves_a_run_that_resumes(tmp_path, computed, whole):
    with script(tmp_path / "a", "wait", 4, stderr=subprocess.PIPE) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        _, complaint = child.communicate()
    assert "KeyboardInterrupt" in complaint
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a.partial"]
    assert own(run(Toy(), LM, tmp_path / "a").path) == whole
    assert computed == list(range(4, 12))


def test_one_process_at_a_time_and_a_dead_one_does_not_count(tmp_path, computed, whole):
    with script(tmp_path / "a", "wait", 2) as child:
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(RunError, match=f"Process {child.pid} on .* works on this run"):
            run(Toy(), LM, tmp_path / "a")
        child.kill()
    assert (tmp_path / ".a.lock").exists()
    assert own(run(Toy(), LM, tmp_path / "a").path) == whole
    assert computed == list(range(2, 12))
    assert not (tmp_path / ".a.lock").exists()


def stop_at(monkeypatch, cell):
    def stop(i):
        if i == cell:
            raise KeyboardInterrupt

    monkeypatch.setattr(toy, "HOOK", stop)


def test_an_unfinished_run_of_another_spec(tmp_path, monkeypatch, whole):
    stop_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        run(Toy(seed=1), LM, tmp_path / "a")
    monkeypatch.undo()
    with pytest.raises(RunError, match=r"unfinished run of another spec \(seed: 1 there, 0 here\).*resume=False"):
        run(Toy(), LM, tmp_path / "a")
    assert own(run(Toy(), LM, tmp_path / "a", resume=False).path) == whole


@pytest.mark.parametrize("name", ["cells", "tables", "log.jsonl", "."])
def test_links_inside_an_unfinished_run_are_not_followed(tmp_path, monkeypatch, name):
    stop_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        run(Toy(), LM, tmp_path / "a")
    monkeypatch.undo()
    place, elsewhere = tmp_path / ".a.partial" / name, tmp_path / "elsewhere"
    if place.exists():
        place.rename(elsewhere)
    else:
        elsewhere.mkdir()
    place.symlink_to(elsewhere)
    before = sorted((p, p.is_file() and p.read_bytes()) for p in elsewhere.rglob("*"))
    with pytest.raises(RunError, match="is a link, and links inside a run are not followed"):
        run(Toy(), LM, tmp_path / "a")
    assert sorted((p, p.is_file() and p.read_bytes()) for p in elsewhere.rglob("*")) == before


def test_who_was_killed_just_after_the_run_got_its_name_leaves_nothing(tmp_path):
    done = run(Toy(), LM, tmp_path / "a")
    (tmp_path / ".a.lock").write_text("")
    with (child := script(tmp_path / "other", "count", 0)):
        child.communicate()
    host = re.search(r"[0-9a-f]{6}", str(temporary_of(tmp_path / "x").name))[0]
    (done.path / f".tmp-{host}-{child.pid}-{'0' * 12}").write_text("half a manifest")
    run(Toy(), LM, tmp_path / "a")
    assert not (tmp_path / ".a.lock").exists()
    assert not list(tmp_path.rglob(".tmp-*"))


def test_resume_false_begins_anew(tmp_path, monkeypatch):
    stop_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        run(Toy(), LM, tmp_path / "a")
    monkeypatch.undo()
    done = run(Toy(), LM, tmp_path / "a", resume=False)
    assert done.manifest["cells"] == {"computed": 12, "reused": 0, "discarded": 0}
    assert done.manifest["sessions"] == 1


def test_a_partial_that_cannot_say_whose_it_is_is_not_trusted(tmp_path, monkeypatch, computed, whole):
    stop_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        run(Toy(seed=5), LM, tmp_path / "a")
    monkeypatch.setattr(toy, "HOOK", computed.append)
    (tmp_path / ".a.partial" / "manifest.json").write_text('{"hash": "')
    assert own(run(Toy(), LM, tmp_path / "a").path) == whole
    assert computed == list(range(12))


def test_what_was_asked_is_written_whatever_is_found(tmp_path, monkeypatch, whole):
    stop_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        run(Toy(), LM, tmp_path / "a")
    monkeypatch.undo()
    spec = tmp_path / ".a.partial" / "spec.toml"
    spec.write_text(spec.read_text().replace("n_cells = 12", "n_cells = 90"))
    done = run(Toy(), LM, tmp_path / "a")
    assert own(done.path) == whole
    assert any("spec.toml of the unfinished run had been changed" in text for text in done.manifest["warnings"])


@pytest.mark.parametrize("name", ["result.json", "manifest.json", "spec.toml", None])
def test_a_finished_partial_is_published_if_it_is_whole(tmp_path, computed, whole, name):
    done = run(Toy(), LM, tmp_path / "a")
    partial = done.path.rename(tmp_path / ".a.partial")
    computed.clear()
    if name:
        content = (partial / name).read_bytes()
        (partial / name).write_bytes(content.replace(b"1", b"2", 1))
    assert own(run(Toy(), LM, tmp_path / "a").path) == whole
    assert len(computed) == (12 if name else 0)


def test_bad_lines_in_the_log_cost_nothing(tmp_path, monkeypatch, computed, whole):
    stop_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        run(Toy(), LM, tmp_path / "a")
    monkeypatch.setattr(toy, "HOOK", computed.append)
    log = tmp_path / ".a.partial" / "log.jsonl"
    log.write_bytes(b'{"event": 3}\n\xff\n' + log.read_bytes() + b"[]\n")
    done = run(Toy(), LM, tmp_path / "a")
    assert own(done.path) == whole
    assert computed == list(range(3, 12))
    assert "3 lines of log.jsonl are no events and are left out." in done.manifest["warnings"]


def test_a_corrupt_cell_is_computed_again_and_told(tmp_path, monkeypatch, computed, whole):
    stop_at(monkeypatch, 6)
    with pytest.raises(KeyboardInterrupt):
        run(Toy(), LM, tmp_path / "a")
    monkeypatch.setattr(toy, "HOOK", computed.append)
    cell = sorted((tmp_path / ".a.partial" / "cells").iterdir())[2]
    content = bytearray(cell.read_bytes())
    content[len(content) // 2] ^= 1
    cell.write_bytes(content)
    done = run(Toy(), LM, tmp_path / "a")
    assert own(done.path) == whole
    assert len(computed) == 7
    assert done.manifest["cells"]["discarded"] == 1
    assert any("corrupt" in text for text in done.manifest["warnings"])


def test_a_resume_elsewhere_is_marked(tmp_path, monkeypatch):
    stop_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        run(Toy(), LM, tmp_path / "a")
    monkeypatch.undo()
    done = run(Toy(), ToyLM(device="cuda:0"), tmp_path / "a")
    assert "Resumed with device cuda:0 after a start with cpu: this run's cells mix both." in done.manifest["warnings"]


def test_the_log_survives_a_torn_line(tmp_path, monkeypatch):
    stop_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        run(Toy(), LM, tmp_path / "a")
    monkeypatch.undo()
    with (tmp_path / ".a.partial" / "log.jsonl").open("a") as log:
        log.write('{"time": "2026')
    assert run(Toy(), LM, tmp_path / "a").log[-1]["event"] == "finish"


# -- the disk says no ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "at"),
    [*[(call, at) for call in ("os.replace", "os.fsync") for at in (1, 2, 4, 14, 15, 17)], ("pathlib.Path.rename", 1)],
)
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, whole, call, at):
    owner, _, name = call.rpartition(".")
    owner = os if owner == "os" else Path
    true, count = getattr(owner, name), [0]

    def full(*args, **kwargs):
        count[0] += 1
        if count[0] >= at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return true(*args, **kwargs)

    monkeypatch.setattr(owner, name, full)
    with pytest.raises(
        RunError, match=r"No space left on device\. Free some space and repeat the command \(a run goes on"
    ):
        run(Toy(), LM, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert not list(tmp_path.rglob(".tmp-*"))
    monkeypatch.undo()
    assert own(run(Toy(), LM, tmp_path / "a").path) == whole


def test_a_directory_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with script(tmp_path, "nobody", 0) as child:
            said = child.communicate()[0]
    finally:
        tmp_path.chmod(0o755)
    assert child.returncode == 1
    assert "Permission denied. Choose a directory that you may write to." in said
    assert "run" in said
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        run(Toy(), LM, tmp_path / "file" / "a")


def test_workers_that_were_not_started_are_named(tmp_path):
    done = run(Toy(), LM, tmp_path / "a", engine=Local(2))
    assert done.manifest["engine"] == {"kind": "local", "workers": 2, "started": 0}
    assert any("Of 2 workers 0 were started" in text for text in done.manifest["warnings"])


def test_progress_is_told(tmp_path):
    seen = []
    run(Toy(), LM, tmp_path / "a", progress=lambda *step: seen.append(step))
    assert seen[-1] == ("cells", 12, 12)


def test_a_run_equals_the_plain_function(tmp_path):
    plain, kept = Toy().run(LM), run(Toy(), LM, tmp_path / "a").restore(ToyResult)
    assert kept.items.equals(plain.items)
    assert kept.selected == plain.selected
    assert kept.claim == plain.claim
