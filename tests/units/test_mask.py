"""Masks: how they are made, combined, compared, kept."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pydantic
import pytest

from broca.errors import BrocaError, RunError, SelectionError, SiteUnavailable
from broca.sites import Site
from broca.units import Select, UnitMask

POST0, POST1, Z3 = Site(0, "resid_post"), Site(1, "resid_post"), Site(3, "z")


def mask(*units, site=POST0, n=6):
    return UnitMask.of({site: units}, n=n)


def test_a_mask_knows_its_size():
    chosen = UnitMask.of({"1.resid_post": [4], "0.resid_post": [0, 2]}, n={"0.resid_post": 3, POST1: 5})
    assert (chosen.count, chosen.total, chosen.sites) == (3, 8, (POST0, POST1))
    assert repr(chosen) == "UnitMask(3 of 8 units in 2 sites)"
    np.testing.assert_array_equal(chosen.at[POST0], [True, False, True])


def test_heads_are_written_layer_and_head():
    heads = UnitMask.heads("3.0, 1.2,3.2", n_heads=4)
    assert heads == UnitMask.of({"1.z": [2], "3.z": [2, 0]}, n=4, grain="head")
    assert repr(heads) == "UnitMask(3 of 8 heads in 2 sites)"


def test_a_mask_does_not_change():
    flags = np.zeros(4, bool)
    chosen = UnitMask({POST0: flags})
    flags[0] = True
    assert chosen.count == 0
    with pytest.raises(ValueError, match="read-only"):
        chosen.at[POST0][1] = True


def test_masks_combine():
    a, b = mask(0, 1, 2), mask(2, 3)
    assert a & b == mask(2)
    assert a | b == mask(0, 1, 2, 3)
    assert a - b == mask(0, 1)
    assert ~a == mask(3, 4, 5)


def test_a_site_that_one_lacks_is_empty_there():
    a, b = mask(0, 1), mask(5, site=POST1)
    assert (a | b).count == 3
    assert (a & b).count == 0
    assert (a - b).count == 2
    assert (a & b).sites == (POST0, POST1)


def test_overlap_beside_chance():
    overlap = mask(0, 1, 2, n=12).overlap(mask(1, 2, 3, 4, n=12))
    assert overlap.shared == 2
    assert overlap.dice == pytest.approx(4 / 7)
    assert overlap.jaccard == pytest.approx(2 / 5)
    assert overlap.chance_dice == pytest.approx(2 / 7)
    assert overlap.chance_jaccard == pytest.approx(1 / 6)
    assert np.isnan(mask().overlap(mask()).dice)


def test_chance_is_the_one_of_the_statistics_room():
    from broca.stats.reliability import chance_overlap

    overlap, chance = mask(0, 1, 2).overlap(mask(1, 2, 3, 4)), chance_overlap(3, 4, 6)
    assert (overlap.chance_dice, overlap.chance_jaccard) == (chance.dice, chance.jaccard)


def test_by_layer():
    frame = UnitMask.of({POST1: [], POST0: [1, 2]}, n=8).by_layer()
    assert frame.to_dicts() == [
        {"layer": 0, "kind": "resid_post", "n_units": 8, "n_selected": 2, "percent": 25.0},
        {"layer": 1, "kind": "resid_post", "n_units": 8, "n_selected": 0, "percent": 0.0},
    ]


def test_the_fingerprint_is_of_the_content():
    prints = {
        mask(0).fingerprint,
        mask(1).fingerprint,
        mask(0, n=7).fingerprint,
        mask(0, site=POST1).fingerprint,
        UnitMask.of({Z3: [0]}, n=6).fingerprint,
        UnitMask.of({Z3: [0]}, n=6, grain="head").fingerprint,
        UnitMask.of({POST0: [0], POST1: []}, n=6).fingerprint,
    }
    assert len(prints) == 7
    assert mask(0).fingerprint == "7d3865d0a4dbfda3", "runs on disk name masks by this"
    assert hash(mask(2, 1)) == hash(mask(1, 2))


def test_equality_is_of_content():
    assert mask(1) == mask(1)
    assert mask(1) != mask(2)
    assert mask(1) != "mask"
    assert UnitMask.of({Z3: [0]}, n=6) != UnitMask.of({Z3: [0]}, n=6, grain="head")


def test_copies_are_equal():
    assert copy.deepcopy(mask(1)) == mask(1)
    assert pickle.loads(pickle.dumps(mask(1))) == mask(1)  # how Ray carries it; nothing on disk is a pickle


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: UnitMask({}), "no site is given"),
        (lambda: UnitMask({POST0: np.zeros((2, 2), bool)}), r"shape \(2, 2\)"),
        (lambda: UnitMask({POST0: np.zeros(0, bool)}), r"shape \(0,\)"),
        (lambda: UnitMask({POST0: np.zeros(3)}), "are float64"),
        (lambda: UnitMask({POST0: np.zeros(3, bool)}, "head"), "Heads are slices of z"),
        (lambda: UnitMask({Z3: np.zeros(3, bool)}, "heads"), "'unit', 'head' or 'group'"),
        (lambda: mask(6), "6 is not a unit of 0.resid_post. Its units are 0 to 5"),
        (lambda: mask(-1), "-1 is not a unit"),
        (lambda: mask(1.0), "1.0 is not a unit"),
        (lambda: mask(True), "True is not a unit"),
        (lambda: mask(1, 1), "named twice"),
        (lambda: mask(1, n=0), "cannot have 0 units"),
        (lambda: UnitMask.of({POST0: [1]}, n={POST1: 4}), "n does not say"),
        (lambda: UnitMask.heads("1.2 3.4", n_heads=8), "LAYER.HEAD"),
        (lambda: UnitMask.heads("1.8", n_heads=8), "0 to 7"),
        (lambda: mask(1) & mask(1, n=7), "6 units in one mask and 7 in the other"),
        (lambda: UnitMask.of({Z3: [1]}, n=6) | UnitMask.heads("3.1", n_heads=6), "masks of one grain"),
    ],
)
def test_what_is_no_mask_is_said(call, words):
    with pytest.raises(SelectionError, match=words):
        call()


def test_json_is_compact():
    data = {"grain": "head", "at": {"3.z": {"n": 4, "units": [0, 2]}}}
    assert UnitMask.of({"3.z": [0, 2]}, n=4, grain="head").to_json() == data
    assert UnitMask.from_json(data).to_json() == data


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        "3.z",
        {"grain": "unit", "at": {}},
        {"grain": "unit", "at": {"3.z": [1]}},
        {"grain": "unit", "at": {"3.z": {"n": 4}}},
        {"grain": "unit", "at": {"3.z": {"n": 4, "units": [4]}}},
        {"grain": "unit", "at": {"3.z": {"n": "4", "units": [0]}}},
        {"grain": "unit", "at": {"3.z": {"n": 4, "units": "01"}}},
        {"grain": "neuron", "at": {"3.z": {"n": 4, "units": [0]}}},
        {"grain": "unit", "at": {"3.z": {"n": 4, "units": [0]}}, "seed": 1},
    ],
)
def test_other_json_is_refused(data):
    with pytest.raises(SelectionError):
        UnitMask.from_json(data)


def test_json_with_an_unknown_site():
    with pytest.raises(SiteUnavailable, match=r"LAYER\.KIND"):
        UnitMask.from_json({"grain": "unit", "at": {"z.3": {"n": 4, "units": []}}})


def test_a_file_keeps_a_mask(tmp_path):
    chosen = UnitMask.of({"0.resid_post": [1, 5], "11.resid_post": []}, n=9)
    path = chosen.save(tmp_path / "new" / "belief.safetensors")
    assert UnitMask.load(path) == chosen
    assert list(path.parent.iterdir()) == [path]
    heads = UnitMask.heads("0.1", n_heads=4)
    heads.save(path)
    assert UnitMask.load(path) == heads


def test_the_same_mask_gives_the_same_bytes_in_another_process(tmp_path):
    chosen = UnitMask.of({"0.resid_post": [1, 5], "11.resid_post": []}, n=9)
    chosen.save(tmp_path / "here")
    code = (
        "import sys; from broca.units import UnitMask; assert 'torch' not in sys.modules;"
        "UnitMask.of({'0.resid_post': [1, 5], '11.resid_post': []}, n=9).save(sys.argv[1]);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True)
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = mask(1).save(tmp_path / "mask")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(RunError, match="No space"):
        mask(2).save(path)
    monkeypatch.undo()
    assert UnitMask.load(path) == mask(1)
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_masks(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "mask"
    with pytest.raises(SelectionError, match="There is no mask at"):
        UnitMask.load(path)
    for garbage in (b"", b"not a mask at all", b"\xff" * 64):
        path.write_bytes(garbage)
        with pytest.raises(SelectionError, match="is no whole safetensors file"):
            UnitMask.load(path)
    save_file({"0.resid_post": np.zeros(4, np.uint8)}, path)
    with pytest.raises(SelectionError, match="not a mask that this version"):
        UnitMask.load(path)
    with pytest.raises(BrocaError, match="cannot be read"):
        UnitMask.load(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_files_are_noticed(tmp_path, damage):
    path = mask(1).save(tmp_path / "mask")
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[-1]
    else:
        data[-1] = 1
    path.write_bytes(bytes(data))
    with pytest.raises(SelectionError, match=r"is no whole|is damaged"):
        UnitMask.load(path)


class Spec(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    units: UnitMask | None = None
    selection: Select | UnitMask = Select()


def test_a_mask_is_a_pydantic_field():
    spec = Spec(units=mask(1, 2), selection=UnitMask.heads("0.1", n_heads=2))
    for mode in ("json", "python"):
        assert Spec.model_validate(spec.model_dump(mode=mode)) == spec
    assert Spec.model_validate_json(spec.model_dump_json()) == spec
    assert Spec(selection=Select(count=3, side="both")).model_dump()["selection"]["count"] == 3
    assert Spec.model_json_schema()["properties"]["units"]


def test_pydantic_says_where_a_mask_is_wrong():
    with pytest.raises(pydantic.ValidationError, match=r"(?s)units.*5 is not a unit of 3.z"):
        Spec.model_validate({"units": {"grain": "unit", "at": {"3.z": {"n": 2, "units": [5]}}}})


def test_pydantic_refuses_unknown_keys_of_a_selection():
    with pytest.raises(pydantic.ValidationError, match=r"(?s)sides"):
        Spec.model_validate({"selection": {"sides": "top"}})
    with pytest.raises(SelectionError, match="percent is 200"):
        Spec.model_validate({"selection": {"percent": 200}})
