from __future__ import annotations

import json
import subprocess
import sys

import polars as pl
import pytest

from broca.errors import StimulusError, UnknownName
from broca.items import Item, Message
from broca.stimuli import benchmarks
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.contrasts import contrast
from broca.stimuli.texts import texts

HEAD = "prompt,choices,answer\n"


def written(folder, content, name="questions.csv"):
    path = folder / name
    path.write_text(content)
    return path


def test_the_belief_world_is_met_by_name():
    items = benchmark("beliefs/false-belief", n=3, seed=7)
    assert {item.ability for item in items} == {"false-belief"}
    assert items == benchmark("beliefs/false-belief", n=3, seed=7) != benchmark("beliefs/false-belief", n=3, seed=8)
    assert {item.ability for item in benchmark("beliefs/belief", n=4)} == {"false-belief", "true-belief"}
    with pytest.raises(
        UnknownName, match=r"Benchmark 'beliefs/memory': option 'count' is not known. .*Known: detail, n, seed"
    ):
        benchmark("beliefs/memory", count=3)


def test_all_abilities_of_the_belief_world_are_registered():
    abilities = {item.ability for item in benchmark("beliefs", n=3)}
    names = {name.partition("/")[2] for name in benchmarks.BENCHMARKS if name.startswith("beliefs/")}
    assert names == abilities | {"belief"}
    for name in abilities:
        assert {item.ability for item in benchmark(f"beliefs/{name}", n=2)} == {name}


def test_the_belief_world_is_not_imported_before_it_is_asked_for():
    code = "import sys, broca.stimuli.benchmarks; sys.exit('broca.organisms.beliefs' in sys.modules or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("choices", "answer"),
    [
        ("box|bag", "1"),
        ("box|bag", "b"),
        ("box|bag", "B"),
        ("box|bag", "bag"),
        ('"[""box"", ""bag""]"', "bag"),
        (" box | bag ", " bag "),
        ("\"['box', 'bag']\"", "bag"),
        ('"[\'box\', ""bag""]"', "1"),
        ("box|bag", "1.0"),
        ("box|bag", "1.00"),
    ],
)
def test_every_way_to_write_choices_and_an_answer(tmp_path, choices, answer):
    (item,) = benchmark(written(tmp_path, f"{HEAD}Where?,{choices},{answer}\n"))
    assert item == Item("1", "Where?", ("box", "bag"), 1, "questions", "")


def test_lists_and_numbers_of_jsonl_and_parquet(tmp_path):
    rows = [
        {"prompt": "Where?\nAnswer:", "choices": ["box", "bag"], "answer": 1, "ability": "place", "group": "g", "id": 7}
    ]
    lines = written(tmp_path, "\n".join(map(json.dumps, rows)), "a.jsonl")
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    wanted = (Item("7", "Where?\nAnswer:", ("box", "bag"), 1, "place", "g"),)
    assert benchmark(lines) == benchmark(tmp_path / "a.parquet") == wanted


CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}]


def chats(path, prompts):
    """Chats in the format of the path's ending."""
    rows = [{"prompt": prompt, "choices": ["box", "bag"], "answer": 0} for prompt in prompts]
    if path.suffix == ".parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif path.suffix == ".csv":
        lines = [row | {"prompt": json.dumps(row["prompt"]), "choices": "box|bag"} for row in rows[:-1]]
        pl.DataFrame([*lines, rows[-1] | {"prompt": str(prompts[-1]), "choices": "box|bag"}]).write_csv(path)
    else:
        path.write_text(json.dumps(rows) if path.suffix == ".json" else "\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".csv"])
def test_chats_are_prompts(tmp_path, suffix):
    found = benchmark(chats(tmp_path / f"a{suffix}", [CHAT, CHAT[1:]]))
    assert found[0].prompt == (Message("system", "Be brief."), Message("user", "Where is it?"))
    assert found[1].prompt == (Message("user", "Where is it?"),)


def test_chats_are_texts_and_sides_of_a_contrast(tmp_path):
    other = [
        {"role": "user", "content": [{"type": "text", "text": "Why"}, {"type": "text", "text": " not?"}], "name": None}
    ]
    rows = [
        {"text": CHAT, "label": 1},
        {"text": CHAT[1:], "label": 1},
        {"text": other, "label": 0},
        {"text": "Plain?", "label": 0},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert [s.text for s in contrast(path).negative] == [(Message("user", "Why not?"),), "Plain?"]
    assert texts(path)[0].text == (Message("system", "Be brief."), Message("user", "Where is it?"))
    rows = [{"positive": CHAT, "negative": other}, {"positive": other, "negative": CHAT}]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert contrast(path).positive[0].text[0] == Message("system", "Be brief.")


@pytest.mark.parametrize(
    "chat",
    [[], ["hello"], [{"from": "human", "value": "x"}], [{"role": "tool", "content": "x"}], [{"role": "user", "content": " "}],
     [{"role": "user", "content": "x", "name": "Ann"}], [{"role": "user", "content": [{"type": "image", "url": "x"}]}],
     [{"role": "user"}], [{"role": ["user"], "content": "x"}]],
    ids=str,
)  # fmt: skip
def test_chats_that_are_none(tmp_path, chat):
    with pytest.raises(StimulusError, match=r"line 2: 'prompt' (holds|is a chat without) .*text"):
        benchmark(chats(tmp_path / "a.jsonl", [CHAT, chat]))


def test_a_text_that_begins_like_a_list_is_a_text(tmp_path):
    path = written(tmp_path, "prompt,choices,answer\n" + '"[{""a"": 1}] is",x|y,x\n"[{""a"": 1}]",x|y,x\n')
    assert [item.prompt for item in benchmark(path)] == ['[{"a": 1}] is', '[{"a": 1}]']


def test_numbers_as_pandas_writes_them(tmp_path):
    frame = pl.DataFrame(
        {"prompt": ["w", "v"], "choices": [["a", "b"]] * 2, "answer": [1.0, 0.0], "ability": [3.0, 4.0]}
    )
    frame.write_parquet(tmp_path / "a.parquet")
    frame.with_columns(choices=pl.lit("['a', 'b']")).write_csv(tmp_path / "a.csv")
    found = benchmark(tmp_path / "a.parquet")
    assert [(item.answer, item.ability) for item in found] == [(1, "3"), (0, "4")]
    assert [item.answer for item in benchmark(tmp_path / "a.csv")] == [1, 0]


def test_the_ability_of_a_table_without_one(tmp_path):
    path = written(tmp_path, f"{HEAD}Where?,box|bag,a\n")
    assert benchmark(path, ability="place")[0].ability == "place"
    with pytest.raises(StimulusError, match=r"has a column 'ability'"):
        benchmark(written(tmp_path, "prompt,choices,answer,ability\nWhere?,box|bag,a,x\n"), ability="place")


def test_an_answer_of_two_readings_needs_a_word(tmp_path):
    path = written(tmp_path, f"{HEAD}How many?,3|1|2,1\n")
    with pytest.raises(
        StimulusError, match=r"line 2: answer '1' can be read in two ways: by index it is '3', by text it is '1'"
    ) as caught:
        benchmark(written(tmp_path, f"{HEAD}How many?,1|3|2,1\n", "b.csv"))
    assert "answers='index', 'letter' or 'text'" in str(caught.value)
    assert benchmark(path)[0].answer == 1


BAD = {
    "no choices": ("prompt,choise,answer\nw,a|b,a\n", "no column 'choices'. Did you mean 'choise'"),
    "one choice": (f"{HEAD}w,box,box\n", "line 2: choices 'box' must be two or more texts"),
    "an empty choice": (f"{HEAD}w,box||bag,box\n", "none empty"),
    "same choice": (f"{HEAD}w,box|box,box\n", "the same text twice"),
    "broken list": (f'{HEAD}w,"[""box"", ""bag""",box\n', "is not a JSON list"),
    "a list without commas": (f"{HEAD}w,\"['box' 'bag']\",box\n", "is not a JSON list, nor one of Python"),
    "code in the list": (f"{HEAD}w,\"[open('x'), 'bag']\",bag\n", "is not a JSON list, nor one of Python"),
    "half an index": (f"{HEAD}w,box|bag,0.5\n", "answer '0.5' is none of the 2 choices"),
    "two readings of 1.0": (f"{HEAD}w,1.0|2.0,1.0\n", "by index it is '2.0', by text it is '1.0'"),
    "other names": (
        "question,options,label\nw,a|b,a\n",
        "no column 'prompt', 'choices' or 'answer'. Did you mean 'question' to be 'prompt', 'options' to be 'choices' and 'label' to be",
    ),
    "other case": ("Prompt,Choices,Answer\nw,a|b,a\n", "Did you mean 'Prompt' to be 'prompt'"),
    "numbers in the list": (f'{HEAD}w,"[1, 2]",0\n', "two or more texts"),
    "no such answer": (f"{HEAD}w,box|bag,crate\n", r"answer 'crate' is none of the 2 choices \['box', 'bag'\]"),
    "index too high": (f"{HEAD}w,box|bag,2\n", "answer '2' is none of the 2 choices"),
    "letter too high": (f"{HEAD}w,box|bag,c\n", "answer 'c' is none of the 2 choices"),
    "negative": (f"{HEAD}w,box|bag,-1\n", "answer '-1' is none"),
    "no answer": (f"{HEAD}w,box|bag,\n", "line 2: 'answer' is empty"),
    "no prompt": (f"{HEAD},box|bag,a\n", "line 2: 'prompt' is empty"),
    "same id": ("id,prompt,choices,answer\n1,w,a|b,1\n1,w,a|b,1\n", "the id '1' was used in line 2"),
    "near miss": ("prompt,choices,answer,abilty\nw,x|y,0,m\n", "no column 'ability'. Did you mean 'abilty'"),
    "near miss of other words": (
        "prompt,choices,answer,rewordng\nw,x|y,0,m\n",
        "no column 'rewording'. Did you mean 'rewordng'",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_bad_tables(tmp_path, content, message):
    with pytest.raises(StimulusError, match=message):
        benchmark(written(tmp_path, content))


@pytest.mark.parametrize(("form", "answer"), [("index", "box"), ("letter", "1"), ("text", "a")])
def test_answers_of_another_form_than_was_said(tmp_path, form, answer):
    with pytest.raises(StimulusError, match=rf"is none of the 2 choices .* Give one by {form}"):
        benchmark(written(tmp_path, f"{HEAD}w,box|bag,{answer}\n"), answers=form)


@pytest.mark.parametrize("answer", [True, 1.5, None, [1]])
def test_answers_that_are_neither_number_nor_text(tmp_path, answer):
    with pytest.raises(StimulusError, match=r"line 1: answer .* must be an index from 0"):
        benchmark(written(tmp_path, json.dumps({"prompt": "w", "choices": ["a", "b"], "answer": answer}), "a.jsonl"))


def test_names_and_paths_that_are_not_there(tmp_path):
    with pytest.raises(UnknownName, match=r"Did you mean 'beliefs/false-belief'"):
        benchmark("beliefs/fasle-belief")
    with pytest.raises(StimulusError, match=r"does not hold one benchmark. Files of a known format: none"):
        benchmark(tmp_path)
    with pytest.raises(StimulusError, match=r"There is no file"):
        benchmark(tmp_path / "gone.csv")
