"""`lesion --from RUN`: what any instrument's finished run selected is lesioned, read from disk, and no instrument is run for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import broca
from broca.errors import RunError, SelectionError, SiteUnavailable, SpecError
from broca.evidence.ledger import group_digests
from broca.instruments import COMMANDS
from broca.instruments.lesion.ledger import other_data, reuse_reason
from broca.instruments.lesion.source import fields_of_run
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.models.lm import LM
from broca.units import UnitMask, WeightSet, fit, read_choice
from broca.units.weights import Address
from parity.test_golden import GOLDEN

CALL = """
import sys
from broca.cli import main
sys.argv = ["broca", *sys.argv[1:]]
main()
kind = sys.argv[sys.argv.index("--from") + 1].rstrip("/").rpartition("/")[2].partition("-")[0]
assert f"broca.instruments.{kind}.run" not in sys.modules, "the instrument was loaded"
"""
FEW = ("--n-items", 24, "--draws", 3, "--gate", "mark", "--fills", "zero")


def lesioned(folder: Path, model: str, name: str, *words: object) -> tuple[broca.Run, str]:
    command = ["lesion", model, "--from", GOLDEN[name], *FEW, *words, "--out", folder]
    done = subprocess.run([sys.executable, "-c", CALL, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("causal-*")
    return broca.open_run(path), " ".join(done.stderr.split())


SELECTING = {
    "routed-weights": ("routed", "weight", ("--items", "beliefs/false-belief")),
    "sums-typos": ("sums", "head", ("--items", "sums")),
    "kth-probe": ("kth", "head", ("--items", "KTH")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SELECTING)
def test_what_a_run_selected_is_lesioned_and_keeps_what_its_map_is_worth(name, tmp_path):
    model, grain, items = SELECTING[name]
    rows = [
        '{"prompt": "3 1 2 :", "choices": ["2", "1"], "answer": 0}',
        '{"prompt": "5 4 6 :", "choices": ["5", "4"], "answer": 0}',
    ]
    (tmp_path / "kth.jsonl").write_text("\n".join(rows))
    items = [str(tmp_path / "kth.jsonl") if word == "KTH" else word for word in items]
    run, said = lesioned(tmp_path / "runs", model, name, *items)
    source = broca.open_run(GOLDEN[name])
    assert "of another model" not in said
    assert run.selection == source.selection
    assert run.result["selection"]["grain"] == grain
    now, then = ({r["name"]: r for r in each.verdict["rungs"]} for each in (run, source))
    for rung in ("selective", "reliable", "learned"):
        if then[rung]["state"] != "not tested":
            assert (now[rung]["state"], now[rung]["numbers"]) == (then[rung]["state"], then[rung]["numbers"])
    items_of = run.tables["items"]
    assert items_of.filter(items_of["condition"] == "random")["seed"].n_unique() == 3
    assert run.spec["study"]["origin"]["hash"] == source.manifest["hash"]
    again = CausalTest.model_validate(run.spec["study"])
    assert again.selection == source.selection
    assert again.origin == fields_of_run(source, {})["origin"]


@pytest.mark.slow
def test_another_model_is_lesioned_too_and_nothing_is_said_of_its_map(tmp_path):
    run, said = lesioned(tmp_path / "runs", "beliefs", "sums-typos", "--items", "beliefs/false-belief")
    assert "is of another model: its selection is lesioned in this one, and what it says of the map is left out" in said
    assert "origin" not in run.spec["study"]
    assert {r["state"] for r in run.verdict["rungs"] if r["name"] in ("selective", "reliable", "learned")} == {
        "not tested"
    }


def test_the_ranking_of_a_localizer_is_taken_with_what_it_selected():
    fields = fields_of_run(broca.open_run(GOLDEN["language-ll"]), {})
    assert fields.keys() == {"localizer", "percent", "sides"}
    assert CausalTest(**fields).every_localizer[0].kind == "localize"
    assert fields_of_run(broca.open_run(GOLDEN["language-ll"]), {"percent": 3, "sides": ["top"]}).keys() == {
        "localizer"
    }


def test_a_run_that_selected_nothing_says_so(monkeypatch):
    run = broca.open_run(GOLDEN["kth-probe"])
    monkeypatch.setitem(COMMANDS, "probe", COMMANDS["selftest"])
    with pytest.raises(RunError, match="--localizer takes one of localize"):
        fields_of_run(run, {}, ranked=True)
    monkeypatch.delitem(COMMANDS, "probe")
    with pytest.raises(RunError, match="is a run of probe, which is not installed"):
        run.selection  # noqa: B018


def test_items_that_chose_the_selection_are_named(tmp_path):
    source = broca.open_run(GOLDEN["routed-weights"])
    spec = CausalTest(
        **fields_of_run(source, {}),
        **{k: source.spec["study"][k] for k in ("options", "n_items") if k in source.spec["study"]},
    )
    data = other_data(spec)[-1]
    assert "The sensitivity run that selected was shown the items of false-belief too" in str(
        reuse_reason(spec, data, "false-belief")
    )
    other = spec.model_copy(update={"items": "beliefs/memory"})
    assert reuse_reason(other, other_data(other)[-1], "memory") is None


def test_items_of_groups_that_chose_are_left_out_and_the_others_decide():
    source = broca.open_run(GOLDEN["routed-weights"])
    own = {k: source.spec["study"][k] for k in ("options", "n_items") if k in source.spec["study"]}
    spec = CausalTest(**fields_of_run(source, {}), **own)
    items = spec.abilities["false-belief"]
    chose = {item.cluster for item in items[:10]}
    result = {**source.result, "ledger": {"choices": [{"groups": group_digests(items[:10])}]}}
    told = SimpleNamespace(manifest=source.manifest, selection=source.selection, verdict=source.verdict, result=result)
    spec = CausalTest(**fields_of_run(told, {}), **own)
    assert CausalTest.model_validate(spec.model_dump(mode="json")).origin == spec.origin
    data = other_data(spec)[-1]
    left = data.abilities["false-belief"]
    assert left == tuple(item for item in items if item.cluster not in chose)
    assert 0 < len(left) <= len(items) - 10
    assert data.dropped >= len(items) - len(left)
    assert f"{data.dropped} items left out" in data.warnings[0]
    assert reuse_reason(spec, data, "false-belief") is None


def test_a_selector_is_an_instrument_that_ranks():
    with pytest.raises(SpecError, match="'probe' ranks nothing that a share can be selected of; localize does"):
        CausalTest(localizer={"kind": "probe"})
    with pytest.raises(SpecError, match=r"There is no field 'localizer\.percnt'"):
        CausalTest(localizer={"percnt": 1})
    assert CausalTest(localizer={}).localizer == Localize()
    assert CausalTest(localizer=Localize()).model_dump()["localizer"] == Localize().model_dump()


def test_a_selection_is_given_as_it_is_typed(tmp_path):
    lm = LM.load("beliefs")
    heads = CausalTest(selection="0.1,2.3").fit_to(lm).selection
    assert heads == UnitMask.heads("0.1,2.3", n_heads=4)
    assert CausalTest(selection="1.mlp_act:0,2").fit_to(lm).selection.total == lm.anatomy.width(
        lm.anatomy.sites("mlp_act")[1]
    )
    file = heads.save(tmp_path / "mask.safetensors")
    assert CausalTest(selection=str(file)).selection == heads
    weights = WeightSet(
        {"a": np.array([3, 9, 700])}, {"a": Address(0, "q", 30, 30), "b": Address(1, "k", 3, 3)}, {"mask_fraction": 0.1}
    )
    assert read_choice(str(weights.save(tmp_path / "weights.safetensors"))) == weights
    assert read_choice(weights.to_json()) == weights
    assert fit(weights, lm.anatomy) is weights
    assert CausalTest(**CausalTest(selection=weights).model_dump(mode="json")).selection == weights
    for wrong, told in (
        ("x.y", "There is no mask at"),
        (" ", "names nothing"),
        ("0.1,0.1", "named twice"),
        (3, "not a mask"),
    ):
        with pytest.raises(SpecError, match=told):
            CausalTest(selection=wrong)
    with pytest.raises(SelectionError, match=r"There is no head 9\.0"):
        CausalTest(selection="9.0").fit_to(lm)
    with pytest.raises(SiteUnavailable, match="layers 0 to 3"):
        CausalTest(selection="9.mlp_act:0").fit_to(lm)
    with pytest.raises(SpecError, match="weights are masked for every token"):
        CausalTest(selection=weights, positions="last")


@pytest.mark.parametrize(
    "packed", ["", "!", "eNpjZoAANii9mQlCAwAGZgC/", "eJztwTEBAAAAwqD1T20ND6AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgHcDAAAB"]
)
def test_weights_that_were_not_packed_here_are_refused(packed):
    for data in (
        {"matrices": {"a": [0, "q", 1, 1, packed]}},
        {"matrices": {"a": [0, "q", packed]}},
        {"matrices": packed},
    ):
        with pytest.raises(SelectionError):
            WeightSet.from_json(data)
