"""`broca selftest` as a user types it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import zoo
from broca import cli
from broca.instruments.selftest.rankings import METHODS
from broca.models.build import save


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models")
    for name in ("llama", "mixtral"):
        save(zoo.build(name), zoo.tokenizer(), path / name)
    (path / "mine.csv").write_text(
        "\n".join(["text,label", *(f"number {i},{('positive', 'negative')[i % 2]}" for i in range(60))])
    )
    return path


@pytest.fixture
def broca(monkeypatch, capsys, models, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.terminal.out, "_width", 80, raising=False)

    def run(model: str, *words: object) -> tuple[int, str, str]:
        few = ("--contrast", models / "mine.csv", "--rivals", 8)
        monkeypatch.setattr(sys, "argv", ["broca", "selftest", str(models / model), *map(str, (*few, *words))])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, " ".join(printed.err.split())

    return run


def test_it_prints_the_table_the_verdict_and_what_to_type_next(broca, tmp_path):
    code, out, err = broca("llama", "--n", 10, "--pairs", 1)
    assert code == 0, err
    assert err.startswith("About ")
    lines = out.splitlines()
    head = next(i for i, line in enumerate(lines) if line.split()[:3] == ["method", "selective", "causal"])
    # On 80 columns no row of the table is folded.
    last = next(i for i, line in enumerate(lines) if line.startswith("… and"))
    names = [line.split("  ")[0] for line in lines[head + 1 : last]]
    assert names
    assert names == list(METHODS)[: len(names)]
    assert len(lines) <= 30
    assert "Units that respond are found by" in " ".join(out.split())
    run = next((tmp_path / "runs").iterdir())
    page = (run / "report.html").read_text()
    assert "units planted in" in page
    assert "attribution between sides" in page
    assert "Self-test of" in page
    # Neither what a localizer would have shown, nor corrections that nobody made.
    assert "Not in this run" not in page
    assert "false discovery" not in page
    assert "next    broca localize" in out


@pytest.mark.parametrize(
    ("model", "words", "told"),
    [
        ("llama", ["--n", 3], "--n is 3. Give 5 or more."),
        ("llama", ["--n", 100], "60 distinct stimuli; 100 a side and 16 for the reference need 216"),
        ("llama", ["--n", 10, "--pairs", 9], "at most 4 pairs in each"),
        ("llama", ["--n", 10, "--d", 0], "--d is 0.0. Give more than 0."),
        ("llama", ["--n", 10, "--sites", "*.resid_post"], "no output weights of their own"),
        ("llama", ["--n", 10, "--answers", "box", "bag"], "begin with the same token"),
        ("mixtral", ["--n", 10, "--sites", "*.mlp_act"], "It has resid_pre, resid_post, attn_out, mlp_out, z"),
    ],
)
def test_mistakes_are_told_in_words(broca, tmp_path, model, words, told):
    code, _, err = broca(model, *words)
    assert code == 2, err
    assert told in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
