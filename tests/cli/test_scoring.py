"""The commands `score` and `export` as a user types them."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import numpy as np
import polars as pl
import pytest
from pydantic import BaseModel, ConfigDict

import zoo
from broca import cli
from broca.interventions.weights import Edit, WeightMask
from broca.models.build import save
from broca.models.lm import LM
from broca.models.weight_matrices import matrices
from broca.runs import run as run_study
from broca.stimuli.natural import ABILITIES
from broca.units.weights import WeightSet


@pytest.fixture
def broca(monkeypatch, capsys, tmp_path):
    """Run a command in a fresh folder; gives its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.terminal.out, "_width", 200, raising=False)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["broca", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, " ".join(printed.out.split()), " ".join(printed.err.split())

    return run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "opt-tiny"
    save(zoo.build("llama"), zoo.tokenizer(), path)
    return path


@pytest.fixture
def items(tmp_path):
    rows = [{"prompt": f"where is {i}?", "choices": ["box", "bag"], "answer": i % 2} for i in range(6)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "mine.jsonl"


@pytest.fixture
def mask(model, tmp_path):
    lm = LM.load(str(model))
    found = matrices(lm.model, lm.anatomy)
    at = {m.name: np.arange(4) for m in found}
    chosen = WeightSet(at, {m.name: m.address for m in found}, {"model": lm.fingerprint, "m": 0.1})
    return WeightMask(chosen, Edit("flip")).save(tmp_path / "mask.safetensors")


@pytest.mark.parametrize("how", ["likelihood", "generation", "sampled"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_every_way_to_score_and_to_write_rows(broca, model, items, how, suffix):
    several = ["--repetitions", 2] if how == "sampled" else []
    code, out, err = broca("score", model, "--items", items, "--how", how, *several, "--rows", f"rows{suffix}")
    assert code == 0, err
    assert "ability n accuracy low high invalid score shortcut scores chance gate mine" in out
    assert ("join Choices joined to their prompts with a space" in out) == (how == "likelihood")
    assert "rows rows" in out
    readers = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    rows = readers[suffix](items.parent / f"rows{suffix}")
    assert rows.height == (12 if how == "sampled" else 6)


def test_a_closed_gate_says_what_may_open_it(broca, model, items):
    code, out, err = broca("score", model, "--items", items)
    assert code == 0, err
    assert "The gate of mine is closed: no study of it starts. Use another prompt format (--chat, --shots)" in out + err


def test_every_ability_in_one_table(broca, tmp_path):
    save(zoo.build("llama", positions=1024), zoo.tokenizer(), tmp_path / "long")
    code, out, err = broca(
        "score", "long", "--all", "--options.n", 4, "--options.level", "easy", "--shots", 1, "--rows", "rows.parquet"
    )
    assert code == 0, err
    rows = pl.read_parquet("rows.parquet")
    assert rows["ability"].unique(maintain_order=True).to_list() == list(ABILITIES)
    assert rows.height == 4 * len(ABILITIES)
    assert "ability n accuracy low high chance shortcut gate facts/capitals 4 " in out
    assert out.count("closed") + out.count("open") >= len(ABILITIES)
    assert "tokens in 1 pass, at most " in err


def test_examples_stand_before_items(broca, model, items):
    code, out, err = broca("score", model, "--items", items, "--shots", 1)
    assert code == 0, err
    assert " mine 5 " in out
    code, _, err = broca("score", model, "--items", items, "--shots", 4)
    assert (code, "mine has 6 groups of items, and 4 examples would take 4" in err) == (2, True), err


def test_cells_stand_beside_the_reporters(broca):
    code, out, err = broca("score", "beliefs", "--items", "cells/irony", "--options.n", 3)
    assert code == 0, err
    assert "task kind n accuracy reality_reporter always_yes irony ironic 3" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--items", "cells"], "Neither a model nor a server is named"),
        (["MODEL", "--items", "cels"], "Did you mean 'cells'"),
        (["MODEL", "--items", "cells", "--rows", "rows.txt"], "Rows cannot be written to rows.txt"),
        (["--items", "cells/irony", "--server", "http://a", "--how", "likelihood"], "gives texts and no likelihoods"),
        (["--items", "cells/irony", "--server", "nowhere"], "is no address of a server"),
    ],
)
def test_mistakes_of_scoring(broca, model, words, told):
    code, _, err = broca("score", *(model if word == "MODEL" else word for word in words))
    assert code in (1, 2)
    assert told in err


class Says(BaseHTTPRequestHandler):
    def do_GET(self):
        self.give({"data": [{"id": "m"}]})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.give({"choices": [{"text": " box"}]})

    def give(self, answer):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        pass


def test_a_server_is_scored(broca, items):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Says)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        where = ("--server", f"http://127.0.0.1:{server.server_port}")
        code, out, err = broca("score", "--items", items, *where)
        assert (code, "mine 6 0.5 0" in out) == (0, True), err
        code, out, _ = broca("score", "m", "--items", items, *where, "--how", "sampled", "--repetitions", 3)
        assert (code, "mine 18 0.5 0" in out) == (0, True)
        assert "this server may leave the temperature out of account" in out
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_mask_becomes_a_checkpoint(broca, model, mask, tmp_path):
    code, out, err = broca("export", mask, "--model", model, "--to", "masked")
    assert code == 0, err
    assert "masked weights 84 of" in out
    assert "(flip)" in out
    assert "next broca score masked --items YOUR_ITEMS.csv" in out
    lm, back = LM.load(str(model)), LM.load(str(tmp_path / "masked"))
    with lm.under(WeightMask.load(mask)):
        for name, parameter in lm.model.named_parameters():
            assert (parameter == back.model.get_parameter(name)).all()
    about = json.loads((tmp_path / "masked/broca.json").read_text())
    assert (about["about"]["mask_fraction"], about["base"]) == (0.1, lm.fingerprint)
    code, _, err = broca("export", mask, "--model", model, "--to", "masked")
    assert (code, "There is something at masked already" in err) == (1, True)


@dataclass(frozen=True)
class Masked:
    claim: str
    mask: WeightSet | None


class Masking(BaseModel):
    """A study that ends in the mask of a file, as sensitivity does, or in none."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["masking"] = "masking"
    file: str = ""

    def run(self, lm, *, cache=None, progress=None):  # noqa: ARG002
        return Masked("masked", WeightSet.load(self.file) if self.file else None)


def test_the_mask_of_a_run_becomes_a_checkpoint(broca, model, mask, tmp_path):
    lm = LM.load(str(model))
    run_study(Masking(file=str(mask)), lm, tmp_path / "run")
    run_study(Masking(), lm, tmp_path / "none")
    code, out, err = broca("export", "run", "--to", "masked", "--no-check")
    assert code == 0, err
    assert "masked weights 84 of" in out
    assert LM.load(str(tmp_path / "masked")).fingerprint != lm.fingerprint
    code, _, err = broca("export", "none", "--to", "other")
    assert (code, "none holds no mask of weights" in err) == (1, True)
    (tmp_path / "run/mask.safetensors").write_bytes((tmp_path / "run/mask.safetensors").read_bytes()[:-1] + b"x")
    code, _, err = broca("export", "run", "--to", "other")
    assert (code, "mask.safetensors" in err) == (1, True)


def test_mistakes_of_exporting(broca, model, mask, tmp_path):
    def told(*words):
        code, _, err = broca("export", *words, "--to", "masked")
        assert code in (1, 2)
        assert not (tmp_path / "masked").exists()
        return err

    assert "Add --model MODEL" in told(mask)
    assert "weights of another model" in told(mask, "--model", "beliefs")
    assert "There are no chosen weights at gone" in told("gone", "--model", model)
    assert "is not a run" in told(tmp_path)


def test_a_lesioned_model_is_scored(broca, model, items):
    told = {}
    for how in ([], ["--heads", "0.0,1.2"]):
        code, _, err = broca("score", model, "--items", items, *how, "--rows", "rows.parquet")
        assert code == 0, err
        told[len(how)] = pl.read_parquet("rows.parquet")["logprobs"].to_list()
    assert told[0] != told[2]


def test_weights_are_masked_while_a_model_is_scored(broca, model, items, mask):
    told = {}
    for how in ([], ["--weights", mask]):
        code, _, err = broca("score", model, "--items", items, *how, "--rows", "rows.parquet")
        assert code == 0, err
        told[len(how)] = pl.read_parquet("rows.parquet")["logprobs"].to_list()
    assert told[0] != told[2]


def test_what_items_are_and_what_is_wrong_with_them(broca, model, tmp_path):
    rows = [{"prompt": f"Is it {i}?", "choices": ["yes", "no"], "answer": 0} for i in range(9)]
    (tmp_path / "always.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, out, err = broca("score", model, "--items", "always.jsonl")
    assert code == 0, err
    assert "always.jsonl SHA-256 " in out
    assert "! always: every answer is 'yes'" in out


TASK = """
task: places
dataset_path: json
dataset_kwargs: {data_files: {test: docs.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "Where is the {{thing}}?"
doc_to_choice: ["box", "bag"]
doc_to_target: answer
"""


def test_a_task_of_lm_eval(broca, model, tmp_path, monkeypatch):
    pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    (tmp_path / "places.yaml").write_text(TASK)
    docs = [{"thing": thing, "answer": i % 2} for i, thing in enumerate(["key", "cup", "ball"])]
    (tmp_path / "docs.jsonl").write_text("\n".join(map(json.dumps, docs)))
    asked = ("score", model, "--lm-eval", "places.yaml", "--cache", "answers.sqlite", "--rows", "rows.csv")
    seen = []
    for how in ([], ["--heads", "0.0,0.1,1.2"]):
        code, out, err = broca(*asked, *how)
        assert code == 0, err
        assert "task filter metric value stderr n places none acc" in out
        seen.append(pl.read_csv("rows.csv"))
    assert seen[0].columns == ["task", "doc", "filter", "metric", "value", "answer", "response"]
    assert seen[0]["response"].to_list() != seen[1]["response"].to_list()


def test_items_or_tasks_and_not_both(broca, model, items):
    for words, told in [
        ([], "Give one of --items, --all, or --lm-eval with tasks"),
        (["--items", items, "--lm-eval", "x.yaml"], "Give one of --items, --all, or --lm-eval with tasks"),
        (["--items", items, "--server", "http://a", "--heads", "0.0"], "--heads does nothing beside --server"),
        (["--all", "--items", items], "Give one of --items, --all, or --lm-eval"),
        (["--lm-eval", "gone.yaml"], "There is no task file 'gone.yaml'"),
    ]:
        code, _, err = broca("score", model, *words)
        assert (code, told in err) == (2, True), err
