from __future__ import annotations

import json
from contextlib import suppress

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import BrocaError, StimulusError, UnknownName
from broca.items import Item, Stimulus
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.draws import draw_texts
from broca.stimuli.texts import _with_answer, texts

RECORDS = [{"txt": f"Complete the following story: number {i}"} for i in range(30)]


def test_the_plain_texts_make_a_hundred_windows():
    found = texts("plain")
    assert len({text.text for text in found}) == len({text.id for text in found}) == 120
    assert min(len(str(text.text).split()) for text in found) >= 115
    assert len({text.group for text in found}) == 12
    assert not [text.id for text in found if set("[]|{}") & set(str(text.text))]
    assert found == texts("plain", seed=0) != texts("plain", seed=1)
    assert texts("plain", n=5) == found[:5]


def test_nobody_in_the_plain_texts_thinks_anything():
    words = {word.strip(".,;").lower() for text in texts("plain", n=600) for word in str(text.text).split()}
    assert not words & {
        "think",
        "thinks",
        "thought",
        "believe",
        "believes",
        "know",
        "knows",
        "knew",
        "he",
        "she",
        "says",
    }


def test_items_are_texts_with_their_answers():
    found = texts("cells/transfer-reality", n=1)
    items = benchmark("cells/transfer-reality", n=1)
    assert [text.text for text in found] == [f"{i.prompt} {i.choices[i.answer]}" for i in items]
    assert {text.group for text in found} == {"transfer-00"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(RECORDS)),
        ("indented.json", json.dumps(RECORDS, indent=1)),
        ("lines.json", "\n".join(map(json.dumps, RECORDS))),
        ("a.jsonl", "\n\n".join(map(json.dumps, RECORDS)) + "\n"),
        ("a.csv", "text\n" + "\n".join(record["txt"] for record in RECORDS)),
        ("a.txt", "\r\n\r\n".join(record["txt"] for record in RECORDS)),
    ],
)
def test_every_way_to_write_texts(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode())
    found = texts(path)
    assert [text.text for text in found] == [record["txt"] for record in RECORDS]
    assert texts(path, n=7, seed=0) == tuple(found[i] for i in draw_texts(7, of=30))
    assert texts(str(path), n=7) == found[:7]


def test_another_column_and_groups(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"prose": ["one", "two"], "text": ["x", "y"], "group": ["g", "h"], "id": ["p", "q"]}).write_parquet(
        path
    )
    assert texts(path, column="prose") == (Stimulus("p", "one", "g"), Stimulus("q", "two", "h"))
    assert [text.text for text in texts(path)] == ["x", "y"]


def test_paragraphs_keep_their_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n one\ntwo\n \t\n\n\nthree\n")
    assert [text.text for text in texts(path)] == [" one\ntwo", "three"]


BAD = {
    "no column": ("a.jsonl", '{"story": "x"}', "has no column 'text'"),
    "an empty text": ("a.jsonl", '{"txt": ""}', "line 1: 'txt' is empty"),
    "a number": ("a.json", '[{"txt": 3}]', "'txt' is 3"),
    "no texts": ("a.txt", "\n \n", "has no texts"),
    "other fields": ("a.json", '{"txt": "x"}\n{"text": "y"}', "line 2: the fields differ from those of line 1"),
    "no object": ("a.json", "3\n4", "malformed JSON"),
    "null": ("a.json", "null", "holds a JSON NoneType. Give a list"),
    "nothing": ("a.json", "", "a.json, line 1: malformed JSON"),
    "no UTF-8": ("a.txt", "caf\udce9", "is not UTF-8"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD)
def test_bad_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(StimulusError, match=message):
        texts(tmp_path / name)


def test_names_options_and_paths_that_are_not_there(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    with pytest.raises(UnknownName, match=r"Source of texts 'plane' is not known. Did you mean 'plain'"):
        texts("plane")
    with pytest.raises(StimulusError, match="There is no file"):
        texts(tmp_path / "gone.txt")
    with pytest.raises(StimulusError, match="is a folder"):
        texts(tmp_path)
    with pytest.raises(StimulusError, match=r"2 texts were asked for, and a.txt has 1"):
        texts(tmp_path / "a.txt", n=2)
    with pytest.raises(StimulusError, match="plain text and has no columns"):
        texts(tmp_path / "a.txt", column="x")
    with pytest.raises(StimulusError, match="Option 'n' of"):
        texts("plain", n=0)


@given(
    content=st.binary(max_size=80) | st.text(st.sampled_from('{}[]"txt:,\n '), max_size=60).map(str.encode),
    suffix=st.sampled_from([".txt", ".json", ".jsonl", ".csv"]),
)
def test_any_bytes(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    with suppress(BrocaError):
        assert all(str(text.text).strip() for text in texts(path))


def test_the_real_training_texts(shared):
    path = shared / "data/tom_cells/tom_training_data.json"
    if not path.is_file():
        pytest.skip("no sample of the training texts")
    found = texts(path)
    assert len({text.text for text in found}) == 640
    assert {str(text.text).rsplit(maxsplit=1)[-1] for text in found} == {"of", "the"}
    assert [int(text.id) - 1 for text in texts(path, n=10, seed=0)] == [5, 481, 404, 34, 301, 13, 462, 566, 536, 500]


@pytest.mark.parametrize(
    ("prompt", "text"), [("答案是", "答案是东京"), ("It is (", "It is (东京"), ("Answer:", "Answer: 东京")]
)
def test_answers_follow_as_a_person_would_write(prompt, text):
    assert _with_answer(Item("0", prompt, ("东京", "巴黎"), 0)) == text
