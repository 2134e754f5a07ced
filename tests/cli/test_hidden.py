"""Whatever a server says back: no key stands on the terminal, in a file or in a traceback."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from urllib.parse import quote

import polars as pl
import pytest

from broca.cli import printing, terminal
from broca.cli.progress import progress
from broca.page.blocks import Ladder, Note, Step, Text
from loopback import answering

KEY = "sk-4'f\\\"/zä\t7[bold]{0}%s"
BODIES = {
    "refusal": (401, f"no such key: {KEY}"),
    "refusal in JSON": (403, json.dumps({"error": {"message": f"bad key {KEY}"}})),
    "refusal in repr": (401, repr({"authorization": f"Bearer {KEY}"})),
    "repr of JSON": (401, repr(json.dumps({"key": KEY}))),
    "bytes": (401, repr(f"Bearer {KEY}".encode())),
    "URL": (404, f"/v1?key={quote(KEY, safe='')}"),
    "no JSON": (200, f"<html>{KEY}</html>"),
    "odd JSON": (200, json.dumps({"headers": [{"authorization": f"Bearer {KEY}"}], KEY: KEY})),
    "odd choice": (200, json.dumps({"choices": [{"text": [KEY]}]})),
    "gone": (500, KEY),
    "an answer": (200, json.dumps({"choices": [{"text": f" box {KEY}"}]})),
}


def spellings(key: str) -> set[str]:
    """Ways to write a key that a reader could turn back, and its halves, should one be cut."""
    forms = {key, quote(key, safe=""), json.dumps(key)[1:-1], json.dumps(key, ensure_ascii=False)[1:-1]}
    forms |= {repr(form)[1:-1] for form in forms} | {repr(form.encode())[2:-1] for form in forms}
    return {base64.b64encode(key.encode()).decode(), *forms, "f\\\\", "4'f", "zä", "z\\xc3", "sk-4"}


def clean(text: str) -> bool:
    return not [form for form in spellings(KEY) if form in text]


@pytest.fixture
def keyed(monkeypatch):
    # As a header it is sent in ASCII; what comes back need not be.
    monkeypatch.setenv("OTHER_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")


@pytest.mark.parametrize("name", BODIES)
def test_what_a_server_echoes_is_hidden_everywhere(typed, here, keyed, monkeypatch, name):
    from broca.scoring import server

    monkeypatch.setattr(server, "_AGAIN", frozenset())  # "gone" at the first try: no pauses
    with answering(BODIES[name], models=(200, json.dumps({"data": [{"id": "m"}]}))) as (url, _):
        code, out, err = typed("score", "--items", "q.jsonl", "--server", url, "--rows", "rows.jsonl")
    assert (code == 0) == (name == "an answer")
    assert clean(out + err)
    assert code == 0 or "(hidden)" in err
    for file in here.glob("*.*"):
        assert clean(file.read_text(encoding="utf-8"))


def test_names_of_models_that_hold_the_key_are_hidden(typed, here, keyed):
    with answering((200, "{}"), models=(200, json.dumps({"data": [{"id": KEY}, {"id": "b"}]}))) as (url, _):
        code, out, err = typed("score", "--items", "q.jsonl", "--server", url)
    assert code == 1
    assert "(hidden), b" in err
    assert clean(out + err)


def test_a_traceback_holds_no_key(tmp_path):
    code = (
        "import sys, os; from broca import cli; sys.argv = ['broca', 'runs'];\n"
        "import broca.runs\n"
        "def refuse(folder): raise ZeroDivisionError(os.environ['MY_TOKEN'] + repr(os.environ['MY_TOKEN']))\n"
        "broca.runs.list_runs = refuse\n"
        "cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, env={"MY_TOKEN": KEY, "PYTHONUTF8": "1"}
    )
    told = done.stderr.decode()
    assert done.returncode == 1
    assert "ZeroDivisionError: (hidden)" in told
    assert "Traceback (most recent call last)" in told
    assert clean(told)


def test_tables_progress_and_warnings_hold_no_key(keyed, capsys, monkeypatch):
    import logging

    monkeypatch.setattr(terminal.out, "_width", 20, raising=False)
    terminal.frame(pl.DataFrame({"a": [KEY], "b": [1]}), f"of {KEY}")
    terminal.facts([("key", KEY)])
    terminal.notes([KEY])
    terminal.following({"to": KEY}, f"broca {KEY}")
    blocks = [Ladder(KEY, (Step("causal", "failed", KEY),), summary=True), Note(KEY, summary=True), Text(KEY)]
    printing.summary(KEY, blocks)
    printing.everything(KEY, blocks)
    with progress() as tell, terminal.warnings():
        tell(f"asking {KEY}", 1, 2)
        logging.getLogger("broca.x").warning("refused %s", KEY)
    printed = capsys.readouterr()
    assert clean(printed.out)
    assert clean(printed.err)
    assert printed.out.count("hidden") >= 6
    assert printed.err.count("(hidden)") == 2
