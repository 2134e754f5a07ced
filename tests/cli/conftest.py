"""A command as a user types it, and small things to type it about."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import zoo
from broca import cli
from broca.models.build import save


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A model directory: random, three layers of four heads."""
    path = tmp_path_factory.mktemp("session") / "tiny"
    save(zoo.build("llama", positions=1024), zoo.tokenizer(), path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch, tiny) -> Path:
    """The folder in which commands are typed: a model ``tiny``, a contrast ``c.csv``, items ``q.jsonl`` and ``other.jsonl``."""
    (tmp_path / "tiny").symlink_to(tiny)
    rows = [f"the {'xy'[i % 2]} number {i},{('positive', 'negative')[i % 2]}" for i in range(60)]
    (tmp_path / "c.csv").write_text("\n".join(["text,label", *rows]))
    for name, words in (("q", ("box", "bag")), ("other", ("hat", "cap"))):
        items = [
            {"prompt": f"where is {i}?", "choices": words, "answer": i % 2, "group": str(i % 6)} for i in range(12)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, items)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def typed(here, monkeypatch, capsys):
    """Run a command in this process, in that folder; gives its exit code and what it printed, line for line."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["broca", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
