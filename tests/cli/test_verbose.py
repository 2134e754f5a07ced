"""What a run says in a terminal: what fits on a screen, and everything with ``-v``."""

from __future__ import annotations

import pytest

from broca import cli
from broca.page.blocks import Section
from broca.reports.contents import contents
from broca.runs import open_run
from broca.runs.record import record_of

LOCALIZE = ("localize", "tiny", "--contrast", "c.csv", "--percent", "5", "--sites", "*.mlp_act")


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    monkeypatch.setattr(cli.terminal.out, "_width", 80, raising=False)


def test_a_run_says_what_matters_in_thirty_lines_and_all_of_it_when_asked(typed, here):
    code, brief, err = typed(*LOCALIZE)
    assert code == 0, err
    assert len(brief.splitlines()) <= 30
    (run,) = (here / "runs").iterdir()
    titles = [block.title for block in contents(record_of(open_run(run))) if isinstance(block, Section)]
    assert len(titles) > 3
    for words in ((*LOCALIZE, "-v"), (*LOCALIZE, "--verbose"), ("run", run, "-v")):
        code, whole, err = typed(*words)
        assert code == 0, err
        assert len(whole.splitlines()) > 2 * len(brief.splitlines())
        assert "next    broca lesion" in whole or words[0] == "run"
    assert [title for title in titles if title not in " ".join(whole.split())] == []
    code, again, _ = typed("run", run)
    assert (code, len(again.splitlines()) <= 30) == (0, True)
