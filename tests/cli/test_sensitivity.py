"""The command: options reach the study, the run and the published tree are written, mistakes are told in words."""

from __future__ import annotations

import json
import sys

import pytest

import zoo
from broca import cli
from broca.models.build import save
from broca.runs import list_runs, open_run


@pytest.fixture
def folder(tmp_path):
    lm = zoo.lm("gpt2")
    path = tmp_path / "opt-model"
    save(lm.model, lm.tokenizer, path)
    tasks = {"s3": [{"NUMBER": n, "txt": f"Joke {n}?", "txt_reverse": f"Fact {n}?"} for n in range(3)]}
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    (tmp_path / "texts.txt").write_text("\n\n".join(f"Some words of text number {i} that goes on." for i in range(8)))
    return tmp_path


def ran(monkeypatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["broca", "sensitivity", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_the_command_writes_a_run_a_mask_and_the_published_tree(folder, monkeypatch, capsys) -> None:
    shared = ["--task", folder / "tasks.json", "--general", folder / "texts.txt", "--source", folder / "texts.txt"]
    asked = [
        "--preset",
        "wu2025",
        "--sweep",
        "0,0.01",
        "--nulls",
        "matrix",
        "--draws",
        2,
        "--sweep-draws",
        0,
        "--gate",
        "mark",
    ]
    small = ["--n-score", 4, "--n-general", 4, "--window", 16, "--windows-of", 16]
    small += ["--perplexity-source", folder / "texts.txt"]
    where = ["--out", folder / "runs", "--tree", folder / "tree"]
    code = ran(monkeypatch, folder / "opt-model", *shared, *asked, *small, *where)
    out = capsys.readouterr()
    assert code == 0, out.err
    (path,) = list_runs(folder / "runs")["path"]
    run = open_run(path)
    assert run.spec["study"]["preset"] == "wu2025"
    assert run.spec["study"]["dtype"] == "float16"
    assert (run.path / "mask.safetensors").is_file()
    assert (folder / "tree" / "1" / "0.01" / "irony" / "results.csv").is_file()
    assert len((folder / "tree" / "summary.csv").read_text().splitlines()[0].split(",")) >= 6
    assert "broca export" in out.out


def test_a_written_spec_loads_the_model_in_the_dtype_of_its_preset(folder, monkeypatch, capsys) -> None:
    fields = {"preset": "wu2025", "task": folder / "tasks.json", "source": folder / "texts.txt"}
    fields |= {
        "general": folder / "texts.txt",
        "perplexity_source": folder / "texts.txt",
        "sweep": "0,0.01",
        "gate": "mark",
    }
    small = "n_score = 2\nn_general = 2\nwindow = 16\ndraws = 1\nsweep_draws = 0\nnulls = ['matrix']\n"
    study = "".join(f"{name} = '{value}'\n" for name, value in fields.items())
    text = f"[model]\nname = '{folder / 'opt-model'}'\n[study]\nkind = 'sensitivity'\n{study}{small}"
    (folder / "spec.toml").write_text(f"{text}reading = {{length = 16, texts = 'joined'}}\n")
    monkeypatch.setattr(sys, "argv", ["broca", "run", str(folder / "spec.toml"), "--out", str(folder / "written")])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out = capsys.readouterr()
    assert not caught.value.code, out.err
    (path,) = list_runs(folder / "written")["path"]
    assert open_run(path).spec["model"]["dtype"] == "float16"


def test_mistakes_are_told_in_words(folder, monkeypatch, capsys) -> None:
    assert ran(monkeypatch, folder / "opt-model", "--sweep", "0:1") == 2
    assert "START:STOP:STEP" in " ".join(capsys.readouterr().err.split())
