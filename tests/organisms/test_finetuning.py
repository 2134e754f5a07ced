"""Teaching any model a task: what learns, what stays, and that a killed training ends with the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from broca.errors import ModelError, RunError, StimulusError, UnknownName
from broca.models.build import fresh, save
from broca.models.lm import LM
from broca.organisms.course import CHECKPOINT, NOTHING, Plan, target_logits
from broca.organisms.finetuning import tune
from broca.organisms.kth.train import CONFIG, tokenizer
from broca.organisms.training import answer_lesson
from zoo import CONFIGS

SMALL = {"steps": 6, "batch": 4, "look": 2, "rate": 1e-2, "options": {"m": 5}}


@pytest.fixture(autouse=True)
def few_questions(monkeypatch):
    monkeypatch.setattr("broca.organisms.finetuning.EXAM", 20)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("base")
    save(fresh({**CONFIG, "n_layer": 2, "n_head": 2, "n_embd": 16}, 0), tokenizer(), path)
    return str(path)


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("llama")
    save(fresh({**CONFIGS["llama"], "model_type": "llama"}, 0), tokenizer(), path)
    return str(path)


PLACES = {
    "full": (".",),
    "attention": ("attn",),
    "mlp": ("mlp",),
    "norm": ("ln_", "norm"),
    "lora": ("attn.c_attn", "q_proj", "v_proj"),
}


@pytest.mark.parametrize("part", PLACES)
@pytest.mark.parametrize("which", ["base", "llama"])
def test_only_the_part_that_was_asked_for_learns(part, which, request, tmp_path):
    source = request.getfixturevalue(which)
    if part == "lora":
        pytest.importorskip("peft")
    report = tune("kth", source, tmp_path, part=part, **SMALL)
    before, after = load_file(Path(source) / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(any(place in name for place in PLACES[part]) for name in changed)
    assert (report.steps, report.finished) == (6, True)
    assert [look["step"] for look in report.looks] == [2, 4, 6]
    assert json.loads((tmp_path / "training.json").read_text())["command"] == report.command
    assert f"--part {part}" in report.command
    assert not (tmp_path / CHECKPOINT).exists()
    assert LM.load(str(tmp_path)).n_parameters == sum(weight.numel() for weight in before.values())


def test_it_learns_what_it_is_asked(base, tmp_path):
    report = tune("kth", base, tmp_path, steps=120, batch=32, look=120, rate=1e-2, options={"m": 2, "k": 1, "pool": 6})
    assert report.accuracy["kth"] > 0.9
    assert report.curve[-1]["loss"] < report.curve[0]["loss"]


KILLED = """
import os, sys
from pathlib import Path
from broca.organisms import finetuning
finetuning.EXAM = 20
def die(what, done, total):
    if done == 5:
        os.kill(os.getpid(), 9)
finetuning.tune("kth", sys.argv[1], Path(sys.argv[2]), part=sys.argv[3], steps=6, batch=4, look=2, rate=1e-2, options={"m": 5}, progress=die)
"""


@pytest.mark.slow
@pytest.mark.parametrize("part", ["full", "lora"])
def test_a_killed_training_ends_with_the_same_bytes(part, base, tmp_path):
    if part == "lora":
        pytest.importorskip("peft")
    whole = tune("kth", base, tmp_path / "whole", part=part, **SMALL)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, base, str(tmp_path / "cut"), part],
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == -9
    early = json.loads((tmp_path / "cut" / "training.json").read_text())
    assert (early["steps"], early["finished"]) == (4, False)
    steps = []
    rest = tune("kth", base, tmp_path / "cut", part=part, **SMALL, progress=lambda *told: steps.append(told[1]))
    assert steps == [5, 6]
    assert (rest.curve, rest.looks, rest.accuracy) == (whole.curve, whole.looks, whole.accuracy)
    one, two = (tmp_path / name / "model.safetensors" for name in ("whole", "cut"))
    assert one.read_bytes() == two.read_bytes()


def stopped(base, out, **changed):
    def stop(what, done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune("kth", base, out, **{**SMALL, **changed}, progress=stop)


def test_a_checkpoint_of_another_training_is_refused(base, tmp_path):
    stopped(base, tmp_path)
    with pytest.raises(RunError, match="belongs to a training with other settings"):
        tune("kth", base, tmp_path, **{**SMALL, "rate": 1e-3})
    (tmp_path / CHECKPOINT).write_bytes(b"nothing of the sort")
    with pytest.raises(RunError, match="is no whole safetensors file"):
        tune("kth", base, tmp_path, **SMALL)


def test_questions_of_a_file_are_held_out_by_group(base, tmp_path):
    row = {
        "statements": ["1", "2", "3"],
        "edges": [[1, "conclusion"]],
        "question": " 4",
        "choices": ["1", "2"],
        "answer": 0,
    }
    rows = [{**row, "group": str(number // 2)} for number in range(40)]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(json.dumps({**row, "answer": "1"}) for row in rows))
    report = tune(str(path), base, tmp_path / "out", **{**SMALL, "options": {"answers": "text"}})
    assert set(report.accuracy) == {"mine"}
    path.write_text(json.dumps({**rows[0], "answer": "1"}))
    with pytest.raises(StimulusError, match="has 1 groups, too few"):
        tune(str(path), base, tmp_path / "few", **{**SMALL, "options": {"answers": "text"}})


def test_what_is_refused(base, tmp_path):
    with pytest.raises(UnknownName, match="Did you mean 'attention'"):
        tune("kth", base, tmp_path, part="attentio", **SMALL)
    with pytest.raises(StimulusError, match="Option 'n' of 'kth' is set by the training"):
        tune("kth", base, tmp_path, **{**SMALL, "options": {"n": 3}})
    with pytest.raises(ModelError):
        tune("kth", str(tmp_path / "nowhere"), tmp_path, **SMALL)


def test_padding_changes_no_answer(base):
    lm = LM.load(base)
    prompts, answers = [[1, 5, 6, 7, 8], [1, 9]], [[10], [11, 12]]
    together = target_logits(lm.model, answer_lesson(prompts, answers, pad=0)).detach()
    alone = [
        target_logits(lm.model, answer_lesson([p], [a], pad=0)).detach() for p, a in zip(prompts, answers, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone))
    lesson = answer_lesson(prompts, answers, pad=0)
    assert lesson.targets.tolist() == [[NOTHING, 10], [11, 12]]
    assert lesson.ids.tolist() == [[1, 5, 6, 7, 8], [0, 0, 1, 9, 11]]


def test_the_rates_rise_stay_and_fall():
    plan = Plan(steps=100, warmup=10, level=0.5)
    rates = [plan.rate(step) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert set(rates[10:50]) == {1.0}
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
