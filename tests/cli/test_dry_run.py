"""What a command will cost, said before; and a dry run, which stops there."""

from __future__ import annotations

import re
import shlex
import sys

import pytest

from broca import cli
from small import COMMANDS, folder

DRY = ("localize", "lesion", "heads", "sensitivity", "probe", "perturb", "direction", "selftest", "circuit", "score")
COST = re.compile(r"About [\d,.]+( M)? tokens in [\d,]+ pass(es)?, at most [\d.]+ (s|minutes|hours) on this machine")


@pytest.mark.parametrize("name", DRY)
def test_a_dry_run_says_the_cost_and_writes_nothing(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder(tmp_path / "study"))
    before = sorted(tmp_path.rglob("*"))
    words = [*COMMANDS[name].words, "--dry-run"]
    monkeypatch.setattr(sys, "argv", ["broca", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    printed = capsys.readouterr()
    assert COST.search(printed.err), printed.err
    assert sorted(tmp_path.rglob("*")) == before
    (again,) = (line for line in printed.out.splitlines() if line.startswith("next"))
    typed = shlex.split(again.removeprefix("next"))
    assert typed[0] == "broca"
    assert "--dry-run" not in typed
    given = {word for word in words if word.startswith("--")} - {"--dry-run"}
    assert given - {"--out"} <= set(typed)
    cli.app.parse_args(typed[1:], exit_on_error=False, print_error=False)


def test_the_cost_is_said_before_the_work(typed, here):
    code, _, err = typed("localize", "tiny", "--contrast", "c.csv", "--sites", "*.mlp_act", "--percent", "5")
    assert code == 0, err
    assert err.index("tokens in") < err.index("localizing …")


def test_a_dry_run_of_a_spec(typed, here):
    code, _, err = typed("localize", "tiny", "--contrast", "c.csv", "--sites", "*.mlp_act", "--percent", "5")
    assert code == 0, err
    (run,) = (here / "runs").glob("localize*")
    code, out, err = typed("run", run, "--out", "other", "--dry-run")
    assert code == 0, err
    assert COST.search(err)
    assert f"next    broca run {run} --out other" in out
    assert not (here / "other").exists()


def test_a_dry_run_of_a_server_is_refused(typed):
    code, _, err = typed("score", "m", "--server", "http://localhost:1", "--items", "q.jsonl", "--dry-run")
    assert code == 2
    assert "--dry-run" in err


def test_what_is_wrong_with_a_study_is_said_by_the_study(typed):
    code, _, err = typed("localize", "tiny", "--contrast", "c.csv", "--sites", "40.resid_post")
    assert code == 2
    assert "layers 0 to 2" in err


def test_a_budget_is_said_kept_and_written(typed, here):
    words = ("lesion", "tiny", "--heads", "0.1,2.3", "--items", "q.jsonl", "--gate", "mark", "--n-bootstrap", "50")
    code, out, err = typed(*words, "--budget", "9,000 tokens", "--dry-run")
    assert code == 0, err
    assert "The budget, 9,000 tokens, leaves " in err
    assert "--budget '9,000 tokens'" in out
    code, out, err = typed(*words, "--budget", "9,000 tokens")
    assert code == 0, err
    assert "Within its budget of 9,000 tokens the study has" in out + err
    (run,) = (here / "runs").glob("causal*")
    assert "budget_tokens = 9000" in (run / "spec.toml").read_text()
    code, out, err = typed("run", run, "--out", "again", "--budget", "1h", "--dry-run")
    assert code == 0, err
    assert "leaves everything as it is" in err


@pytest.mark.parametrize("budget", ["3 weeks", "9tokens"])
def test_a_budget_that_is_none_or_too_small_is_one_sentence(budget, typed, here):
    code, _, err = typed("lesion", "tiny", "--heads", "0.1", "--items", "q.jsonl", "--budget", budget)
    assert code == 2
    assert "budget is" in err
    assert not (here / "runs").exists() or not [*(here / "runs").iterdir()]


def test_scoring_within_a_budget_says_what_is_left(typed, here):
    code, out, err = typed("score", "tiny", "--items", "q.jsonl", "--budget", "200tokens")
    assert code == 0, err
    assert "The budget leaves 10 of 12 items" in out + err or "The budget leaves 11 of 12 items" in out + err
    code, _, err = typed("score", "m", "--server", "http://localhost:1", "--items", "q.jsonl", "--budget", "1min")
    assert (code, "--budget" in err) == (2, True)
