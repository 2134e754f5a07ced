"""`broca perturb MODEL` and `broca perturb capture MODEL`."""

from __future__ import annotations

import sys

import pytest

from broca import cli
from broca.runs import list_runs, open_run
from broca.runs.shards import open_raw


def typed(monkeypatch, *words: str) -> int:
    monkeypatch.setattr(cli.terminal.out, "_width", 200, raising=False)
    monkeypatch.setattr(sys, "argv", ["broca", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_a_model_is_asked_patched_and_reported(tmp_path, monkeypatch, capsys):
    code = typed(monkeypatch, "perturb", "sums", "--n-items", "60", "--kinds", "case", "homoglyph", "--among", "plus", "sum", "minus", "less", "total",
          "--compare", "2", "--draws", "19", "--twins", "0", "--patterns", "none", "--out", str(tmp_path))  # fmt: skip
    said = capsys.readouterr().out
    assert code == 0
    for words in ("homoglyph", "0.resid_post", "edited", "selective", "next"):
        assert words in said
    (done,) = list_runs(tmp_path)["path"]
    assert open_run(done).tables["kinds"]["kind"].to_list() == ["case", "homoglyph"]
    page = next(tmp_path.glob("*/report.html")).read_text()
    assert "Where the damage can be undone" in page


def test_captures_are_announced_kept_and_gone_on_with(tmp_path, monkeypatch, capsys):
    asked = ("perturb", "capture", "sums", "--n-items", "3", "--kinds", "delete", "--sites", "*.resid_post", "1.pattern", "--new-tokens", "4",
             "--out", str(tmp_path / "raw"))  # fmt: skip
    typed(monkeypatch, *asked)
    assert "6 texts at 5 sites" in capsys.readouterr().out
    rows = list(open_raw(tmp_path / "raw"))
    assert [row.id for row in rows][::3] == ["sums/0/0/clean", "sums/0/0/delete"]
    assert rows[0].tensors["3.resid_post"].shape[1] == 96
    before = {path.name: path.read_bytes() for path in (tmp_path / "raw").iterdir() if path.name != ".lock"}
    typed(monkeypatch, *asked)
    assert {path.name: path.read_bytes() for path in (tmp_path / "raw").iterdir() if path.name != ".lock"} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sums", "--kinds", "typo"), "typo"),
        (("sums", "--percent", "0"), "percent"),
        (("sums", "--items", "nothing.csv"), "nothing.csv"),
        (("capture", "sums", "--sites", "0.resid"), "resid"),
    ],
)
def test_mistakes_are_told_in_a_line(words, said, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert typed(monkeypatch, "perturb", *words) != 0
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
