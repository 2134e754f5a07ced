"""A key or token never comes out, whatever echoes it and however it is written."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from urllib.parse import quote

import pytest

from broca.errors import ServerError
from broca.runs.journal import Journal, listening
from broca.scoring.server import Server
from broca.storage.secrets import HIDDEN, hide_secrets, without_secrets
from loopback import answering

SECRET = 'sk-9"f/4?\\zä7'


@pytest.fixture(params=["OPENAI_API_KEY", "HF_TOKEN", "MY_SERVICE_SECRET", ".env", "stored"])
def configured(request, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "HF_HOME", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    if request.param == ".env":
        Path(".env").write_text(f"HF_ACCESS_TOKEN='{SECRET}'\n", encoding="utf-8")
    elif request.param == "stored":
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "token").write_text(SECRET + "\n", encoding="utf-8")
    else:
        monkeypatch.setenv(request.param, SECRET)
    return request.param


FORMS = {
    "plain": SECRET,
    "in a sentence": f"the key {SECRET}, is wrong",
    "in a URL": f"https://host/?key={quote(SECRET, safe='')}",
    "in JSON": json.dumps({"error": SECRET}),
    "in JSON of UTF-8": json.dumps({"error": SECRET}, ensure_ascii=False),
    "in base64": "Basic " + base64.b64encode(SECRET.encode()).decode(),
    "twice": SECRET + SECRET,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_hidden_however_it_is_written(configured, form):
    told = hide_secrets(FORMS[form])
    assert HIDDEN in told
    for spelling in (SECRET, quote(SECRET, safe=""), json.dumps(SECRET)[1:-1], SECRET[:8]):
        assert spelling not in told


def test_a_log_keeps_none(configured, tmp_path):
    journal = Journal(tmp_path / "log.jsonl")
    with listening(journal):
        logging.getLogger("broca.x").warning("refused %s", SECRET)
    journal.note("stopped", text=f"401 {SECRET}", nested={"a": [SECRET]})
    assert SECRET not in (tmp_path / "log.jsonl").read_text(encoding="utf-8")
    assert [HIDDEN in json.dumps(event) for event in journal.events()[0]] == [True, True]


@pytest.mark.parametrize("word", ["EMPTY", "dummy", "notneeded", "secret"])
def test_words_that_local_servers_take_for_a_key_are_none(monkeypatch, word):
    monkeypatch.setenv("OPENAI_API_KEY", word)
    assert hide_secrets(f"the box is {word}") == f"the box is {word}"


def test_nested_values_keep_their_shape(configured):
    assert without_secrets({"a": [1, None, True, {"b": SECRET}], SECRET: 2.5}) == {
        "a": [1, None, True, {"b": HIDDEN}],
        HIDDEN: 2.5,
    }


ECHOES = {
    "refusal": (401, lambda key: f"no {key}"),
    "other status": (418, lambda key: json.dumps({"error": {"message": f"bad key {key}"}})),
    "no JSON": (200, lambda key: f"<html>{key}</html>"),
    "odd JSON": (200, lambda key: json.dumps({"headers": {"authorization": f"Bearer {key}"}})),
    "gone": (503, lambda key: key),
}


@pytest.mark.parametrize("echo", ECHOES)
def test_a_server_that_echoes_the_key_gets_it_nowhere(monkeypatch, echo):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    status, body = ECHOES[echo]
    with answering((status, body("sk-0123456789abcdef"))) as (url, _):
        server = Server(url, "m", tries=2, pause=0)
        with pytest.raises(ServerError) as caught:
            server.complete(["hi"], max_tokens=1)
    assert "sk-0123456789abcdef" not in str(caught.value)
    assert "0123456789" not in str(caught.value)


def test_a_completion_that_holds_the_key_is_kept_without_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    answer = json.dumps({"choices": [{"text": "your key is sk-0123456789abcdef"}]})
    with answering((200, answer)) as (url, _):
        assert Server(url, "m").complete(["hi"], max_tokens=1) == [f"your key is {HIDDEN}"]


def test_a_password_in_an_address_is_shown_and_kept_nowhere():
    server = Server("http://ann:pa55word1@localhost:1", "m", tries=1, pause=0)
    assert server.public_url == "http://localhost:1/v1"
    with pytest.raises(ServerError) as caught:
        server.complete(["hi"], max_tokens=1)
    assert "pa55word1" not in str(caught.value)
