from __future__ import annotations

import csv
import json

import polars as pl
import pytest

from broca.errors import StimulusError
from broca.stimuli.tables import read_table, short_repr

BAD = {
    "empty": ("a.csv", b"", "a.csv is empty"),
    "header alone": ("a.csv", b"text,label\n", "no rows below its header"),
    "no objects": ("a.jsonl", b"\n\n", "has no rows. Give at least one"),
    "too few fields": ("a.csv", b"a,b\n1,2\n\n3\n", "line 4: 1 fields, and the header has 2"),
    "too many fields": ("a.tsv", b"a\tb\n1\t2\t3\n", "line 2: 3 fields"),
    "open quote": ("a.csv", b'a,b\n1,2\n"3,4\n5,6\n', r"line 3: malformed \(unexpected end of data\)"),
    "quote inside": ("a.csv", b'a,b\n1,"x"y\n', "line 2: malformed"),
    "after a long record": ("a.csv", b'a,b\n"1\n1\n1",2\n3\n', "line 5: 1 fields"),
    "two columns of a name": ("a.csv", b"a,b,a\n1,2,3\n", "two columns named 'a'"),
    "latin-1": ("a.csv", "a,b\n1,2\ncaf\u00e9,3\n".encode("latin-1"), "line 3: byte 0xe9 is not UTF-8"),
    "utf-16 without its mark": ("a.csv", "a,b\n1,2\n".encode("utf-16-le"), "line 1: there is a NUL character"),
    "utf-16 cut short": ("a.csv", "a,b\n1,2\n".encode("utf-16")[:-1], "line 2: byte 0x0a is not UTF-16"),
    "packed": ("a.csv", b"\x1f\x8b\x08\0", "a.csv is packed"),
    "a first line and no more": ("a.csv", b"sep=;\n", "a.csv is empty"),
    "nul": ("a.jsonl", b'{"a": "x"}\n{"a": "\0"}', "line 2: there is a NUL character"),
    "semicolons": ("a.csv", b"a;b\n1;2\n1;2;3\n", "line 3: 3 fields, and the header has 2, divided by semicolons"),
    "tabs": ("a.csv", b"a\tb\n1\n", "line 2: 1 fields, and the header has 2, divided by tabs"),
    "a field behind the last column": ("a.csv", b"a,b,\n1,2,\n1,2,3\n", "line 3: 3 fields, and the header has 2"),
    "bad json": ("a.jsonl", b'{"a": 1}\n{"a": }\n', r"line 2: malformed JSON \(Expecting value at column 7\)"),
    "bad json list": ("a.json", b'[\n{"a": 1},\n{"a" 1}\n]', "line 3: malformed JSON"),
    "no list": ("a.json", b'{"a": 1}', "holds a JSON dict. Give a list of objects"),
    "no object": ("a.jsonl", b'{"a": 1}\n[1]\n', "line 2: a JSON list. Give an object"),
    "other fields": ("a.jsonl", b'{"a": 1}\n{"b": 1}\n', "line 2: the fields differ from those of line 1 in 'a', 'b'"),
    "field twice": ("a.jsonl", b'{"a": 1, "a": 2}', "line 1: malformed JSON .an object has the same field twice"),
    "nan": ("a.jsonl", b'{"a": NaN}', "NaN is not JSON"),
    "half a surrogate": ("a.jsonl", b'{"a": "\\ud800"}', "half of a surrogate pair"),
    "very deep": ("a.jsonl", b"[" * 100_000, "line 1: malformed JSON"),
    "very long number": ("a.jsonl", b'{"a": ' + b"1" * 5000 + b"}", "line 1: malformed JSON"),
    "not parquet": ("a.parquet", b"text,label\na,1\n", "not a Parquet file"),
    "hollow parquet": ("a.parquet", b"PAR1" + bytes(20) + b"PAR1", "damaged Parquet file"),
    "pickle": ("a.pkl", b"", "ends in '.pkl'. Tables end in one of .csv"),
    "no ending": ("a", b"", "ends in 'nothing'"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD)
def test_bad_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StimulusError, match=message):
        read_table(tmp_path / name)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".parquet"])
def test_a_missing_file(tmp_path, suffix):
    with pytest.raises(StimulusError, match=r"There is no file '.*gone"):
        read_table(tmp_path / f"gone{suffix}")


def test_a_folder_with_the_name_of_a_table(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(StimulusError, match=r"cannot be read: .*Is a directory"):
        read_table(tmp_path / "a.csv")


def test_rows_know_their_place(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n1,"x\ny"\n\n2,z\n')
    pl.DataFrame({"a": ["1", "2"]}).write_parquet(tmp_path / "a.parquet")
    assert [row.where for row in read_table(tmp_path / "a.csv").rows] == ["line 2", "line 5"]
    assert [row.where for row in read_table(tmp_path / "a.parquet").rows] == ["row 1", "row 2"]


def test_long_cells_are_read_and_the_limit_of_the_csv_module_is_left_alone(tmp_path):
    before = csv.field_size_limit()
    (tmp_path / "a.csv").write_text("a,b\n" + "x" * 200_000 + ",1\n")
    assert len(read_table(tmp_path / "a.csv").rows[0].cells["a"]) == 200_000
    assert csv.field_size_limit() == before
    (tmp_path / "a.csv").write_text('a\n"' + "x" * 200_000 + "\n")
    with pytest.raises(StimulusError, match=r"line 2: malformed"):
        read_table(tmp_path / "a.csv")
    assert csv.field_size_limit() == before


SAME = {
    "commas": ("a.csv", 'text,label\n"a, b",1\n"c; d",0\n'),
    "semicolons": ("a.csv", 'text;label\na, b;1\n"c; d";0\n'),
    "tabs": ("a.csv", "text\tlabel\na, b\t1\nc; d\t0\n"),
    "bars": ("a.csv", "text|label\na, b|1\nc; d|0\n"),
    "commas in a tsv": ("a.tsv", 'text,label\n"a, b",1\n"c; d",0\n'),
    "trailing delimiters": ("a.csv", 'text,label,,\n"a, b",1,,\n"c; d",0,,\n'),
    "trailing delimiters below the header": ("a.csv", 'text,label\n"a, b",1,\n"c; d",0,,\n'),
    "a first line of Excel's": ("a.csv", 'sep=;\ntext;label\na, b;1\n"c; d";0\n'),
    "line ends": ("a.csv", 'text,label\r\n"a, b",1\r\n"c; d",0\r\n'),
    "old line ends": ("a.csv", 'text,label\r"a, b",1\r"c; d",0\r'),
    "spaces in the header": ("a.csv", ' text , label\n"a, b",1\n"c; d",0\n'),
}


@pytest.mark.parametrize(("name", "content"), SAME.values(), ids=SAME)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_the_same_table_as_other_programs_write_it(tmp_path, name, content, encoding):
    (tmp_path / name).write_bytes(content.encode(encoding))
    table = read_table(tmp_path / name)
    assert table.columns == ("text", "label")
    assert [dict(row.cells) for row in table.rows] == [{"text": "a, b", "label": "1"}, {"text": "c; d", "label": "0"}]


def test_json_is_known_by_what_it_holds(tmp_path):
    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    (tmp_path / "list.jsonl").write_text(json.dumps(rows, indent=1))
    (tmp_path / "lines.json").write_text("\n".join(map(json.dumps, rows)))
    for name in ("list.jsonl", "lines.json"):
        assert [row.cells for row in read_table(tmp_path / name).rows] == rows


def test_many_columns_are_not_all_named(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(f"c{i}" for i in range(900)) + "\n" + "," * 899 + "\n")
    with pytest.raises(StimulusError, match=r"'c19', ... \(900\)\.$"):
        read_table(tmp_path / "a.csv").require("prompt")


def test_bars_within_a_cell_divide_no_columns(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,choices,answer\nwhere?,a|b|c|d|e,a\n")
    assert read_table(tmp_path / "a.csv").columns == ("prompt", "choices", "answer")


def test_one_sentence_about_all_columns_that_are_missing(tmp_path):
    (tmp_path / "a.csv").write_text("question,Choices,label,x\n1,2,3,4\n")
    with pytest.raises(
        StimulusError,
        match=r"a.csv has no column 'prompt', 'choices' or 'answer'. Did you mean 'question' to be 'prompt', 'Choices' to be "
        r"'choices' and 'label' to be 'answer'\? Columns found: 'question', 'Choices', 'label', 'x'. Needed are 'prompt', "
        r"'choices', 'answer': rename yours.",
    ):
        read_table(tmp_path / "a.csv").require("prompt", "choices", "answer")


def test_values_deep_and_long_are_cut_in_messages():
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert len(short_repr(deep)) < 40
    assert len(short_repr("x" * 1000)) < 70
