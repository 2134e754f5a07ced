"""Tables that call their columns otherwise, and what pandas writes of lists and numbers."""

from __future__ import annotations

import pytest

from broca.errors import StimulusError
from broca.items import Item, Message
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.contrasts import contrast

NAMES = "prompt=question,choices=options,answer=label"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("question,options,label,prompts\nWhere?,\"['box', 'bag']\",1.0,x\nWho?,\"['Ann', 'Ben']\",0.0,y\n")
    return path


def test_columns_are_read_under_the_names_that_are_given(table):
    wanted = (Item("1", "Where?", ("box", "bag"), 1, "own"), Item("2", "Who?", ("Ann", "Ben"), 0, "own"))
    assert benchmark(table, columns=NAMES) == wanted
    assert benchmark(table, columns=" prompt = question, choices=options,answer=label,group=prompts")[1].group == "y"


def test_a_chat_is_read_from_a_column_of_another_name(tmp_path):
    path = tmp_path / "chats.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "Where?"}], "options": ["box", "bag"], "answer": "bag"}')
    (item,) = benchmark(path, columns="prompt=messages,choices=options")
    assert (item.prompt, item.answer) == ((Message("user", "Where?"),), 1)


def test_a_published_format_can_be_read_as_a_plain_table(tmp_path):
    path = tmp_path / "blimp.jsonl"
    path.write_text(
        '{"sentence_good": "He is.", "sentence_bad": "He are.", "UID": "u", "choices": ["a", "b"], "gold": 0}'
    )
    (item,) = benchmark(path, columns="prompt=sentence_good,answer=gold")
    assert item.prompt == "He is."


def test_a_contrast_too(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("sentence,kind\n" + "".join(f"text {i},{i % 2}\n" for i in range(6)))
    assert len(contrast(path, columns="text=sentence,label=kind").positive) == 3


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("prompt", "columns is 'prompt'. Write it as prompt=question,answer=label, each name once."),
        ("prompt=question,prompt=label", "each name once"),
        ("promt=question", "columns names 'promt', which is not read. Did you mean 'prompt'? Read are prompt, choices"),
        (
            "prompt=qestion",
            "own.csv has no column 'qestion'. Did you mean 'question'? Columns found: 'question', 'options'",
        ),
        ("prompt=question,choices=question", "gives one column two names"),
        ("prompt=question,choices=options", "no column 'answer'. Did you mean 'label' to be 'answer'?"),
    ],
)
def test_mistakes(table, columns, told):
    with pytest.raises(StimulusError) as raised:
        benchmark(table, columns=columns)
    assert told in str(raised.value)


def test_a_column_that_is_there_is_not_hidden(tmp_path):
    path = tmp_path / "both.csv"
    path.write_text("prompt,question,choices,answer\na,b,box|bag,0\n")
    with pytest.raises(StimulusError, match="has a column 'prompt' already, and columns says prompt=question"):
        benchmark(path, columns="prompt=question")
