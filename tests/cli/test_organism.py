"""Teaching from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from broca import cli
from broca.models.build import fresh, save
from broca.organisms.kth.train import CONFIG, tokenizer


@pytest.fixture
def broca(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["broca", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return run


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr("broca.organisms.finetuning.EXAM", 10)
    monkeypatch.setattr("broca.organisms.kth.train.EXAM", 10)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    save(fresh({**CONFIG, "n_layer": 1, "n_head": 2, "n_embd": 8}, 0), tokenizer(), path)
    return path


def test_any_model_is_taught_a_task(broca, model, few):
    code, said = broca(
        *("organism", "train", "kth", "--model", model, "--part", "mlp", "--options.m", 4, "--options.k", 3),
        *("--steps", 2, "--batch", 2, "--rate", 0.001, "--seed", 5),
    )
    assert code == 0, said
    report = json.loads(Path("organisms/tiny-kth/training.json").read_text())
    assert report["command"].endswith("--options.m 4 --options.k 3")
    assert (report["steps"], report["seed"], report["finished"]) == (2, 5, True)
    assert "broca inspect organisms/tiny-kth" in said


def test_an_organism_takes_options_of_its_training(broca, few):
    code, said = broca("organism", "train", "kth", "--steps", 1, "--options.k", 3)
    assert code == 0, said
    assert "--options.k 3" in json.loads(Path("organisms/kth/training.json").read_text())["command"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("kth", "--part", "mlp"), "--part does nothing here: it needs --model"),
        (("kth", "--options.j", "3"), "option 'j' is not known"),
        (("kth", "--options.k", "x"), "Option 'k' of organism 'kth'"),
        (("kht",), "Did you mean 'kth'"),
    ],
)
def test_mistakes_are_told(broca, words, said):
    code, printed = broca("organism", "train", *words)
    assert code == 2
    assert said in printed
