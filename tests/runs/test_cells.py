from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import RunError
from broca.runs.cells import Cells

TABLE = pl.DataFrame({"id": ["a", "b"], "logprobs": [[1.0, float("nan")], []]})
ARRAYS = {"z": np.arange(6.0).reshape(2, 3).T, "a": np.array(3, np.int8), "": np.zeros((0, 2))}


def never():
    raise AssertionError("computed again")


@pytest.mark.parametrize("part", [TABLE, ARRAYS, {}, pl.DataFrame()], ids=["table", "arrays", "none", "empty"])
def test_a_cell_is_computed_once_and_comes_back_as_it_was(tmp_path, part):
    first = Cells(tmp_path)({"item": 1}, lambda: part)
    again = Cells(tmp_path)({"item": 1}, never)
    for got in (first, again):
        if isinstance(part, pl.DataFrame):
            assert got.equals(part)
        else:
            assert list(got) == list(part)
            for name, array in part.items():
                np.testing.assert_array_equal(got[name], array)
                assert got[name].dtype == array.dtype
    assert len(Cells(tmp_path)) == 1


def test_the_order_of_a_key_means_nothing_and_its_content_everything(tmp_path):
    cells = Cells(tmp_path)
    cells({"a": 1, "b": [1, 2.5, None, "é"]}, lambda: TABLE)
    cells({"b": [1, 2.5, None, "é"], "a": 1}, never)
    for other in ({"a": 1}, {"a": "1", "b": [1, 2.5, None, "é"]}, {"a": True, "b": [1, 2.5, None, "é"]}):
        assert cells(other, lambda: pl.DataFrame({"other": [1]})).columns == ["other"]
    assert len(cells) == 4


def test_what_is_computed_is_handed_out_as_it_is_read(tmp_path):
    given_out = Cells(tmp_path)({"k": 0}, lambda: ARRAYS)
    assert given_out["z"].flags.c_contiguous
    given_out["z"][:] = 7  # a study may do as it likes with its copy
    assert Cells(tmp_path)({"k": 0}, never)["z"][0, 0] == 0


@pytest.mark.parametrize("part", [TABLE, ARRAYS], ids=["table", "arrays"])
@given(at=st.floats(0, 0.9999), how=st.sampled_from(["flip", "cut", "zero", "empty"]))
def test_a_corrupt_cell_is_discarded_computed_again_and_told(tmp_path_factory, part, at, how):
    folder, told = tmp_path_factory.mktemp("cells"), []
    Cells(folder)({"k": 1}, lambda: part)
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    place = int(at * len(content))
    if how == "flip":
        content[place] ^= 0x10
    elif how == "zero":
        content[place:] = bytes(len(content) - place + 1)
    else:
        del content[place if how == "cut" else 0 :]
    file.write_bytes(content)
    again = Cells(folder, note=lambda event, **f: told.append((event, f["state"])))({"k": 1}, lambda: part)
    assert type(again) is type(part)
    assert told == [("cell", "discarded"), ("cell", "computed")]
    Cells(folder)({"k": 1}, never)
    assert len(list(folder.iterdir())) == 1


def test_a_cell_of_another_key_under_this_name_is_not_believed(tmp_path):
    Cells(tmp_path / "a")({"k": 1}, lambda: TABLE)
    Cells(tmp_path / "b")({"k": 2}, lambda: pl.DataFrame({"wrong": [1]}))
    (mine,), (other,) = (list((tmp_path / f).iterdir()) for f in "ab")
    other.rename(mine.with_name(f"{mine.name.partition('-')[0]}-{other.name.partition('-')[2]}"))
    mine.unlink()
    assert Cells(tmp_path / "a")({"k": 1}, lambda: TABLE).equals(TABLE)


def test_half_written_files_are_swept_away(tmp_path):
    (tmp_path / ".tmp-123-0123456789ab").write_bytes(b"PAR1")
    assert len(Cells(tmp_path)) == 0
    assert not list(tmp_path.iterdir())


def test_a_failing_computation_leaves_nothing(tmp_path):
    cells = Cells(tmp_path)
    with pytest.raises(ZeroDivisionError):
        cells({"k": 1}, lambda: 1 // 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "part", "said"),
    [
        ({"k": object()}, TABLE, "key must be JSON"),
        ({"k": 1}, [1, 2], "a table or a mapping of names to arrays"),
        ({"k": 1}, {"a": [1, 2]}, "a table or a mapping of names to arrays"),
        ({"k": 1}, {"a": np.array(["words"])}, r"Cell \{'k': 1\} cannot be kept.*'a'"),
        ({"k": 1}, pl.DataFrame({"a": [object()]}), "parquet"),
    ],
)
def test_what_cannot_be_a_cell_is_refused(tmp_path, key, part, said):
    with pytest.raises(RunError, match=said):
        Cells(tmp_path)(key, lambda: part)
    assert not list(tmp_path.iterdir())


def test_a_file_says_which_cell_it_is(tmp_path):
    Cells(tmp_path)({"k": "é"}, lambda: TABLE)
    (file,) = tmp_path.iterdir()
    assert json.loads(json.loads(pl.read_parquet_metadata(file)["broca"])) == {"k": "é"}
