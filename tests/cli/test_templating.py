"""Options of the chat template, alike in all commands."""

from __future__ import annotations

import copy
import json

import pytest

import zoo
from broca.cli import spelled_out
from broca.models.build import save
from broca.reports.build import report
from broca.runs import list_runs, open_run

PLAIN = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}[assistant]"


@pytest.fixture
def chatty(here):
    words = copy.deepcopy(zoo.tokenizer())
    words.chat_template = PLAIN
    save(zoo.build("llama", positions=1024), words, here / "chatty")
    return here / "chatty"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("score m --chat", "score m --chat always"),
        ("score --no-chat m", "score --chat never m"),
        ("score m --chat --shots 2", "score m --chat always --shots 2"),
        ("score m --chat auto --shots 2", "score m --chat auto --shots 2"),
    ],
)
def test_chat_can_stand_alone(typed, meant):
    assert spelled_out(typed.split()) == meant.split()


def test_a_run_holds_what_the_template_is_told(typed, chatty):
    quick = ("--permutations", "0", "--contrast", "c.csv")
    code, out, err = typed("localize", chatty.name, *quick, "--chat", "--system", "Be brief.")
    assert code == 0, err
    (path,) = list_runs("runs")["path"].to_list()
    run = open_run(path)
    assert run.spec["study"]["chat"] == 'always {"system": "Be brief."}'
    assert "".join(run.manifest["prompt"]["tokens"]).replace(" ", "").startswith("<bos>[system]Bebrief.[user]the")
    page = report(run).read_text()
    assert "What the model is shown" in page
    assert "--chat always --system 'Be brief.'" in out


COMMANDS = {
    "localize": ("--contrast", "c.csv"),
    "lesion": ("--heads", "0.0", "--items", "q.jsonl"),
    "score": ("--items", "q.jsonl"),
    "perturb": ("--items", "q.jsonl"),
    "probe": ("--task", "rules"),
    "sensitivity": ("--task", "q.jsonl"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_template_that_is_never_used_is_told_nothing(typed, chatty, command):
    code, _, err = typed(command, chatty.name, *COMMANDS[command], "--no-chat", "--system", "Be brief.")
    assert (code, "is told to the chat template, and chat is never" in err) == (2, True), err


@pytest.mark.parametrize("command", ["localize", "lesion", "score"])
def test_what_comes_to_nothing_is_refused(typed, chatty, command):
    code, _, err = typed(command, chatty.name, *COMMANDS[command], "--system", "Be brief.")
    assert (code, "system would do nothing: " in err) == (2, True), err
    code, _, err = typed(command, chatty.name, *COMMANDS[command], "--chat", "--no-thinking")
    assert (code, "has no switch for thinking" in err) == (2, True), err


def test_examples_are_an_option_of_what_shows_items(typed, here):
    rows = [{"prompt": f"where is {i}?", "choices": ["box", "bag"], "answer": i % 2, "group": i} for i in range(12)]
    (here / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ("--items", "own.jsonl", "--heads", "0.0", "--draws", "0", "--gate", "mark", "--fills", "zero")
    code, _, err = typed("lesion", "tiny", *words, "--shots", "2")
    assert code == 0, err
    (path,) = list_runs("runs")["path"].to_list()
    run = open_run(path)
    assert run.spec["study"]["options"] == {"shots": 2}
    assert run.tables["prompts"].height == 10
    assert all(prompt.count("where is") == 3 for prompt in run.tables["prompts"]["prompt"])
    code, _, err = typed("lesion", "tiny", *words, "--shots", "7")
    assert (code, "own has 12 groups of items, and 7 examples would take 7" in err) == (2, True), err
