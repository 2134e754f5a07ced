from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from broca.errors import RunError, UnknownName
from broca.runs.execution import run
from broca.runs.opening import open_run
from broca.sites import Site
from runs.toy import Toy, ToyLM, ToyResult


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return run(Toy(), ToyLM(), tmp_path_factory.mktemp("opened") / "toy").path


@pytest.fixture
def copy(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "toy")


def test_everything_is_there(made):
    plain, done = Toy().run(ToyLM()), open_run(made)
    assert done.spec["study"] == Toy().model_dump(mode="json", exclude_none=True)
    assert done.spec["model"] == {"name": "tiny", "revision": "abc123", "dtype": "float32"}
    assert Toy.model_validate(done.spec["study"]) == Toy()
    assert done.result["estimate"] == {**plain.estimate, "low": None}
    assert done.verdict["sentence"] == "Not selective."
    assert set(done.tables) == {"items", "layers"}
    assert done.tables["items"].equals(plain.items)
    assert done.tables.get("nothing") is None
    assert "nothing" not in done.tables
    assert {*done.tensors} == {f"{f}/{i}.z" for f in ("t", "selected") for i in range(1, 12, 2)} | {"nulls/max"}
    assert done.at("t").keys() == plain.t.keys()
    np.testing.assert_array_equal(done.at("t")[Site(3, "z")], plain.t[Site(3, "z")])
    assert done.units() == plain.selected
    assert done.restore(ToyResult).layers.equals(plain.layers)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda r: r.tables["itemz"], "Did you mean 'items'"),
        (lambda r: r.at("tt"), "Known: selected, t"),
        (lambda r: r.units("t"), "mask 't' is not known"),
    ],
)
def test_a_wrong_name_comes_with_near_ones(made, ask, said):
    with pytest.raises(UnknownName, match=said):
        ask(open_run(made))


def test_it_shows_itself_short_and_escaped(made):
    done = open_run(made)
    assert repr(done) == f"Run({str(made)!r}: Not selective.)"
    page = done._repr_html_()
    assert "Units of &lt;i&gt;belief&lt;/i&gt; carry belief" in page
    assert "p &gt; 0.05 &amp; &lt;more&gt;" in page
    assert "<i>" not in page


FILES = ["result.json", "tensors.safetensors", "tables/items.parquet", "spec.toml"]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_shortened_file_is_found_on_opening(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1])
    with pytest.raises(RunError, match=f"{name} is corrupt: it has {len(content) - 1} bytes instead of {len(content)}"):
        open_run(copy)
    with pytest.raises(RunError, match="is corrupt"):  # running it again does not believe it either
        run(Toy(), ToyLM(), copy)
    (copy / name).unlink()
    with pytest.raises(RunError, match=f"{name} is missing"):
        open_run(copy)


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("result.json", lambda r: r.result),
        ("tensors.safetensors", lambda r: r.tensors),
        ("tables/items.parquet", lambda r: r.tables["items"]),
    ],
)
def test_a_flipped_bit_is_found_on_reading(copy, name, ask):
    content = bytearray((copy / name).read_bytes())
    content[-20] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(RunError, match=f"{name} is corrupt: its content is not what was written. Delete"):
        ask(open_run(copy))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"status": "fin', "manifest.json is corrupt"),
        ('{"status": "partial"}', "manifest.json is corrupt: kind"),
        ('{"status": "finished"}', "manifest.json is corrupt: kind"),
        ('{"schema": "2"}', "its schema is '2'"),
        ("[" * 100_000, "manifest.json is corrupt"),
        ('{"status": "finished", "schema": 99, "broca": "9.0"}', r"later broca \(9.0\). Upgrade"),
    ],
)
def test_a_manifest_that_cannot_be_trusted(copy, content, said):
    (copy / "manifest.json").write_text(content)
    with pytest.raises(RunError, match=said):
        open_run(copy)


def test_no_run_at_all(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        open_run(tmp_path / "a")
    with pytest.raises(RunError, match=r"is not a run: it has no manifest.json"):
        open_run(tmp_path)


def test_a_log_is_a_log(copy, caplog):
    whole = open_run(copy).log
    with (copy / "log.jsonl").open("ab") as log:
        log.write(
            b'{]\n[1]\n{"time": "noon", "event": "x"}\n{"time": "2026-01-01", "event": "x"}\n\xff\n' + b"[" * 10**5
        )
    assert open_run(copy).log == whole
    assert "6 lines are no events" in caplog.text
    (copy / "log.jsonl").unlink()
    assert open_run(copy).log == []


@pytest.mark.parametrize("of", ["seconds", "hash", "kind", "warnings", "seal", "schema"])
def test_a_changed_manifest_does_not_match_its_seal(copy, of):
    place = copy / "manifest.json"
    told = json.loads(place.read_text())
    told[of] = {"seconds": 1.0, "warnings": [], "schema": 1}.get(of, "changed")
    place.write_text(json.dumps(told))
    with pytest.raises(RunError, match=r"manifest.json is corrupt: it does not match its own checksum"):
        open_run(copy)
    assert "own checksum" in open_run(copy, unverified=True).doubts["manifest.json"]


def test_a_manifest_that_another_version_is_said_to_have_sealed_names_it(copy):
    place = copy / "manifest.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"broca": "0.0.1"}))
    with pytest.raises(RunError, match=r"own checksum \(it says that broca '0\.0\.1' wrote it, and this is"):
        open_run(copy)


def test_a_manifest_without_a_seal_opens_with_a_word(copy, caplog):
    place = copy / "manifest.json"
    told = json.loads(place.read_text()) | {"schema": 1}
    del told["seal"]
    place.write_text(json.dumps(told))
    assert open_run(copy).verdict["sentence"] == "Not selective."
    assert "was made before manifests had a checksum" in caplog.text


def test_a_changed_spec_is_found_on_reading(copy):
    spec = copy / "spec.toml"
    spec.write_text(spec.read_text().replace("n_cells = 12", "n_cells = 90"))
    with pytest.raises(RunError, match=r"spec.toml is corrupt"):
        _ = open_run(copy).spec


def test_what_is_unverified_is_given_out_on_demand_and_named(copy):
    content = (copy / "result.json").read_text().replace("Not selective", "All selective")
    (copy / "result.json").write_text(content)
    done = open_run(copy, unverified=True)
    assert not done.doubts
    assert done.verdict["sentence"] == "All selective."
    assert list(done.doubts) == ["result.json"]


@pytest.mark.parametrize("name", ["result.json", "tables", "manifest.json"])
def test_links_in_a_run_are_refused(copy, tmp_path, name):
    (copy / name).rename(tmp_path / "elsewhere")
    (copy / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=f"{name} is a link"):
        open_run(copy)


def test_a_run_may_be_moved(copy, tmp_path):
    moved = copy.rename(tmp_path / "elsewhere")
    assert open_run(moved).tables["items"].height == 30


def test_the_manifest_lists_what_was_written(made):
    manifest = json.loads((made / "manifest.json").read_text())
    assert sorted(manifest["files"]) == sorted([*FILES, "tables/layers.parquet"])
