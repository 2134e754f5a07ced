"""Logs of inspect_ai: what its own reader makes of them where it is installed, and the numbers that they hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import broca
from broca.errors import RunError
from broca.runs.inspect_logs import write_inspect_logs
from parity.test_golden import GOLDEN


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Path(shutil.copytree(GOLDEN["belief-heads"], tmp_path_factory.mktemp("run") / "run"))


@pytest.fixture(scope="module")
def logs(run):
    return sorted(write_inspect_logs(run).glob("*.json"))


def test_there_is_one_for_each_condition_and_its_accuracy_is_the_runs(run, logs):
    items = broca.open_run(run).tables["items"]
    assert [path.stem for path in logs] == ["00-intact", "01-lesion", "02-lesion", "03-lesion", "04-lesion"]
    told = json.loads(logs[0].read_text(encoding="utf-8"))
    intact = items.filter(items["condition"] == "intact")
    assert told["results"]["scores"][0]["metrics"]["accuracy"]["value"] == pytest.approx(intact["correct"].mean())
    assert len(told["samples"]) == intact.height
    assert len({sample["id"] for sample in told["samples"]}) == intact.height
    assert all(sample["target"] in sample["choices"] for sample in told["samples"])
    assert json.loads(logs[1].read_text(encoding="utf-8"))["eval"]["metadata"]["condition"]["fill"] == "zero"


def test_the_run_stays_as_it_was(run, logs):
    assert logs
    assert broca.open_run(run).verdict


def test_a_run_without_items_says_so(tmp_path):
    run = shutil.copytree(GOLDEN["language-ll"], tmp_path / "run")
    with pytest.raises(RunError, match="scored no items"):
        write_inspect_logs(run)


def test_inspect_ai_reads_them(logs):
    reader = pytest.importorskip("inspect_ai.log")
    for path in logs:
        log = reader.read_eval_log(str(path))
        assert log.status == "success"
        assert log.samples[0].scores["broca"].value in ("C", "I")
