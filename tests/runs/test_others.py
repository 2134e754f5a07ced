"""A run counts the other runs of its folder on the same model and items: how often somebody has tried before."""

from __future__ import annotations

import json

import pytest

import broca
from broca.instruments.localize.spec import Localize
from broca.items import Contrast, Stimulus
from broca.runs.formats import canonical
from broca.runs.manifest import seal
from broca.runs.others import other_runs
from broca.runs.record import read_record


def contrast(name="letters"):
    return Contrast(
        name,
        tuple(Stimulus(f"p{i}", f"{name} x {i}") for i in range(8)),
        tuple(Stimulus(f"n{i}", f"{name} y {i}") for i in range(8)),
    )


def localize(lm, out, percent, name="letters"):
    spec = Localize(contrast=contrast(name), permutations=0, select={"percent": percent})
    return broca.run(spec, lm, out=out)


@pytest.fixture(scope="module")
def lm():
    import zoo

    return zoo.lm("llama")


@pytest.fixture(scope="module")
def folder(lm, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return out, [localize(lm, out, percent) for percent in (2.0, 5.0, 10.0)]


def counted(run, **changes):
    return other_runs(run.path, {**run.manifest, **changes}, run.spec["study"])


def test_runs_are_counted_as_they_come(folder):
    _, runs = folder
    assert [run.manifest["others"] for run in runs] == [{}, {"localize": 1}, {"localize": 2}]
    assert counted(runs[0]) == {"localize": 2}


def test_results_do_not_depend_on_neighbours(folder, lm, tmp_path):
    _, runs = folder
    alone = localize(lm, tmp_path, 10.0)
    assert alone.manifest["others"] == {}
    assert alone.manifest["files"] == runs[2].manifest["files"]


def test_runs_of_other_items_or_models_do_not_count(folder, lm):
    out, runs = folder
    other = localize(lm, out, 2.0, "words")
    assert other.manifest["others"] == {}
    assert counted(runs[0]) == {"localize": 2}
    assert counted(runs[0], model={**runs[0].manifest["model"], "identity": {"weights": "others"}}) == {}


def test_what_was_stopped_counts_and_what_is_no_run_does_not(folder, lm, tmp_path):
    _, runs = folder
    run = localize(lm, tmp_path, 5.0)
    assert counted(run) == {}
    stopped = {**json.loads((runs[0].path / "manifest.json").read_bytes()), "status": "partial"}
    for name, text in ((".localize-1.partial", canonical(seal(stopped))), ("damaged", "{"), ("strange", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(text)
    (tmp_path / "notes.txt").write_text("no run")
    assert counted(run) == {"localize": 1}


def test_where_data_have_no_hash_their_names_count(folder, tmp_path):
    _, runs = folder
    manifest = {**runs[0].manifest, "data": {}}
    for i, task in enumerate(("kth", "rules", "kth")):
        place = tmp_path / f"probe-{i}"
        place.mkdir()
        (place / "manifest.json").write_text(canonical(seal({**manifest, "kind": "probe"})))
        (place / "spec.toml").write_text(f'[study]\nkind = "probe"\ntask = "{task}"\n')
    assert other_runs(tmp_path / "probe-0", manifest, {"kind": "probe", "task": "kth"}) == {"probe": 1}


def test_the_page_says_how_many_there_were(folder):
    from broca.evidence.blocks import ledger
    from broca.page.blocks import Facts

    _, runs = folder

    def said(run):
        (section,) = ledger(read_record(run.path))
        return dict(next(block for block in section.blocks if isinstance(block, Facts)).pairs)

    assert said(runs[0])["other runs"] == "none on this model and these items"
    assert said(runs[2])["other runs"] == "2 localize on this model and these items when it ended"
    assert said(runs[2])["claims"] == "1 at 0.05"
