from __future__ import annotations

import subprocess
import sys

import pytest

from broca.errors import RunError
from broca.runs.execution import run
from broca.runs.listing import list_runs, open_runs
from reports.synthetic import localize_run
from runs import toy
from runs.toy import Toy, ToyLM


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two finished runs, one stopped, one broken, and things that are no runs."""
    run(Toy(seed=1), ToyLM(), tmp_path / "a")
    run(Toy(seed=2, contrast="tom"), ToyLM(name="other"), tmp_path / "b")
    run(Toy(seed=3), ToyLM(), tmp_path / "broken")
    (tmp_path / "broken" / "tensors.safetensors").write_bytes(b"")

    def stop(i):
        if i == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(toy, "HOOK", stop)
        with pytest.raises(KeyboardInterrupt):
            run(Toy(seed=4), ToyLM(), tmp_path / "stopped")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes.txt").write_text("")
    return tmp_path


def test_runs_are_listed_with_their_status(folder):
    listed = list_runs(folder)
    assert listed.columns == [
        "name",
        "kind",
        "status",
        "model",
        "contrast",
        "verdict",
        "why",
        "created",
        "seconds",
        "path",
    ]
    rows = {row["name"]: row for row in listed.iter_rows(named=True)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "a": "finished",
        "b": "finished",
        "broken": "broken",
        "stopped": "partial",
    }
    assert rows["b"]["contrast"] == "tom"
    assert rows["b"]["model"] == "other"
    assert rows["a"]["verdict"] == "Not selective."
    assert rows["stopped"]["contrast"] == "belief <b>"
    assert rows["stopped"]["created"] > rows["a"]["created"]
    assert rows["stopped"]["seconds"] >= 0
    assert rows["broken"]["kind"] == "toy"
    assert "tensors.safetensors is corrupt" in rows["broken"]["why"]
    assert rows["a"]["why"] is None


def test_an_empty_folder_is_an_empty_list(tmp_path):
    assert list_runs(tmp_path).height == 0
    with pytest.raises(RunError, match="is not a folder"):
        list_runs(tmp_path / "none")


def test_the_rows_of_many_runs_in_one_table(folder, caplog):
    rows = open_runs(folder)
    assert rows.columns[:4] == ["run", "model", "contrast", "id"]
    assert rows.group_by("run", maintain_order=True).len().rows() == [("a", 30), ("b", 30)]
    assert rows.filter(run="b")["contrast"].unique().to_list() == ["tom"]
    assert "tensors.safetensors is corrupt" in caplog.text
    assert ".stopped.partial is not finished" in caplog.text
    assert open_runs(folder / "a").equals(rows.filter(run="a"))
    assert open_runs(f"{folder}/[b]").equals(rows.filter(run="b"))


def test_another_table_may_be_asked_for(folder):
    assert open_runs(folder, table="layers")["group"].n_unique() == 6
    with pytest.raises(RunError, match=r"None of 2 runs.*'doses'. They have: items, layers"):
        open_runs(folder, table="doses")


def test_no_run_there(tmp_path):
    with pytest.raises(RunError, match="No finished run"):
        open_runs(tmp_path)


def test_a_listing_opens_no_instrument(tmp_path):
    localize_run(tmp_path / "a", n_layers=2, width=4)
    code = "import sys; from broca.runs.listing import list_runs; rows = list_runs(sys.argv[1]); print(rows['status'][0], *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    status, *modules = done.stdout.split()
    assert status == "finished"
    assert not {"torch", "scipy.special", "broca.instruments.localize.spec"} & {*modules}
