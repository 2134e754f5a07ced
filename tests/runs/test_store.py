from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes
from pydantic import BaseModel

from broca.errors import RunError
from broca.runs import store
from broca.sites import KINDS, Site
from broca.units import UnitMask

sites = st.builds(Site, st.integers(0, 40), st.sampled_from(KINDS))
arrays = hnp.arrays(
    st.sampled_from(["float32", "float64", ">f8", "float16", "int8", "int64", "uint8", "bool"]),
    hnp.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4),
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
masks = st.builds(
    UnitMask, st.dictionaries(sites, hnp.arrays("bool", st.integers(1, 6)), min_size=1, max_size=4), st.just("unit")
)
words = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
tables = dataframes(
    max_cols=4,
    max_size=6,
    allowed_dtypes=[pl.Int64, pl.Float64, pl.String, pl.Boolean, pl.UInt8, pl.List(pl.Float64), pl.Date],
)


class Estimate(BaseModel):
    value: float
    low: float | None = None


@dataclass(frozen=True)
class Inner:
    n: int
    ratio: float


@dataclass(frozen=True)
class Result:
    items: pl.DataFrame
    t: Mapping[Site, np.ndarray]
    named: Mapping[str, np.ndarray] | None
    selected: UnitMask | None
    words: object
    inner: Inner
    estimate: Estimate
    pairs: tuple[tuple[str, int], ...] = ()


results = st.builds(
    Result,
    items=tables,
    t=st.dictionaries(sites, arrays, max_size=3),
    named=st.none() | st.dictionaries(names, arrays, max_size=3),
    selected=st.none() | masks,
    words=words,
    inner=st.builds(Inner, st.integers(), st.floats()),
    estimate=st.builds(Estimate, value=st.floats(), low=st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    pairs=st.lists(st.tuples(st.text(max_size=3), st.integers()), max_size=2).map(tuple),
)


def same_number(a, b):
    return a == b or (math.isnan(b) and not math.isfinite(a))


@given(results)
def test_a_result_comes_back(result):
    content = store.result_to_bytes(result)
    assert store.result_to_bytes(result) == content
    again = store.restore(content, Result, Path("somewhere"))
    assert_frame_equal(again.items, result.items)
    for before, after in ((result.t, again.t), (result.named, again.named)):
        assert (before is None) == (after is None)
        for key, array in (before or {}).items():
            assert after[key].dtype == array.dtype.newbyteorder("=")
            np.testing.assert_array_equal(after[key], array)
        assert list(before or {}) == list(after or {})
    assert again.selected == result.selected
    assert again.words == result.words
    assert again.pairs == result.pairs
    assert again.inner.n == result.inner.n
    assert same_number(result.inner.ratio, again.inner.ratio)
    assert same_number(result.estimate.value, again.estimate.value)
    assert again.estimate.low == result.estimate.low


@dataclass(frozen=True)
class Arrays:
    t: Mapping[Site, np.ndarray]


@given(hnp.arrays("float64", (3, 4)))
def test_a_transposed_array_is_stored_as_it_is_seen(array):
    content = store.result_to_bytes(Arrays({Site(0, "z"): array.T}))
    np.testing.assert_array_equal(store.restore(content, Arrays, Path()).t[Site(0, "z")], array.T)


@dataclass(frozen=True)
class Table:
    items: pl.DataFrame


def test_a_table_in_pieces_has_the_bytes_of_the_whole():
    whole = pl.DataFrame({"a": np.arange(150_000) % 7, "b": [f"x{i % 50}" for i in range(150_000)]})
    pieces = pl.concat([whole[:1000], whole[1000:]], rechunk=False)
    assert pieces.n_chunks() == 2
    assert store.result_to_bytes(Table(pieces)) == store.result_to_bytes(Table(whole))


class Colour(enum.Enum):
    RED = "red"


def test_what_is_not_json_becomes_json():
    value = {
        "nan": math.nan,
        "inf": [np.float32("inf"), -math.inf],
        "numpy": [np.int64(3), np.float64(0.5), np.bool_(True), np.str_("s")],
        "array": np.array([[1.0, np.nan]]),
        "tuple": (1, (2,)),
        "set": {"b", "a"},
        "site": Site(3, "z"),
        Site(1, "mlp_out"): 0.5,
        "enum": Colour.RED,
        "date": date(2026, 1, 2),
        "path": Path("a/b"),
        "mask": UnitMask.of({"0.z": [1]}, n=2),
        "surrogate": "\udc80 é",
    }
    content = store.result_to_bytes(make_dataclass("R", [("value", object)])(value))["result.json"]
    assert json.loads(content)["value"] == {
        "nan": None,
        "inf": [None, None],
        "numpy": [3, 0.5, True, "s"],
        "array": [[1.0, None]],
        "tuple": [1, [2]],
        "set": ["a", "b"],
        "site": "3.z",
        "1.mlp_out": 0.5,
        "enum": "red",
        "date": "2026-01-02",
        "path": "a/b",
        "mask": {"grain": "unit", "at": {"0.z": {"n": 2, "units": [1]}}},
        "surrogate": "\udc80 é",
    }
    assert b"NaN" not in content


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "R.value is a object"),
        ({"a": [1, {"b": pl.DataFrame()}]}, r"R.value.a\[1\].b is a DataFrame.*a field of the result itself"),
        ({1: "a", "1": "b"}, "key '1'"),
        ({(1, 2): "a"}, r"key \(1, 2\)"),
        ({"a": np.array(["words"])}, "'value/a'.*cannot be stored as safetensors"),
        ({"a": np.array([1j])}, "complex128"),
        ({"a": np.array([object()])}, "object"),
        (pl.DataFrame({"a": [object()]}), "cannot be stored as parquet"),
    ],
)
def test_what_cannot_be_stored_is_named(value, said):
    with pytest.raises(RunError, match=said):
        store.result_to_bytes(make_dataclass("R", [("value", object)])(value))


def test_a_result_must_be_a_dataclass():
    with pytest.raises(RunError, match="must be a dataclass, and this is a dict"):
        store.result_to_bytes({"a": 1})


def test_a_mask_is_kept_as_bytes_under_its_field():
    mask = UnitMask.of({"3.z": [0, 2], "1.z": []}, n=4, grain="head")
    content = store.result_to_bytes(make_dataclass("R", [("selected", UnitMask)])(mask))
    tensors, shapes = store.parse_tensors(content["tensors.safetensors"], Path())
    assert {k: v.tolist() for k, v in tensors.items()} == {"selected/1.z": [0] * 4, "selected/3.z": [1, 0, 1, 0]}
    assert tensors["selected/3.z"].dtype == np.uint8
    assert shapes == {"selected": {"mask": "head"}}


@dataclass(frozen=True)
class Full:
    items: pl.DataFrame = field(default_factory=lambda: pl.DataFrame({"a": [1.0, 2.0] * 500}))
    t: Mapping[Site, np.ndarray] = field(default_factory=lambda: {Site(0, "z"): np.arange(50.0)})
    claim: str = "c"


def test_what_was_saved_is_on_the_disk(tmp_path):
    content = store.save_result(Full(), tmp_path)
    assert content == store.result_to_bytes(Full())
    assert {name: (tmp_path / name).read_bytes() for name in content} == content


@pytest.mark.parametrize("name", ["result.json", "tensors.safetensors", "tables/items.parquet"])
@given(keep=st.floats(0, 0.999))
def test_a_file_cut_short_is_an_error_with_its_name(name, keep):
    content = store.result_to_bytes(Full())
    whole = content[name].rstrip()
    content[name] = whole[: int(len(whole) * keep)]
    with pytest.raises(RunError, match=rf"here/{name} is corrupt: .*Delete the run"):
        store.restore(content, Full, Path("here"))


def test_another_class_is_refused():
    with pytest.raises(RunError, match="holds no items, so it is not the result of a study that makes Full"):
        store.restore(store.result_to_bytes(Arrays({})), Full, Path("here"))


@pytest.mark.parametrize("name", ["result.json", "tensors.safetensors"])
def test_missing_files_are_named(name):
    content = store.result_to_bytes(Full())
    del content[name]
    with pytest.raises(RunError, match=f"{name} is corrupt: the manifest does not list it"):
        store.restore(content, Full, Path("here"))


@pytest.mark.parametrize("text", [b"[1]", b"[" * 10**5, b"\xff", b""])
def test_what_is_no_object_is_an_error(text):
    with pytest.raises(RunError, match=r"result.json is corrupt"):
        store.parse_json(text, Path("result.json"))
