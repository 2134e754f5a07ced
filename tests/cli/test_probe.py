"""The probe as a user types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import lists
from broca import cli
from broca.models.build import save

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "reader"
    lm = lists.reader()
    save(lm.model, lm.tokenizer, path)
    return path


def typed(monkeypatch, capsys, tmp_path, *words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.terminal.out, "_width", 200, raising=False)
    monkeypatch.setattr(sys, "argv", ["broca", "probe", *map(str, words)])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    out = capsys.readouterr()
    return code, out.out, out.err


def test_scores_and_their_random_band_are_printed(model, monkeypatch, capsys, tmp_path):
    small = ("--n", 20, "--twins", 3, "--permutations", 5, "--no-maps", "--estimator", "centroid", "--distance", "l1")
    code, out, _ = typed(monkeypatch, capsys, tmp_path, model, "--options.k", 2, "--options.m", 6, *small)
    assert code == 0
    rows = [line.split() for line in out.splitlines() if line.startswith("S_P")]
    assert [row[0] for row in rows] == ["S_P1", "S_P2"]
    assert "untrained" in out
    assert "report.html" in "".join(out.split())
    assert "--prune --edges --draws 200" in out


def test_mistakes_are_one_message(model, monkeypatch, capsys, tmp_path):
    code, _, err = typed(monkeypatch, capsys, tmp_path, model, "--task", "kht")
    assert code == 2
    assert "Did you mean 'kth'" in err
    code, _, err = typed(monkeypatch, capsys, tmp_path, model, "--options.q", 2)
    assert code == 2
    assert "q" in err
    code, _, err = typed(monkeypatch, capsys, tmp_path, model, "--task", "proofwriter")
    assert code == 2
    assert "option 'path'" in err
    (tmp_path / "bad.jsonl").write_text('{"statements": ["a"], "edges": [], "question": "x", "choices": ["1"]\n')
    code, _, err = typed(monkeypatch, capsys, tmp_path, model, "--task", tmp_path / "bad.jsonl")
    assert code == 2
    assert "line 1" in err


def test_columns_of_a_table_of_trees(model, monkeypatch, capsys, tmp_path):
    read = [json.loads(line) for line in (ROOT / "docs" / "metals.jsonl").read_text().splitlines()]
    named = [{{"statements": "premises"}.get(name, name): cell for name, cell in row.items()} for row in read]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, named)))
    dry = (model, "--dry-run", "--columns", "statements=premises")
    for asked in (("--task", "own.jsonl"), ("--task", "entailment", "--options.path", "own.jsonl")):
        code, _, err = typed(monkeypatch, capsys, tmp_path, *dry, *asked)
        assert code == 0, err
    code, _, err = typed(monkeypatch, capsys, tmp_path, *dry, "--task", "kth")
    assert code == 2
    assert "--columns does nothing here: it needs a table of your own" in " ".join(err.split())
