"""Where things are written: places that cannot be are refused before any work, a full disk after what was found is shown."""

from __future__ import annotations

import errno
import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from broca import __version__
from broca.cli import answering, captures, execute, exporting
from broca.runs.formats import json_to_bytes
from broca.runs.manifest import seal

LONG, NUL = "x" * 300, "a\0b"
ODD = [
    (LONG, "File name too long"),
    (NUL, "no file can have this name"),
    ("c.csv", "Not a directory"),
    ("c.csv/x", "Not a directory"),
]

FOLDERS = {
    "localize": ("localize", "tiny", "--contrast", "c.csv", "--out"),
    "lesion": ("lesion", "tiny", "--contrast", "c.csv", "--items", "q.jsonl", "--out"),
    "selftest": ("selftest", "tiny", "--contrast", "c.csv", "--out"),
    "probe": ("probe", "tiny", "--task", "rules", "--out"),
    "perturb": ("perturb", "tiny", "--items", "q.jsonl", "--out"),
    "capture": ("perturb", "capture", "tiny", "--items", "q.jsonl", "--out"),
    "old scores": ("perturb", "score", "tiny", "--items", "q.jsonl", "--out"),
    "sensitivity": ("sensitivity", "tiny", "--task", "q.jsonl", "--out"),
    "tree": ("sensitivity", "tiny", "--task", "cells", "--preset", "wu2025", "--tree"),
    "demo": ("demo", "--out"),
    "train": ("organism", "train", "kth", "--steps", "1", "--out"),
    "export": ("export", "c.csv", "--model", "tiny", "--to"),
}


@pytest.fixture
def unloaded(monkeypatch):
    """To load a model would be an error."""
    for module in (execute, answering, exporting, captures):
        monkeypatch.setattr(module, "load_model", None)


@pytest.mark.parametrize("words", FOLDERS.values(), ids=FOLDERS)
@pytest.mark.parametrize(("place", "told"), ODD, ids=["long", "nul", "file", "in a file"])
def test_a_folder_that_cannot_be_is_refused_before_any_work(typed, here, unloaded, words, place, told):
    before = sorted(here.iterdir())
    code, _, err = typed(*words, place)
    assert code == 1, err
    text = " ".join(err.split())
    assert f"could not be written: {told}" in text or ("There is something at" in text and place == "c.csv")
    assert "Traceback" not in err
    assert len(text) < 500
    assert sorted(here.iterdir()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on files, and a folder of the kernel's")
@pytest.mark.parametrize("words", FOLDERS.values(), ids=FOLDERS)
def test_so_is_one_without_room_or_the_right_to_write(typed, here, unloaded, words):
    for place, size, told in (("new", 1000, "File too large"), ("/sys/new", None, "")):
        before, limits = sorted(here.iterdir()), resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits[0] if size is None else size, limits[1]))
        try:
            code, _, err = typed(*words, place)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert code == 1, err
        assert f"{place} could not be written: {told}" in " ".join(err.split())
        assert "Traceback" not in err
        assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (f"{LONG}.csv", "File name too long"),
        ("a\0.csv", "no file can have this name"),
        ("c.csv/rows.csv", "Not a directory"),
        ("dir.csv", "Is a directory"),
        ("rows.txt", "ends in .parquet, .csv or .jsonl"),
        ("", "ends in .parquet, .csv or .jsonl"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_any_work(typed, here, unloaded, place, told):
    (here / "dir.csv").mkdir()
    code, _, err = typed("score", "tiny", "--items", "q.jsonl", "--rows", place)
    assert code in (1, 2)
    assert told in " ".join(err.split())


def test_what_was_scored_is_shown_before_a_full_disk_is(typed, here, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    code, out, err = typed("score", "tiny", "--items", "q.jsonl", "--rows", "rows.csv")
    assert code == 1
    assert "accuracy" in out
    assert "rows.csv could not be written: No space left on device. Free some space and repeat the command" in " ".join(
        err.split()
    )
    assert not (here / "rows.csv").exists()


def test_a_training_on_a_full_disk_is_one_sentence(typed, here, monkeypatch):
    replace = os.replace

    def full(source, target):
        if Path(target).name == "checkpoint.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    code, _, err = typed("organism", "train", "kth", "--steps", "1", "--out", "kth")
    assert code == 1
    assert (
        "kth/checkpoint.safetensors could not be written: No space left on device. Free some space and repeat the command (a run goes on where it stopped)"
        in " ".join(err.split())
    )


def test_a_report_that_cannot_be_written_comes_after_the_verdict(typed, here, monkeypatch):
    from broca.errors import RunError
    from broca.reports import build

    def full(run, **_):
        raise RunError("report.html could not be written: No space left on device.")

    monkeypatch.setattr(build, "report", full)
    code, out, err = typed("localize", "tiny", "--contrast", "c.csv")
    assert code == 1
    assert "selective" in out
    assert "No space left on device" in err


@pytest.fixture
def run(typed, here) -> Path:
    """A finished run."""
    code, _, err = typed("localize", "tiny", "--contrast", "c.csv", "--sites", "*.mlp_act")
    assert code == 0, err
    return next((here / "runs").iterdir()).relative_to(here)


def test_a_run_is_repeated_where_it_lies_and_never_within_itself(typed, here, run, monkeypatch):
    before = (run / "manifest.json").read_bytes()
    for place, spec in ((here, run), (here, run / "spec.toml"), (here, here / run), (here, f"{run}/")):
        monkeypatch.chdir(place)
        code, out, err = typed("run", spec)
        assert code == 0, err
        assert "report.html" in out
    monkeypatch.chdir(here / run)
    for spec in (".", "spec.toml"):
        code, _, err = typed("run", spec)
        assert code == 2
        assert "There is no file 'c.csv'" in err
        assert "type this in the folder in which the run was started" in " ".join(err.split())
    code, _, err = typed("localize", here / "tiny", "--contrast", here / "c.csv")
    assert code == 1
    assert "would lie within the run" in err
    assert (here / run / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in (here / "runs").iterdir()) == [run.name]
    monkeypatch.chdir(here)
    code, out, _ = typed("run", run, "--out", "second")
    assert code == 0
    assert (here / "second" / run.name).is_dir()


def test_commands_of_a_report_work_where_the_run_was_started(typed, here, run, monkeypatch):
    import re
    from html import unescape

    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    code, _, err = typed("report", here / run)
    assert code == 0, err
    page = unescape((here / run / "report.html").read_text(encoding="utf-8"))
    assert "In the folder in which the run was started:" in page
    commands = re.findall(r'<pre class="command"><code>(.*?)</code>', page)
    assert commands == [
        f"broca lesion tiny --localizer {run} --items YOUR_ITEMS.csv --dtype float32",
        f"broca run {run}",
    ]
    monkeypatch.chdir(here)
    (here / "YOUR_ITEMS.csv").write_text(
        "prompt,choices,answer\n" + "\n".join(f"where is {i}?,box|bag,{i % 2}" for i in range(12))
    )
    code, _, err = typed(*shlex.split(commands[1])[1:])
    assert code == 0, err
    code, _, err = typed(*shlex.split(commands[0])[1:], "--draws", 2, "--gate", "mark")
    assert code == 0, err
    assert "localized anew" not in err


def test_a_run_of_another_version_says_so_wherever_it_is_met(typed, here, run, caplog):
    import broca

    manifest = here / run / "manifest.json"
    manifest.write_bytes(json_to_bytes(seal(json.loads(manifest.read_text()) | {"broca": "0.0.1"})))
    told = f"{run} was made by broca 0.0.1, and this is broca {__version__}"
    for words in (("localize", "tiny", "--contrast", "c.csv", "--sites", "*.mlp_act"), ("run", run), ("report", run)):
        code, _, err = typed(*words)
        assert code == 0, err
        assert err.count(told) == 1, words
        assert "run its spec into another folder, or delete it" in err
    code, out, _ = typed("runs")
    assert told in " ".join(out.split())
    caplog.clear()
    broca.open_run(run)
    broca.report(run)
    assert [told in record.getMessage() for record in caplog.records] == [True, True]
    caplog.clear()
    broca.list_runs("runs")
    assert not caplog.records


STOPS = [
    ([{"event": "start"}, {"event": "cell", "state": "computed"}, {"event": "stopped", "error": "KeyboardInterrupt", "text": ""}],
     "Stopped by Ctrl-C after 1 parts. The same call resumes it."),
    ([{"event": "start"}, {"event": "cell", "state": "computed"}, {"event": "cell", "state": "reused"}],
     "Its process was killed after 1 parts. The same call resumes it."),
    ([{"event": "start"}, {"event": "stopped", "error": "RunError", "text": "The disk is full."}],
     "Stopped after 0 parts by RunError: The disk is full. The same call resumes it."),
    ([{"event": "start"}, {"event": "stopped", "error": "GuardError", "text": "It lacks the ability."}],
     "Stopped after 0 parts by GuardError: It lacks the ability."),
]  # fmt: skip


@pytest.mark.parametrize(("events", "why"), STOPS)
@pytest.mark.parametrize("width", [40, 80])
def test_runs_are_listed_whole_with_why_they_stopped(typed, here, run, monkeypatch, events, why, width):
    from broca.cli import terminal

    partial = here / "runs" / ".a-run-with-a-rather-long-name-of-its-own-123456.partial"
    (here / run).rename(partial)
    log = [json.dumps({"time": f"2026-11-30T17:0{i}:00.000+00:00", **event}) for i, event in enumerate(events)]
    (partial / "log.jsonl").write_text("\n".join(log) + "\n")
    broken = here / "runs" / "broken-1"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    monkeypatch.setattr(terminal.out, "_width", width, raising=False)
    code, out, _ = typed("runs")
    assert code == 0
    assert any(
        line.startswith("a-run-with-a-rather-long-name-of-its-own-123456  partial  tiny  c.csv  ")
        for line in out.splitlines()
    )
    text = " ".join(out.split())
    assert why in text
    assert "broken-1 broken" in text
    assert "manifest.json is corrupt" in text
    assert "next broca demo" in text


def test_an_empty_folder_of_runs_says_so(typed, here):
    (here / "none").mkdir()
    code, out, _ = typed("runs", "none")
    assert code == 0
    assert "There is no run here." in out


@pytest.mark.slow
def test_piped_output_has_whole_paths_and_no_colours(here):
    code = "from broca.cli import main; main()"
    words = [
        sys.executable,
        "-c",
        code,
        "localize",
        "tiny",
        "--contrast",
        "c.csv",
        "--sites",
        "0.z",
        "--out",
        "a folder/of ünï cödé runs ☃",
    ]
    environment = {**os.environ, "COLUMNS": "40", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    run = next((here / "a folder" / "of ünï cödé runs ☃").iterdir()).relative_to(here)
    assert f"run     {run}\n" in done.stdout
    (following,) = [line.removeprefix("next").strip() for line in done.stdout.splitlines() if line.startswith("next")]
    assert shlex.split(following)[4] == str(run)
    assert "localizing …" in done.stderr
