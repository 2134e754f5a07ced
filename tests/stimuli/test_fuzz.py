"""Whatever a file holds, a reader returns what it promises or raises an error of ours."""

from __future__ import annotations

import csv
import io
import itertools
import json
from contextlib import suppress

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broca.errors import BrocaError
from broca.items import Contrast, Item
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.contrasts import contrast
from broca.stimuli.tables import SUFFIXES

FOLDER_FILES = (
    "1b_story.txt",
    "1b_question.txt",
    "2b_story.txt",
    "2b_question.txt",
    "1p_story.txt",
    "1p_question.txt",
    "2p_story.txt",
    "2p_question.txt",
    "tomloc_positive.txt",
    "tomloc_negative.txt",
    "emotion_pain.txt",
    "physical_pain.txt",
    "run.csv",
)
COLUMNS = (
    *("text", "label", "positive", "negative", "id", "group", "ability", "prompt", "choices", "answer"),
    *("story", "question", "qOrder", "falseTrueBelief", "cands"),
)
CELLS = st.one_of(
    st.sampled_from(
        ["1", "0", "positive", "false", "a|b", '["a", "b"]', "['a', 'b']", "[", "a", "first_order", "S", ""]
    ),
    st.text(max_size=8),
)
VALUES = st.one_of(
    CELLS, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(st.text(max_size=3), max_size=3)
)
BYTES = st.one_of(
    st.binary(max_size=200),
    st.text(st.sampled_from('a1,"\n\r\t|{}[]: Story:Question\0\u2028'), max_size=120).map(str.encode),
)
numbers = itertools.count()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def read(path):
    for reader in (contrast, benchmark):
        with suppress(BrocaError):
            found = reader(path)
            if isinstance(found, Contrast):
                assert found.fingerprint
            else:
                assert all(isinstance(item, Item) and item.fingerprint for item in found)


@given(content=BYTES, suffix=st.sampled_from(SUFFIXES))
@settings(max_examples=150)
def test_any_bytes(place, content, suffix):
    path = place / f"any{suffix}"
    path.write_bytes(content)
    read(path)


tables = st.lists(st.sampled_from(COLUMNS), unique=True, min_size=1, max_size=8).flatmap(
    lambda columns: st.lists(st.fixed_dictionaries(dict.fromkeys(columns, VALUES)), max_size=6)
)


@given(rows=tables)
@settings(max_examples=70)
def test_any_json_table(place, rows):
    (place / "any.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    read(place / "any.jsonl")
    (place / "any.json").write_text(json.dumps(rows))
    read(place / "any.json")


text_tables = st.lists(st.sampled_from(COLUMNS), unique=True, min_size=1, max_size=8).flatmap(
    lambda columns: st.lists(st.fixed_dictionaries(dict.fromkeys(columns, CELLS)), max_size=6)
)


@given(rows=text_tables, delimiter=st.sampled_from([",", "\t"]))
@settings(max_examples=70)
def test_any_delimited_table(place, rows, delimiter):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, escapechar="\\").writerows(
        [list(rows[0]) if rows else [], *(row.values() for row in rows)]
    )
    path = place / ("any.csv" if delimiter == "," else "any.tsv")
    path.write_bytes(file.getvalue().encode(errors="surrogatepass"))
    read(path)


@given(rows=text_tables, numeric=st.booleans())
@settings(max_examples=80)
def test_any_parquet_table(place, rows, numeric):
    frame = pl.DataFrame(rows or {"text": []})
    if numeric and "label" in frame.columns:
        frame = frame.with_columns(label=pl.lit(1.5))
    frame.write_parquet(place / "any.parquet")
    read(place / "any.parquet")


@given(contents=st.dictionaries(st.sampled_from(FOLDER_FILES), BYTES, max_size=10))
@settings(max_examples=70)
def test_any_folder(place, contents):
    folder = place / f"folder{next(numbers)}"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    read(folder)


@given(
    content=st.lists(st.sampled_from(["Story: a", "Question: b", "", " ", "c", "Story:"]), max_size=20).map("\n".join)
)
@settings(max_examples=100)
def test_any_blocks(place, content):
    folder = place / "blocks"
    folder.mkdir(exist_ok=True)
    (folder / "tomloc_positive.txt").write_text(content)
    (folder / "tomloc_negative.txt").write_text("Story: a\nQuestion: b\n\nStory: c\nQuestion: d")
    read(folder)


@pytest.mark.parametrize("cut", [1, 7, 40, 90, 150, 300, 600])
def test_damaged_parquet(place, cut):
    # with bytes lost, not bytes changed: on some of those polars ends the process
    file = io.BytesIO()
    pl.DataFrame({"text": ["a", "b", "c", "d"], "label": [1, 1, 0, 0]}).write_parquet(file)
    content = file.getvalue()
    path = place / "damaged.parquet"
    path.write_bytes(content[:4] + content[4 + cut :])
    with pytest.raises(BrocaError):
        contrast(path)


@given(
    name=st.one_of(
        st.text(max_size=300),
        st.text(min_size=1, max_size=5).map(lambda t: f"~{t}"),
        st.text().map(lambda t: f"{300 * t}.csv"),
    )
)
@example(name="~\0")
@example(name="~nobody")
@example(name=".\0.csv")
@example(name="x" * 5000 + ".csv")
def test_any_name(name):
    with suppress(BrocaError):
        contrast(name, n=2)
