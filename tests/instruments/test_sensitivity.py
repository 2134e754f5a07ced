"""The sensitivity study: planted weights, the sweep, parts of the items, resume after a kill, presets and published files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import broca
import zoo
from broca.cache.cache import no_cache, silent
from broca.capture.objectives import OBJECTIVES, AnsweredQuestion
from broca.capture.weight_gradients import sensitivity
from broca.compat.wu2025.results import summary
from broca.errors import SelectionError, SpecError
from broca.evidence.verdict import RUNGS
from broca.instruments.sensitivity.plan import automatic, shared_out
from broca.instruments.sensitivity.spec import Sensitivity
from broca.instruments.sensitivity.sweep import swept
from broca.instruments.sensitivity.work import Work
from broca.interventions.weights import WeightMask
from broca.items import Item
from broca.models.questions import split
from broca.models.weight_matrices import matrices
from broca.page.words import number
from broca.scoring import Likelihood
from broca.units.weights import WeightSet


def questions(tmp_path: Path, n: int = 24, name: str = "colours") -> str:
    path = tmp_path / f"{name}.jsonl"
    rows = [
        {
            "id": f"{name}{i}",
            "prompt": f"{name} {i} is {'ab'[i % 2] * 3}, so",
            "choices": ["x", "y"],
            "answer": i % 2,
            "group": f"g{i // 2}",
        }
        for i in range(n)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def study(tmp_path: Path, **more) -> Sensitivity:
    fields = {
        "task": questions(tmp_path),
        "others": (questions(tmp_path, 8, "shapes"),),
        "gate": "mark",
        "draws": 3,
        "sweep_draws": 1,
        "n_general": 6,
        "n_read": 4,
        "window": 24,
        "reading": {"length": 24},
        "sweep": "0,0.002,0.01,0.03",
        "n_bootstrap": 50,
    }
    return Sensitivity(**fields | more)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sensitivity")
    lm = zoo.lm("llama")
    run = broca.run(study(folder, twins=1), lm, folder / "run")
    return lm, run


def test_a_run_holds_every_table_and_climbs(done) -> None:
    _, run = done
    assert tuple(rung["name"] for rung in run.result["verdict"]["rungs"]) == RUNGS
    sweep = run.tables["sweep"]
    assert sweep["mask_fraction"].to_list() == [0, 0.002, 0.01, 0.03]
    assert sweep["realised"].to_list() == sorted(sweep["realised"].to_list())
    assert (sweep["realised"] == sweep["task"] - sweep["shared"]).all()
    assert (sweep["nominal"] == sweep["task"]).all()
    assert set(run.tables["nulls"]["family"]) == {"matrix", "rows", "size", "general"}
    names = {guard["name"]: guard["state"] for guard in run.result["guards"]}
    assert names["identity"] == names["join"] == "passed"
    assert {"gate", "shortcut", "effect", "perplexity", "padding"} <= set(names)
    modules = run.tables["modules"]
    assert modules["n_selected"].sum() == run.result["selection"]["k"]
    assert (modules["n_selected"] <= modules["n_task"]).all()
    doses = run.tables["doses"]
    assert set(doses["condition"]) == {"intact", "lesion", "random"}
    assert set(run.tables["perplexity"]["condition"]) == {"intact", "lesion", "random"}


def test_the_mask_is_a_file_that_only_its_model_takes(done) -> None:
    lm, run = done
    mask = WeightMask.load(run.path / "mask.safetensors", model=lm.fingerprint)
    assert mask.weights.count == run.result["selection"]["k"]
    assert mask.weights.about["task"] == "colours"
    with pytest.raises(SelectionError):
        WeightMask.load(run.path / "mask.safetensors", model="0" * 16)
    assert not any(path.suffix in (".pt", ".bin", ".pkl") for path in run.path.rglob("*"))


def test_random_masks_have_as_many_weights_and_items_are_not_used_twice(done) -> None:
    _, run = done
    items = run.tables["items"].filter(pl.col("ability") == "colours")
    lesion = items.filter((pl.col("condition") == "lesion") & (pl.col("fill") == "zero"))
    drawn = items.filter((pl.col("condition") == "random") & (pl.col("localizer") == "colours"))
    for dose in drawn["dose"].unique():
        assert set(drawn.filter(dose=dose)["k"]) == set(lesion.filter(dose=dose)["k"])
    assert items["id"].n_unique() < 24  # the others scored weights, or chose the fraction


def able(lm, tmp_path: Path, name: str, n: int = 24) -> str:
    """Questions whose right answer is what the model says, many letters, as often the first one as the second."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    asked = [
        Item(f"{name}{i}", f"{name} {i} is so", (letters[i % 26], letters[(i + 1 + i // 26) % 26]), 0) for i in range(n)
    ]
    said = Likelihood()(lm, asked)["predicted"].to_list()
    rows = [
        {"id": item.id, "prompt": item.prompt, "choices": item.choices if own == i % 2 else item.choices[::-1], "answer": i % 2,
         "group": f"g{i}"}
        for i, (item, own) in enumerate(zip(asked, said, strict=True))
    ]  # fmt: skip
    path = tmp_path / f"{name}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_a_fraction_that_was_chosen_on_the_items_that_test_it_decides_nothing(tmp_path) -> None:
    """What is decided where other items chose is undecided where the same did, with that reason."""
    lm = zoo.lm("llama")
    fields = {
        "task": able(lm, tmp_path, "tastes"), "others": (able(lm, tmp_path, "sounds"),), "sweep": "0.001", "draws": 19,
        "sweep_draws": 0, "nulls": ("matrix",), "edits": ({"kind": "scale", "alpha": 0.99},), "sizes": (), "halves": False,
    }  # fmt: skip
    apart, same = (study(tmp_path, **fields, choose_on=how).run(lm) for how in ("apart", "test"))
    assert apart.verdict["causal"].state == "failed"
    for name in ("causal", "specific"):
        assert same.verdict[name].state == "undecided"
        assert "The fraction was chosen on the items that test it (choose_on = test)" in same.verdict[name].text
        assert "was chosen on the items" not in apart.verdict[name].text
    assert [choice.apart for choice in apart.ledger.choices] == [True, True]
    assert [choice.apart for choice in same.ledger.choices] == [True, False]
    ranked, chosen = (set(choice.groups) for choice in apart.ledger.choices)
    assert ranked
    assert chosen
    assert not ranked & chosen


def test_a_pilot_tests_no_mask(tmp_path) -> None:
    lm = zoo.lm("llama")
    task, others = able(lm, tmp_path, "tastes"), able(lm, tmp_path, "sounds")
    fields = {
        "task": task,
        "others": (others,),
        "sweep": "0.001",
        "draws": 19,
        "edits": ({"kind": "scale", "alpha": 0.99},),
        "sweep_draws": 0,
        "nulls": ("matrix",),
        "halves": False,
        "sizes": (),
    }
    few = tmp_path / "pilot.jsonl"
    few.write_text("".join(Path(task).read_text().splitlines(keepends=True)[::4]))
    whole, some = (Work(study(tmp_path, **fields, pilot=pilot), lm, no_cache, silent) for pilot in ((), (str(few),)))
    looked = {item.group for item in some.spec.pilot_items}
    assert some.parts == whole.parts
    assert some.own_items == tuple(item for item in whole.own_items if item.group not in looked)
    assert 0 < len(some.own_items) < len(whole.own_items)
    assert not looked & {item.group for items in some.scored_items.values() for item in items}
    found = study(tmp_path, **fields, pilot=(task,)).run(lm)
    assert [choice.apart for choice in found.ledger.choices] == [True, True, False]
    for name in ("causal", "specific"):
        assert found.verdict[name].state == "undecided"
        assert "helped to choose what is tested on it" in found.verdict[name].text


def test_the_report_has_a_section_on_weights(done) -> None:
    _, run = done
    page = broca.report(run).read_text()
    for words in ("Masked weights", "fraction", "matrix by matrix", "Random masks"):
        assert words in page
    geometry, sinks = run.tables["geometry"], run.tables["sinks"]
    assert geometry["layer"].to_list() == [0, 0, 1, 1, 2, 2]
    first = geometry.filter(layer=1, state="masked").row(0, named=True)
    cell = f"→ {number(first['cosine_first'])}</td>"
    assert cell in page
    assert sinks.height == 3
    for figure in ("sinks", "geometry"):
        assert (run.path / "figures" / f"{figure}.svg").read_text().count("masked") >= 1
        assert f'data-chart="{figure}"' in page


def test_planted_weights_are_found() -> None:
    """Rows of one matrix that alone carry the answer: multiplied inputs to the head of the answer's token."""
    lm = zoo.lm("gpt2")
    prompts = [f"text number {i} of" for i in range(12)]
    samples = [AnsweredQuestion(q, 0) for q in split(lm, prompts, [[" a", " b"]] * 12)]
    every = matrices(lm.model, lm.anatomy)
    rng = np.random.default_rng(0)
    truth = {}
    with torch.no_grad():
        for m in every:
            weight = lm.model.get_parameter(m.parameter)
            keep = np.zeros(m.address.size, bool)
            if m.address.kind == "down" and m.address.layer == 1:
                keep[rng.choice(m.address.size, 40, replace=False)] = True
            truth[m.name] = keep
        down = next(m for m in every if truth[m.name].any())
        up = next(m for m in every if m.address.kind == "up" and m.address.layer == 1)
        # Units that feed the planted weights are loud, all others silent: only planted weights can matter there.
        columns = np.unique(np.flatnonzero(truth[down.name]) % down.address.columns)
        bias = lm.model.get_submodule(up.module).bias
        bias.fill_(-30.0)
        bias[torch.tensor(columns)] = 3.0
        weight = lm.model.get_parameter(down.parameter)
    sums = sensitivity(lm, samples, OBJECTIVES["gold"], [down])
    found = sums.score(down, weight, "squared-gradient").flatten().numpy()
    in_columns = np.isin(np.arange(down.address.size) % down.address.columns, columns)
    assert roc_auc_score(in_columns, found) > 0.99


def test_single_planted_weights_are_found_where_the_score_sees_their_size() -> None:
    """Sixty weights of a random model made a hundred times as large, in matrices that carry values.

    (Queries and keys of a random model hardly move its answers, however large.)

    |w g| and w^2 g^2 find them; the squared gradient, which knows the place of a weight and not its size, does not.
    """
    lm = zoo.lm("llama")
    prompts = [f"text number {i} of" for i in range(12)]
    samples = [AnsweredQuestion(q, i % 2) for i, q in enumerate(split(lm, prompts, [[" a", " b"]] * 12))]
    every = [m for m in matrices(lm.model, lm.anatomy) if m.address.kind not in ("q", "k")]
    rng = np.random.default_rng(0)
    offsets = np.cumsum([0, *(m.address.size for m in every)])
    truth = np.zeros(offsets[-1], bool)
    truth[rng.choice(truth.size, 60, replace=False)] = True
    with torch.no_grad():
        for m, start in zip(every, offsets[:-1], strict=True):
            weight = m.of(lm.model.get_parameter(m.parameter))
            planted = torch.from_numpy(truth[start : start + m.address.size].reshape(weight.shape))
            weight[planted] = 100 * weight.std() * weight[planted].sign()
    scores = ("squared-gradient", "gradient-weight", "squared-gradient-weight")
    sums = sensitivity(lm, samples, OBJECTIVES["contrast"], every, scores=scores)

    def auroc(score: str) -> float:
        found = [sums.score(m, m.of(lm.model.get_parameter(m.parameter)), score).flatten().numpy() for m in every]
        return roc_auc_score(truth, np.concatenate(found))

    assert auroc("gradient-weight") > 0.94
    assert auroc("squared-gradient-weight") > 0.94
    assert auroc("squared-gradient") < 0.7


@pytest.mark.parametrize("text", ["0:5e-5:2e-6"])
def test_a_sweep_is_what_it_says_or_what_was_published(text) -> None:
    exact, published = swept(text), swept(text, published=True)
    assert len(exact) == 26
    assert exact[-1] == 5e-5
    assert len(published) == 27
    assert published[-1] == pytest.approx(5.2e-5)
    assert [repr(m) for m in published if len(repr(m)) > 8][:1] == ["9.999999999999999e-06"]
    assert swept("1e-5, 2e-5") == (1e-5, 2e-5)
    for wrong in ("0:1", "a", "0:1:0", "0:2:1", "1:0:0.1", ""):
        with pytest.raises(SpecError):
            swept(wrong)


def test_the_automatic_sweep_starts_at_two_weights_of_the_smallest_matrix() -> None:
    lm = zoo.lm("llama")
    every = matrices(lm.model, lm.anatomy)
    low = automatic(every)[0]
    assert int(min(m.address.size for m in every) * low) == 2
    assert all(0 < m <= 0.07 for m in automatic(every))


@given(st.lists(st.integers(0, 9), min_size=3, max_size=60), st.integers(0, 5))
def test_parts_keep_groups_together_and_none_is_empty(groups, seed) -> None:
    items = [Item(f"i{i}", "p", ("a", "b"), 0, group=f"g{g}") for i, g in enumerate(groups)]
    if len(set(groups)) < 3:
        with pytest.raises(SelectionError):
            shared_out(items, (0.4, 0.2, 0.4), seed)
        return
    parts = shared_out(items, (0.4, 0.2, 0.4), seed)
    assert sorted(i.id for part in parts for i in part) == sorted(i.id for i in items)
    assert all(parts)
    names = [{i.group for i in part} for part in parts]
    assert not (names[0] & names[1] | names[0] & names[2] | names[1] & names[2])


def test_what_cannot_be_is_refused(tmp_path) -> None:
    with pytest.raises(SpecError, match="'0:x' is no sweep"):
        study(tmp_path, sweep="0:x")
    with pytest.raises(SpecError, match="layer_groups"):
        study(tmp_path, layer_groups=2, scope="global")
    with pytest.raises(SelectionError, match="No fraction"):
        study(tmp_path, sweep="0,1e-6").run(zoo.lm("llama"))


@pytest.mark.parametrize("more", [{"layer_groups": 3}, {"sums_on": "cpu"}])
def test_how_sums_are_held_changes_no_bit(tmp_path, more) -> None:
    lm = zoo.lm("llama")
    other = study(tmp_path, **more, sweep="0.002", nulls=("matrix",), draws=1, sweep_draws=0).run(lm)
    whole = study(tmp_path, sweep="0.002", nulls=("matrix",), draws=1, sweep_draws=0).run(lm)
    assert other.mask == whole.mask


def test_an_organism_with_opt_in_its_path_works(tmp_path) -> None:
    lm = zoo.lm("llama")
    folder = tmp_path / "opt" / "adopted"
    from broca.models.build import save

    save(lm.model, lm.tokenizer, folder)
    again = broca.LM.load(str(folder))
    assert study(tmp_path, nulls=("matrix",), draws=1, sweep_draws=0, sweep="0.01").run(again).mask.count


CHILD = """
import sys, json
sys.path.insert(0, {tests!r})
import zoo, broca
from pathlib import Path
from broca.evidence.verdict import RUNGS
from broca.instruments.sensitivity.spec import Sensitivity
import broca.capture.weight_gradients as module
spec = Sensitivity(**json.loads({fields!r}))
slow = {slow!r}
state = dict(n=0)
def tell(what, done, total):
    if what == slow[0] and done >= slow[1]:
        Path({marker!r}).write_text("here")
        import time; time.sleep(600)
lm = zoo.lm("llama")
lm.batch_size = 1
broca.run(spec, lm, {path!r}, progress=tell)
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", [("scoring weights by colours", 4), ("scoring masks", 5)])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, at) -> None:
    spec = study(tmp_path, nulls=("matrix",), draws=1, sweep_draws=0, sweep="0.01,0.03", mode="single")
    lm = zoo.lm("llama")
    lm.batch_size = 1
    whole = broca.run(spec, lm, tmp_path / "whole")
    marker, path = tmp_path / "marker", tmp_path / "killed"
    code = CHILD.format(
        tests=str(Path(zoo.__file__).parent),
        fields=spec.model_dump_json(),
        slow=at,
        marker=str(marker),
        path=str(path),
    )
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        end = time.monotonic() + 120
        while not marker.exists():
            assert child.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    left = list((tmp_path / ".killed.partial" / "cells").iterdir())
    if at[0].startswith("scoring weights"):
        assert [file.name for file in left if file.name.startswith(".draft-")]
    else:
        assert left
    resumed = broca.run(spec, lm, path)
    assert resumed.manifest["sessions"] == 2
    for name in whole.manifest["files"]:
        assert (whole.path / name).read_bytes() == (path / name).read_bytes(), name


def test_the_preset_is_the_published_recipe_one_field_a_quirk(tmp_path) -> None:
    spec = Sensitivity(preset="wu2025", task=questions(tmp_path))
    assert (spec.objective, spec.bos, spec.ties, spec.precision) == ("last-token", "without", "strict", "float16")
    assert spec.edits[0].kind == "mean"
    assert spec.edits[0].mean_of == "zeroed"
    assert len(swept(spec.sweep, published=spec.arange)) == 27
    assert spec.control is None
    assert (spec.scorer.temperature, spec.scorer.top_p, spec.scorer.repetitions) == (0.6, 0.9, 5)
    assert Sensitivity(preset="wu2025", ties="index", task=spec.task).ties == "index"


def test_the_preset_runs_on_cells_and_writes_the_published_columns(tmp_path) -> None:
    lm = zoo.lm("gpt2")
    lm.model.half()
    spec = Sensitivity(
        preset="wu2025",
        task=str(tasks(tmp_path)),
        perplexity_source="plain",
        sweep="0,0.01,0.02",
        arange=False,
        gate="mark",
        draws=1,
        sweep_draws=0,
        nulls=("matrix",),
        n_general=4,
        n_read=4,
        window=16,
        reading={"length": 16, "texts": "joined"},
        n_bootstrap=20,
    )
    result = spec.run(lm)
    table = summary(result.published)
    assert len(table.columns) == 14
    assert table["m"].to_list() == [0, 0.01, 0.02]
    assert result.cells is not None
    assert {"reality_reporter", "always_yes"} <= set(result.cells.columns)


def tasks(tmp_path: Path) -> Path:
    """A task file of two stories each, written for this test, short enough for 128 characters."""
    s1 = [
        {"NUMBER": n, "o1": a, "o2": b, "c": "jar", "xnam": "Jo", "xpro": "she", "obj_pro": "her", "pos_pro": "her",
         "txt": "A CX of S1 says S2.", "txt_correctlabel": "A CX of S1 says S1."}
        for n, a, b in ((2, "tea", "jam"), (3, "ink", "oil"))
    ]  # fmt: skip
    s3 = [{"NUMBER": n, "txt": f"Joke {n}?", "txt_reverse": f"Fact {n}?"} for n in (0, 1)]
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps({"s3": s3}))
    assert s1
    return path


def test_published_score_files_are_ranked_like_our_own(tmp_path) -> None:
    lm = zoo.lm("llama")
    rng = np.random.default_rng(0)
    folders = []
    for name in ("task", "general"):
        folder = tmp_path / name
        folder.mkdir()
        for layer in range(3):
            modules = lm.model.model.layers[layer]
            scores = {
                f"{p}_proj": torch.tensor(rng.random(getattr(part, f"{p}_proj").weight.shape), dtype=torch.float16)
                for part, names in ((modules.self_attn, "qkvo"), (modules.mlp, ("gate", "up", "down")))
                for p in names
            }
            torch.save(scores, folder / f"layer_{layer}.pt")
        folders.append(str(folder))
    spec = study(
        tmp_path, published=tuple(folders), ties="strict", sweep="0.01", nulls=("matrix",), draws=1, sweep_draws=0
    )
    result = spec.run(lm)
    at = {}
    for matrix in matrices(lm.model, lm.anatomy):
        values = [
            torch.load(f"{folder}/layer_{matrix.address.layer}.pt", weights_only=True)[matrix.name.rpartition(".")[2]]
            for folder in folders
        ]
        k = int(matrix.address.size * 0.01)
        masks = [
            v.flatten() > v.flatten().topk(k).values[-1] if k else torch.zeros(v.numel(), dtype=bool) for v in values
        ]
        at[matrix.name] = torch.nonzero(masks[0] & ~masks[1]).flatten().numpy()
    assert result.mask == WeightSet(at, result.mask.addresses)
    assert {rung.name: rung.state for rung in result.verdict.rungs}["reliable"] == "not tested"
