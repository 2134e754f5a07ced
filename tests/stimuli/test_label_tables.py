from __future__ import annotations

import json

import polars as pl
import pytest

from broca.errors import StimulusError, UnknownName
from broca.stimuli.contrasts import contrast

ROWS = [("the bird sang", "1"), ("dogs run", "1"), ("flov tez", "0"), ("mub skez", "0")]


def written(folder, content, name="stimuli.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def texts(side):
    return [s.text for s in side]


@pytest.mark.parametrize(
    "labels", [("1", "0"), ("1.0", "0.0"), ("positive", "negative"), ("TRUE", "false"), ("Pos", "neg")]
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_every_format_and_every_spelling_of_a_label(tmp_path, suffix, labels):
    frame = pl.DataFrame(
        [(text, labels[0] if label == "1" else labels[1]) for text, label in ROWS], ["text", "label"], orient="row"
    )
    path = tmp_path / f"mine{suffix}"
    match suffix:
        case ".parquet":
            frame.write_parquet(path)
        case ".jsonl":
            frame.write_ndjson(path)
        case ".json":
            frame.write_json(path)
        case _:
            frame.write_csv(path, separator="\t" if suffix == ".tsv" else ",")
    found = contrast(path)
    assert texts(found.positive) == ["the bird sang", "dogs run"]
    assert texts(found.negative) == ["flov tez", "mub skez"]
    assert found.name == "mine"
    assert found.source == f"Read from mine{suffix}, taken for a table of labelled texts: 2 positive, 2 negative."


@pytest.mark.parametrize(("yes", "no"), [(True, False), (1, 0), (1.0, 0.0)])
def test_labels_that_are_not_text(tmp_path, yes, no):
    rows = [{"text": text, "label": yes if label == "1" else no} for text, label in ROWS]
    lines = written(tmp_path, "\n".join(map(json.dumps, rows)), "a.jsonl")
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    assert (
        texts(contrast(lines).positive)
        == texts(contrast(tmp_path / "a.parquet").positive)
        == ["the bird sang", "dogs run"]
    )


def test_pairs_groups_and_ids(tmp_path):
    found = contrast(written(tmp_path, "id,group,positive,negative\nx,g1,a b,c d\ny,g2,e f,g h\n"))
    assert found.paired
    assert [(s.id, s.group) for s in found.positive] == [("x-positive", "g1"), ("y-positive", "g2")]
    assert "a table of pairs" in found.source


def test_quotes_commas_line_ends_and_a_byte_order_mark(tmp_path):
    found = contrast(
        written(tmp_path, '\ufefftext,label\r\n"one, ""two""\r\nthree",1\r\nx,1\r\n\r\ny,0\r\n"  z ",0\r\n')
    )
    assert texts(found.positive) == ['one, "two"\r\nthree', "x"]
    assert texts(found.negative) == ["y", "  z "]


def test_a_named_positive_label(tmp_path):
    path = written(tmp_path, "text,label\na,sentence\nb,sentence\nc,list\nd,list\n")
    assert texts(contrast(path, positive="sentence").positive) == ["a", "b"]
    assert texts(contrast(path, negative="sentence").positive) == ["c", "d"]
    with pytest.raises(UnknownName, match=r"Label of stimuli.csv 'sentense' is not known. Did you mean 'sentence'\?"):
        contrast(path, positive="sentense")


def test_a_third_label_needs_a_word(tmp_path):
    path = written(tmp_path, "text,label\na,s\nb,s\nc,n\nd,n\ne,j\nf,j\n")
    assert texts(contrast(path, positive="s", negative="n").negative) == ["c", "d"]
    with pytest.raises(StimulusError, match=r"2 labels besides the positive one: 'n' \(2 rows\), 'j' \(2 rows\)"):
        contrast(path, positive="s")
    with pytest.raises(StimulusError, match=r"both name 's'"):
        contrast(path, positive="s", negative="s")


def test_repeats_are_said(tmp_path):
    assert "1 texts repeat" in contrast(written(tmp_path, "text,label\na,1\na,1\nc,0\nd,0\n")).source


BAD = {
    "no label column": (
        "text,lable\na,1\n",
        r"no column 'label'. Did you mean 'lable' to be 'label'\? Columns found: 'text', 'lable'",
    ),
    "case of a column": ("Text,label\na,1\n", "no column 'text'. Did you mean 'Text'"),
    "neither pair": (
        "a,b\n1,2\n",
        "needs the columns 'text' and 'label', or 'positive' and 'negative'. Columns found: 'a', 'b'",
    ),
    "other names": ("sentence,condition\na,1\n", "Did you mean 'sentence' to be 'text' and 'condition' to be 'label'"),
    "sides of another name": ("pos,neg\na,b\n", "Did you mean 'pos' to be 'positive' and 'neg' to be 'negative'"),
    "both pairs": ("text,label,positive,negative\na,1,b,c\n", "Keep one of the two pairs"),
    "near miss of an optional column": ("text,label,groups\na,1,x\n", "no column 'group'. Did you mean 'groups'"),
    "empty class": ("text,label\na,1\nb,1\n", "no negative rows; its labels are '1'"),
    "one of a class": ("text,label\na,1\nb,1\nc,0\n", "1 negative stimuli. A contrast needs at least 2"),
    "unknown label": ("text,label\na,1\nb,maybe\n", "line 3: label 'maybe' is neither positive"),
    "empty label": ("text,label\na,1\nb,\n", "line 3: 'label' is empty"),
    "empty text": ("text,label\na,1\n,1\n", "line 3: 'text' is empty"),
    "white space": ('text,label\na,1\n" \t",1\n', "line 3: 'text' is only white space"),
    "both labels": ("text,label\na,1\nb,1\na,0\n", "line 4: the text 'a' has the other label in line 2"),
    "same id": ("id,text,label\nx,a,1\nx,b,0\n", "line 3: the id 'x' was used in line 2"),
    "empty id": ("id,text,label\n,a,1\n", "line 2: 'id' is empty"),
    "pair of the same": ("positive,negative\na,b\nc,c\n", "line 3: both sides hold the same text 'c'"),
    "one pair": ("positive,negative\na,b\n", "1 positive stimuli"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_bad_tables(tmp_path, content, message):
    with pytest.raises(StimulusError, match=message):
        contrast(written(tmp_path, content))


def test_a_label_option_for_pairs(tmp_path):
    with pytest.raises(StimulusError, match=r"a column for each side, so there is no label to choose"):
        contrast(written(tmp_path, "positive,negative\na,b\nc,d\n"), positive="x")


def test_a_number_is_no_text(tmp_path):
    with pytest.raises(StimulusError, match=r"line 1: 'text' is 5 \(int\). Give a text; quote it"):
        contrast(written(tmp_path, '{"text": 5, "label": 1}', "a.jsonl"))
