"""Scoring by a server: transformers' own on loopback for the real thing, and a broken one for what goes wrong."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from broca.errors import ServerError, StimulusError
from broca.items import Item, Message
from broca.models.lm import LM
from broca.organisms import organism_path
from broca.scoring import Generation
from broca.scoring.server import Server, ServerScorer
from broca.stimuli.benchmarks import benchmark
from loopback import answering

ITEM = Item("0", "Where?", ("box", "bag"), 0)


# -- a real one ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """`transformers serve` in a process of its own, on a port that is free.

    It samples only from models whose generation config says so, whatever the temperature that is asked for.
    """
    if not importlib.util.find_spec("fastapi"):
        pytest.skip("transformers serve needs transformers[serving]")
    folder = tmp_path_factory.mktemp("served") / "beliefs"
    shutil.copytree(organism_path("beliefs"), folder)
    config = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(config | {"do_sample": True}))
    model = str(folder)
    command = Path(sys.executable).with_name("transformers")
    options = ["--host", "127.0.0.1", "--port", "0", "--device", "cpu", "--log-level", "info"]
    env = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [command, "serve", model, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    )
    heard = []
    for line in process.stdout:
        heard.append(line)
        if "Uvicorn running on" in line:
            url = line.split("running on ")[1].split()[0]
            break
    else:
        pytest.fail(f"transformers serve ended: {''.join(heard)[-2000:]}")
    # Nobody reads what it says later, and a full pipe would stop it.
    threading.Thread(target=process.stdout.read, daemon=True).start()
    yield Server(url, model, timeout=60, pause=0.1)
    process.terminate()
    process.wait(timeout=30)
    process.stdout.close()


@pytest.fixture(scope="module")
def items():
    return benchmark("beliefs/false-belief", n=6)


def test_greedy_texts_are_those_of_the_model_itself(served, items):
    reader = Generation(max_new_tokens=2, match="first-word")
    here = reader(LM.load("beliefs"), items)
    there = ServerScorer(served, reader)(items)
    assert there["text"].str.strip_chars().to_list() == here["text"].str.strip_chars().to_list()
    assert there.drop("text").equals(here.drop("text"))
    assert here["correct"].mean() > 0.8


def test_sampled_texts_vary_and_come_back_in_the_order_of_the_items(served, items):
    hot = ServerScorer(
        served, Generation(max_new_tokens=2, match="first-word"), temperature=5.0, top_p=1.0, repetitions=2
    )
    rows = hot.repetition_rows(items[:4])
    assert rows.select("id", "repetition").rows() == [(item.id, r) for r in (1, 2) for item in items[:4]]
    assert rows["text"].n_unique() > 4


def test_a_model_that_it_does_not_serve(served):
    with pytest.raises(ServerError, match=r"refuses model 'other/one' with status 400: .*pinned to"):
        ServerScorer(Server(served.url, "other/one", tries=1))([ITEM])


# -- one that is broken --------------------------------------------------------------------------------------------


def said(text):
    return 200, json.dumps({"choices": [{"text": text}]})


def echo(body):
    return said(body["prompt"] + "!")


def at(url, model="m", **more):
    return Server(url, model, **{"timeout": 5.0, "tries": 3, "pause": 0.0} | more)


@pytest.mark.parametrize(
    "trouble", [(503, "busy"), (429, "slow down", ("retry-after", "0")), (500, ""), "drop", (502, "<html>")], ids=str
)
def test_a_server_that_recovers(trouble):
    with answering(trouble, trouble, said(" box.")) as (url, asked):
        rows = ServerScorer(at(url))([ITEM])
    assert rows["predicted"][0] == 0
    assert len(asked) == 3


def test_a_server_that_hangs_is_asked_again():
    with answering("hang", said("box")) as (url, asked):
        assert ServerScorer(at(url, timeout=0.2))([ITEM])["text"][0] == "box"
    assert len(asked) == 2


def test_a_server_that_hangs_for_good():
    with (
        answering("hang") as (url, _),
        pytest.raises(ServerError, match=r"2 times .*\(last: no answer within 0\.2 s\)"),
    ):
        ServerScorer(at(url, timeout=0.2, tries=2))([ITEM])


def test_a_server_that_is_gone():
    with answering(said("box")) as (url, _):
        pass
    with pytest.raises(ServerError, match=r"/v1/completions was asked 3 times and gave no answer \(last: .*refused"):
        ServerScorer(at(url))([ITEM])


def test_pauses_double_and_a_server_may_ask_for_more(monkeypatch):
    slept = []
    monkeypatch.setattr("broca.scoring.server.time.sleep", slept.append)
    answers = [
        (503, ""),
        (503, ""),
        (429, "", ("retry-after", "7")),
        (429, "", ("retry-after", "99")),
        (503, "", ("retry-after", "soon")),
    ]
    with answering(*answers) as (url, _), pytest.raises(ServerError, match=r"6 times .*status 503"):
        ServerScorer(at(url, tries=6, pause=0.5))([ITEM])
    assert slept == [0.5, 1.0, 7.0, 30.0, 30.0]


REFUSED = {
    "a key": ((401, "no key"), r"refuses with status 401: no key\. Set OPENAI_API_KEY"),
    "the address": ((404, '{"detail":"Not Found"}'), r"refuses model 'm' with status 404: .*Check the address"),
    "the request": ((400, "too  long\n"), r"status 400: too long\."),
    "a redirect": ((307, "", ("location", "/elsewhere")), "status 307"),
    "a page": ((200, "<html>hello</html>"), "is not JSON: '<html>hello</html>'"),
    "cut JSON": ((200, '{"choices": [{"te'), "is not JSON"),
    "no choices": ((200, '{"choices": []}'), r"there is no choices\[0\]\.text"),
    "a chat": ((200, '{"choices": [{"message": {"content": "box"}}]}'), "not of chats"),
    "a list": ((200, "[1]"), "there is no choices"),
    "a null": ((200, "null"), "there is no choices"),
    "no text": ((200, '{"choices": [{"text": 3}]}'), "there is no choices"),
}


@pytest.mark.parametrize(("answer", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_not_asked_again(answer, message):
    with answering(answer) as (url, asked):
        with pytest.raises(ServerError, match=message):
            ServerScorer(at(url))([ITEM])
        assert len(asked) == 1


def test_texts_keep_the_order_of_the_prompts_and_are_asked_for_at_once():
    prompts = [f"p{i}" for i in range(40)]
    with answering(echo) as (url, asked):
        assert at(url, at_once=7).complete(prompts, max_tokens=3) == [f"{p}!" for p in prompts]
    path, body, _ = min(asked, key=lambda each: each[1]["prompt"])
    assert (path, body) == ("/v1/completions", {"model": "m", "prompt": "p0", "max_tokens": 3, "temperature": 0.0})


def test_each_sampled_text_has_a_seed_of_its_own():
    items = [Item(str(i), f"Where {i}?", ("box", "bag"), 0) for i in range(5)]
    with answering(echo) as (url, asked):
        scorer = ServerScorer(at(url), temperature=0.6, top_p=0.8, repetitions=3, seed=1)
        scorer(items)
        seeds = {(body["prompt"], body["seed"]) for _, body, _ in asked}
        del asked[:]
        scorer(items[3:])
        assert {(body["prompt"], body["seed"]) for _, body, _ in asked} < seeds
        assert {(body["temperature"], body["top_p"]) for _, body, _ in asked} == {(0.6, 0.8)}
    assert len({seed for _, seed in seeds}) == 15


def test_options_and_cue_stand_in_the_prompt():
    with answering(said(" B")) as (url, asked):
        assert ServerScorer(at(url), Generation(match="letter"))([ITEM])["predicted"][0] == 1
        ServerScorer(at(url), Generation(cue="It is"))([ITEM])
        ServerScorer(at(url), Generation(cue="答案"))([Item("0", "在哪里？", ("box", "bag"), 0)])
    assert asked[2][1]["prompt"] == "在哪里？答案"
    assert asked[0][1]["prompt"] == "Where?\n\na. box\nb. bag\nAnswer:"
    assert asked[1][1]["prompt"] == "Where? It is"


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    with answering(said("box")) as (url, asked):
        ServerScorer(at(url))([ITEM])
    assert asked[0][2]["authorization"] == "Bearer sesame"
    assert "sesame" not in repr(at(url))


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/v1/completions"])
def test_every_way_to_write_the_address(ending):
    with answering(said("box")) as (url, asked):
        assert Server(url + ending).complete(["w"], max_tokens=1) == ["box"]
    assert (asked[0][0], asked[0][1]["model"]) == ("/v1/completions", "m")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ((200, '{"data": [{"id": "a"}, {"id": "b"}]}'), r"serves 2 models: a, b\. Give the name of one"),
        ((200, '{"data": []}'), r"serves 0 models\. Give"),
        ((200, '{"models": []}'), r"does not say which model .*another form Give the model's name"),
        ((200, "[]"), "does not say which model"),
        ((500, "oh"), r"does not say which model it serves: .*status 500: oh.* Give the model's name"),
    ],
)
def test_a_missing_model_name(models, message):
    with answering(said("box"), models=models) as (url, asked):
        with pytest.raises(ServerError, match=message):
            ServerScorer(at(url, None))([ITEM])
        assert not asked


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://a", "", "http://"])
def test_what_is_no_address(url):
    with pytest.raises(ServerError, match="is no address of a server"):
        Server(url)


def test_what_cannot_be_asked():
    with pytest.raises(ServerError, match="at least one try"):
        Server("http://a", tries=0)
    there = at("http://127.0.0.1:9")
    with pytest.raises(StimulusError, match="would need a chat template"):
        ServerScorer(there)([Item("0", (Message("user", "w"),), ("a", "b"), 0)])
    with pytest.raises(StimulusError, match="would need a chat template"):
        ServerScorer(there, Generation(chat="always"))([ITEM])
    with pytest.raises(StimulusError, match="cannot be told apart"):
        ServerScorer(there)([Item("0", "w", ("red box", "red bag"), 0)])
    with pytest.raises(StimulusError, match="one repetition or more"):
        ServerScorer(there, repetitions=0)([ITEM])
