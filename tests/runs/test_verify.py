"""What `broca verify` says of runs, captures, stores of answers and masks."""

from __future__ import annotations

import sqlite3
import time
from types import SimpleNamespace

import numpy as np
import pytest

from broca.errors import RunError
from broca.runs.execution import run
from broca.runs.index import INDEX
from broca.runs.listing import list_runs
from broca.runs.verify import verify
from broca.scoring.answer_store import AnswerStore
from broca.sites import Site
from broca.units import UnitMask
from reports.synthetic import localize_run
from runs.toy import Toy, ToyLM


def wrong(path) -> list[str]:
    return [text for found in verify(path) for text in found.wrong]


def test_a_whole_run_and_each_damage_of_one(tmp_path):
    path = run(Toy(), ToyLM(), tmp_path / "a").path
    [found] = verify(tmp_path)
    assert (found.path, found.kind, found.files, found.wrong) == (path, "run", 6, ())
    (path / "result.json").write_bytes((path / "result.json").read_bytes().replace(b"Not", b"All"))
    (path / "tables" / "items.parquet").unlink()
    (path / "tables" / "other.parquet").write_bytes(b"")
    said = wrong(path)
    assert len(said) == 3
    for text in ("result.json is corrupt", "items.parquet is missing", "other.parquet is no file of this run"):
        assert any(text in each for each in said)


def test_a_store_of_answers(tmp_path):
    place = tmp_path / "answers.db"
    AnswerStore(place)([], [SimpleNamespace(args=(i,)) for i in range(3)], lambda some: [each.args[0] for each in some])
    assert not wrong(place)
    with sqlite3.connect(place) as store:
        store.execute("UPDATE kept SET value = '7' WHERE value = '1'")
    store.close()
    assert "1 answers are not what was written" in wrong(place)[0]


def test_a_mask(tmp_path):
    place = UnitMask({Site(0, "z"): np.array([True, False])}, grain="head").save(tmp_path / "m.safetensors")
    assert not wrong(place)
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    assert "m.safetensors is damaged" in wrong(place)[0]


def test_what_is_none_of_these(tmp_path):
    for place in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(RunError, match="Give a run, a folder of runs"):
            wrong(place)


def listed_in(folder) -> float:
    began = time.perf_counter()
    list_runs(folder)
    return time.perf_counter() - began


def test_a_listing_is_kept_and_looked_at_again_where_files_changed(tmp_path):
    for i in range(40):
        localize_run(tmp_path / f"r{i:02}", n_layers=2, width=4, seed=i)
    first = listed_in(tmp_path)
    assert (tmp_path / INDEX).exists()
    assert min(listed_in(tmp_path) for _ in range(3)) < first / 3
    before = list_runs(tmp_path)
    result = tmp_path / "r07" / "result.json"
    result.write_bytes(result.read_bytes().replace(b"No:", b"Yes:"))
    after = list_runs(tmp_path)
    assert after.filter(name="r07")["status"].to_list() == ["broken"]
    assert after.filter(name="r08").equals(before.filter(name="r08"))
    (tmp_path / INDEX).write_bytes((tmp_path / INDEX).read_bytes().replace(b"12.5", b"99.5"))
    assert list_runs(tmp_path).equals(after)
