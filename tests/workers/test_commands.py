"""Engines as they are asked for on the command line."""

from __future__ import annotations

import json
import sys

import pytest

import zoo
from broca import cli
from broca.cli.execute import engine_of
from broca.cli.options import Working
from broca.models.build import save
from broca.workers import Local, Ray


def test_options_become_engines():
    assert engine_of(Working()) == Local()
    assert engine_of(Working(workers=3, threads=2)) == Local(3, 2)
    assert engine_of(Working("ray")) == Ray()
    assert engine_of(Working("ray", 3, 2, "1.2.3.4:6379")) == Ray(3, "1.2.3.4:6379", 2)


@pytest.fixture
def broca(monkeypatch, capsys, tmp_path):
    """Run a command in a fresh folder; gives its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["broca", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return int(stop.value.code or 0), " ".join((printed.out + printed.err).split())

    return run


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--workers", "0"], 2, "workers is 0. Give 1 or more."),
        (["--threads", "-1"], 2, "threads is -1. Give 1 or more."),
        (["--address", "1.2.3.4:5"], 2, "it needs --engine ray"),
        (["--engine", "ray", "--address", "1.2.3.4:5"], 2, "--workers N"),
        (["--engine", "ray", "--address", "1.2.3.4", "--workers", "2"], 2, "Write HOST:PORT"),
        (["--engine", "rai"], 2, "rai"),
        (["--partition", "long"], 2, "--partition does nothing here: it needs --engine slurm"),
        (["--engine", "ray", "--hours", "2", "--gpus", "1"], 2, "--engine slurm"),
        (["--memory", "8"], 2, "--engine slurm"),
        (["--account", "lab"], 2, "--engine slurm"),
        (["--engine", "slurm"], 2, "--workers N"),
        (["--engine", "slurm", "--workers", "2", "--address", "1.2.3.4:5"], 2, "it needs --engine ray"),
    ],
)
def test_mistakes_are_told_before_a_model_is_loaded(broca, words, code, told):
    got, printed = broca("localize", "./no-such-model", *words)
    assert got == code
    assert told in printed


@pytest.mark.slow
def test_two_workers_localize(broca, tmp_path):
    save(zoo.build("llama", positions=1024), zoo.tokenizer(), tmp_path / "tiny")
    code, printed = broca(
        "localize", "tiny", "--contrast", "pain", "--sites", "*.mlp_act", "--workers", 2, "--threads", 1
    )
    assert code == 0, printed
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads((run / "manifest.json").read_text())["engine"] == {"kind": "local", "workers": 2}
