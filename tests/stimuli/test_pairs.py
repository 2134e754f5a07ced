"""Pairs from files: the published typo files with their defects counted, tables, paraphrase sets, any column."""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broca.errors import BrocaError, StimulusError, UnknownName
from broca.items import Edit, Pair, apply_edits
from broca.stimuli.perturb import ANCESTRAL, pairs


def row(number=1, clean="normal", **changes):
    text = "Work this sum out: 6 ÷ 4 ="
    kinds = {
        "main": "Wrok this sum out: 6 ÷ 4 =",
        "swap": "Work tihs sum out: 6 ÷ 4 =",
        "missing": "Work ths sum out: 6 ÷ 4 =",
        "repeated": "Work thiis sum out: 6 ÷ 4 =",
        "two": "Wrk this smu out: 6 ÷ 4 =",
        "three": "Wrk tihs smu out: 6 ÷ 4 =",
        "grammar": "Work this this sum out: 6 ÷ 4 =",
        "punctuation": "Work.this sum out: 6 ÷ 4 =",
        "homonym": "Work this some out: 6 ÷ 4 =",
    }
    return {"element_index": number, clean: text, **kinds, **changes}


def written(folder, content, name="a.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def counts(found, column):
    return dict(zip(found.report["kind"], found.report[column], strict=True))


# ---- the typo files


def test_a_typo_file_and_its_defects(tmp_path):
    broken = row(2)
    broken["homo,nym"] = broken.pop("homonym")
    same = row(3, grammar=row()["normal"], homonym="")
    found = pairs(written(tmp_path, [row(), broken, same]))
    assert len(found.pairs) == 25
    assert found.report["kind"].to_list() == list(ANCESTRAL)
    assert counts(found, "repaired") == dict.fromkeys(ANCESTRAL, 0) | {"homonym": 1}
    assert counts(found, "identical") == dict.fromkeys(ANCESTRAL, 0) | {"grammar": 1}
    assert counts(found, "impossible") == dict.fromkeys(ANCESTRAL, 0) | {"homonym": 1}
    assert counts(found, "made") == dict.fromkeys(ANCESTRAL, 3) | {"grammar": 2, "homonym": 2 - 0}
    one = found.of("main")[0]
    assert (one.id, one.group, one.answer, one.tags["operation"]) == ("1/main", "Work this sum out", "3/2", "÷")


def test_instructions_and_flattened_line_ends(tmp_path):
    text = "Write a poem.\nMake it short."
    flat = dict.fromkeys(ANCESTRAL, "Wrtie a poem. Make it short.")
    content = [{"element_index": 1, "instruction": text, **flat, "swap": "Wrtie a poem.\nMake it short."}]
    found = pairs(written(tmp_path, content))
    assert counts(found, "spaces") == dict.fromkeys(ANCESTRAL, 1) | {"swap": 0}
    assert found.of("main")[0].tags["broken"] == "spaces"
    assert (found.pairs[0].answer, found.pairs[0].group) == ("", "")
    kept = pairs(written(tmp_path, content), layout="drop")
    assert {pair.kind for pair in kept.pairs} == {"swap", "grammar", "punctuation"}
    assert (kept.report["asked"] == kept.report["made"] + kept.report["impossible"] + kept.report["refused"]).all()


def test_the_real_file(shared):
    """T1, on the first 500 rows: what was counted in them, within what was counted in all 1000."""
    found = pairs(shared / "data/typos/maths_first500.json")
    assert counts(found, "asked") == dict.fromkeys(ANCESTRAL, 500)
    assert counts(found, "identical") == dict.fromkeys(ANCESTRAL, 0) | {"swap": 2, "homonym": 6}
    assert counts(found, "made") == dict.fromkeys(ANCESTRAL, 500) | {"swap": 498, "homonym": 494}
    assert counts(found, "osa_max") == dict(zip(ANCESTRAL, (2, 2, 2, 2, 4, 7, 13, 2, 8), strict=True))
    osa = {k: round(v, 3) for k, v in counts(found, "osa").items()}
    assert osa == dict(zip(ANCESTRAL, (1.004, 1.03, 1.004, 1.014, 2.21, 3.324, 5.362, 1.004, 2.286), strict=True))
    assert counts(found, "spaces")["punctuation"] == 129
    assert len({pair.group for pair in found.pairs}) == 70
    assert {pair.answer for pair in found.pairs} - {str(n) for n in range(145)} == set()
    for pair in found.pairs:
        assert pair.perturbed.rpartition(":")[2] == pair.clean.rpartition(":")[2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "a list of objects|JSON list of objects"),
        ([{"element_index": 1, "main": "x"}], "its clean text is"),
        ([row(instruction="y")], "exactly one of 'normal' and 'instruction'"),
        ([row(normal=3)], "its clean text is"),
        ([row(main=3)], "'main' is 3. It must be a text"),
        ([{key: value for key, value in row().items() if key != "main"}], "there is no field 'main'"),
        ([row(), {"element_index": 2}], "entry 2: its clean text"),
    ],
)
def test_a_missing_key_is_an_error_and_never_no_rows(tmp_path, content, said):
    with pytest.raises(StimulusError, match=said):
        pairs("typos", path=str(written(tmp_path, content)))


def test_kinds_that_are_asked_for(tmp_path):
    path = written(tmp_path, [{"normal": "a word", "swap": "a wrod"}] * 3)
    found = pairs(path, kinds=["swap"], n=2)
    assert [pair.id for pair in found.pairs] == ["1/swap", "2/swap"]
    with pytest.raises(StimulusError, match=r"no variant of swap that differs"):
        pairs(written(tmp_path, [{"normal": "a word", "swap": "a word"}]), kinds=["swap"])


# ---- other files


def test_a_table_of_pairs(tmp_path):
    path = written(
        tmp_path,
        "clean,perturbed,kind,group,answer\na word,a wrod,typo,g,7\nb c,b c,typo,g,\nx y,x  y,gap,h,8\n".replace(
            "g,\n", "g,0\n"
        ),
        "p.csv",
    )
    found = pairs(path)
    assert [(p.id, p.kind, p.group, p.answer) for p in found.pairs] == [("1", "typo", "g", "7"), ("3", "gap", "h", "8")]
    assert counts(found, "identical") == {"typo": 1, "gap": 0}
    plain = written(tmp_path, "clean\tperturbed\na word\ta wrod\n", "mine.tsv")
    assert pairs(plain).pairs[0].kind == "mine"
    assert pairs(plain, kind="swap").pairs[0].kind == "swap"
    with pytest.raises(StimulusError, match="has a column 'kind'"):
        pairs(path, kind="x")
    with pytest.raises(StimulusError, match="no row whose two texts differ"):
        pairs(written(tmp_path, "clean,perturbed\na,a\n", "s.csv"))


QUORA = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"


def test_paraphrases_of_label_1_with_either_side_clean(tmp_path):
    path = written(
        tmp_path,
        f"{QUORA}7\t1\t2\tHow old am I?\tWhat is my age?\t1\n8\t3\t4\tx\ty\t0\n9\t2\t5\tWhat is my age?\tMy age?\t1\n",
        "q.tsv",
    )
    found = pairs(path)
    assert [(p.id, p.clean, p.perturbed) for p in found.pairs] == [
        ("7", "How old am I?", "What is my age?"),
        ("9", "What is my age?", "My age?"),
    ]
    assert len({p.group for p in found.pairs}) == 1  # they share a text
    assert [p.clean for p in pairs(path, clean="second").pairs] == ["What is my age?", "My age?"]
    both = pairs("paraphrases", path=path, clean="both", n=1).pairs
    assert [(p.id, p.clean) for p in both] == [("7/1", "How old am I?"), ("7/2", "What is my age?")]


def test_paws_in_parquet_and_what_is_no_paraphrase_set(tmp_path):
    rows = [{"id": i, "sentence1": f"a {i} b", "sentence2": f"b {i} a", "label": i % 2} for i in range(4)]
    pl.DataFrame(rows).write_parquet(tmp_path / "paws.parquet")
    found = pairs(tmp_path / "paws.parquet")
    assert [p.id for p in found.pairs] == ["1", "3"]
    assert found.pairs[0].group != found.pairs[1].group
    with pytest.raises(StimulusError, match="Labels are 1"):
        pairs(written(tmp_path, f"{QUORA}7\t1\t2\ta\tb\tyes\n", "q.tsv"))
    with pytest.raises(StimulusError, match="Paraphrase sets have 'question1'"):
        pairs("paraphrases", path=written(tmp_path, "a,b\n1,2\n", "a.csv"))


def test_any_column(tmp_path):
    path = written(
        tmp_path, "id,question,reply,group\np,Where is the basket now?,basket,g\nq,Who has 4 keys?,Anna,h\n", "d.csv"
    )
    found = pairs("column", path=path, column="question", answer="reply", kinds=["delete", "swap"], seed=3)
    assert [(p.id, p.answer, p.group) for p in found.pairs[::2]] == [
        ("p/delete", "basket", "g"),
        ("q/delete", "Anna", "h"),
    ]
    assert all("basket" in p.perturbed for p in found.pairs[:2])
    with pytest.raises(StimulusError, match="no column 'prompt'"):
        pairs("column", path=path, column="prompt", kinds=["delete"])


def test_names_options_and_places(tmp_path):
    with pytest.raises(UnknownName, match=r"Pair reader 'tpyos' is not known. Did you mean 'typos'"):
        pairs("tpyos")
    with pytest.raises(StimulusError, match="Give its place with the option 'path'"):
        pairs("typos")
    with pytest.raises(StimulusError, match="is a folder"):
        pairs(tmp_path)
    with pytest.raises(StimulusError, match="There is no file"):
        pairs(tmp_path / "gone.csv")
    with pytest.raises(UnknownName, match="option 'kidns' is not known"):
        pairs(written(tmp_path, [row()]), kidns=["swap"])
    with pytest.raises(StimulusError, match="Option 'n'"):
        pairs(written(tmp_path, [row()]), n=0)


values = st.one_of(st.text(max_size=6), st.none(), st.integers(), st.sampled_from(["a word", "0", "1", " "]))
columns = st.sampled_from(
    [
        "normal",
        "instruction",
        "main",
        "swap",
        "homo,nym",
        "clean",
        "perturbed",
        "question1",
        "question2",
        "is_duplicate",
        "id",
    ]
)


@given(
    rows=st.lists(st.dictionaries(columns, values, max_size=6), max_size=4), suffix=st.sampled_from([".json", ".csv"])
)
@settings(max_examples=60)
def test_any_file_gives_pairs_or_an_error_of_ours(tmp_path_factory, rows, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    if suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([list(rows[0]) if rows else [], *(map(str, one.values()) for one in rows)])
    with suppress(BrocaError):
        found = pairs(path)
        assert all(isinstance(pair, Pair) and pair.fingerprint for pair in found.pairs)


# ---- the type itself


def test_a_pair_and_what_it_refuses():
    made = Pair("p", "a word", "a wrod", (Edit(3, 5, "or", "ro"),), "swap")
    assert made.fingerprint == replace(made).fingerprint != replace(made, kind="main").fingerprint
    for changes, said in (
        ({"perturbed": "a word", "edits": ()}, "is identical to the clean text"),
        ({"clean": " "}, "has an empty text"),
        ({"edits": (Edit(3, 4, "o", "x"),)}, "its edits lead to 'a wxrd'"),
        ({"edits": (Edit(3, 5, "xx", "ro"),)}, "does not fit"),
        ({"edits": (Edit(3, 5, "or", "ro"), Edit(4, 5, "r", "x"))}, "none over another"),
        ({"edits": (Edit(5, 9, "d", "x"),)}, "does not fit"),
        ({"edits": (Edit(3, 5, "or", "or"),)}, "leaves 'or' at character 3 as it is"),
    ):
        with pytest.raises(StimulusError, match=said):
            replace(made, **changes)
    assert apply_edits("ab", [Edit(0, 0, "", "x"), Edit(0, 1, "a", ""), Edit(2, 2, "", "y")]) == "xby"


def test_columns_and_labels_of_another_spelling(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Clean,Perturbed\nthe cat sat,teh cat sat\n")
    with pytest.raises(StimulusError, match=r"Did you mean 'Clean' to be 'clean' and 'Perturbed' to be 'perturbed'"):
        pairs(path)
    path.write_text("question1,question2,is_duplicate\nhow old?,what age?,1.0\nhow old?,where?,0.0\n")
    assert [pair.perturbed for pair in pairs(path).pairs] == ["what age?"]
