"""Tasks of lm-eval under interventions, against lm-eval's own reading of the same model."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

import zoo
from broca.errors import GuardError, RunError, SpecError, StimulusError
from broca.interventions.lesion import Lesion
from broca.models.build import fresh
from broca.models.lm import LM
from broca.scoring.harness import evaluate
from broca.scoring.harness_model import Harness
from broca.sites import Site
from broca.units import UnitMask

CHOICE = """
task: places
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "Where is the {{{{thing}}}}? It is in the"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - {{metric: acc}}
  - {{metric: acc_norm}}
metadata: {{version: 2.0}}
"""
TEXT = """
task: prose
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{prose}}}}"
metric_list:
  - {{metric: word_perplexity}}
metadata: {{version: 1.0}}
"""
WRITTEN = """
task: written
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "Where is the {{{{thing}}}}?"
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs: {{until: ["e"], max_gen_toks: 12}}
metric_list:
  - {{metric: exact_match}}
metadata: {{version: 1.0}}
"""
THINGS = ["key", "red ball", "old letter", "cup", "coin", "small grey stone"]


@pytest.fixture(scope="module")
def lm():
    return LM.wrap(zoo.build("llama"), zoo.tokenizer(), name="tiny")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    data = folder / "docs.jsonl"
    docs = [
        {"thing": thing, "choices": ["box", "bag", "drawer by the door"][: 2 + i % 2], "answer": i % 2,
         "prose": f"The {thing} is in the box. " * (1 + 3 * i)}
        for i, thing in enumerate(THINGS)
    ]  # fmt: skip
    data.write_text("\n".join(map(json.dumps, docs)))
    for name, text in {"choice": CHOICE, "text": TEXT, "written": WRITTEN}.items():
        (folder / f"{name}.yaml").write_text(text.format(data=data))
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.getbasetemp() / "datasets"))


def lesion(*units):
    return Lesion(UnitMask.of({Site(1, "resid_post"): list(units)}, n=32))


def theirs(lm, task, *, rolling=False):
    """What lm-eval itself makes of the same weights; of rolling texts without a second BOS, which it would price behind the first."""
    plain = {"add_bos_token": False} if rolling else {}
    model = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=3, max_length=128, **plain)
    manager = TaskManager(include_defaults=False)
    return lm_eval.simple_evaluate(model, tasks=[str(task)], bootstrap_iters=0, task_manager=manager)


@pytest.mark.parametrize("name", ["choice", "text", "written"])
def test_an_intact_model_scores_as_in_lm_eval_itself(lm, tasks, name):
    ours, wanted = evaluate(lm, [tasks / f"{name}.yaml"]), theirs(lm, tasks / f"{name}.yaml", rolling=name == "text")
    ((task, values),) = wanted["results"].items()
    for row in ours.metrics.rows(named=True):
        assert row["value"] == pytest.approx(values[f"{row['metric']},{row['filter']}"], rel=1e-5)
    assert ours.metrics["task"].unique().to_list() == [task]
    assert ours.metrics["n"].to_list() == [len(THINGS)] * len(ours.metrics)
    assert ours.versions == {task: str(wanted["versions"][task])}
    assert ours.condition == ()


def requests(*args):
    return [SimpleNamespace(args=own) for own in args]


def test_log_likelihoods_and_greediness_are_those_of_lm_eval(lm):
    own, other = Harness(lm), HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=2, max_length=128)
    (best,) = lm.generate(["The key is in the"], max_new_tokens=2)
    asked = requests(
        ("The key is in the", " box"),
        ("The key is in the", " drawer"),
        ("The key is in the", best),
        ("The key is in the ", "box"),
        ("", "A sentence from its very first word."),
        ("", "Another one."),
        ("long " * 40, "end"),
    )
    for (ours, greedy), (wanted, is_greedy) in zip(
        own.loglikelihood(asked), other.loglikelihood(asked, disable_tqdm=True), strict=True
    ):
        assert ours == pytest.approx(wanted, abs=1e-4)
        assert greedy == is_greedy
    assert own.loglikelihood(asked)[2][1]
    assert own.cut == 2
    texts = requests(("short",), ("a text that is longer than the model " * 9,))
    other = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=2, max_length=128, add_bos_token=False)
    assert own.loglikelihood_rolling(texts) == pytest.approx(other.loglikelihood_rolling(texts), abs=1e-3)


def test_written_texts_are_those_of_lm_eval(lm):
    own, other = Harness(lm), HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=2, max_length=128)
    how = {"until": ["a", "\n"], "max_gen_toks": 9, "do_sample": False}
    asked = requests(("Where is it?", how), ("A longer question: where is it now?", {"until": [], "max_gen_toks": 4}))
    assert own.generate_until(asked) == other.generate_until(asked, disable_tqdm=True)


@pytest.mark.parametrize("name", ["choice", "text", "written"])
def test_a_lesion_is_in_force_and_is_gone_again(lm, tasks, name):
    before = evaluate(lm, [tasks / f"{name}.yaml"])
    with lm.under(lesion(*range(28))):
        under = evaluate(lm, [tasks / f"{name}.yaml"])
        assert under.condition == lm.condition != ()
    assert under.samples["response"].to_list() != before.samples["response"].to_list()
    assert under.samples.drop("value", "response").equals(before.samples.drop("value", "response"))
    assert evaluate(lm, [tasks / f"{name}.yaml"]).samples.equals(before.samples)


def test_no_condition_is_answered_from_the_record_of_another(lm, tasks, tmp_path):
    task, cache = [tasks / "choice.yaml"], tmp_path / "answers.sqlite"
    conditions = [(), (lesion(*range(28)),), (lesion(*range(4, 32)),), (lesion(*range(28)), lesion(*range(4, 32)))]
    bare, kept = [], []
    for condition in conditions:
        with lm.under(*condition):
            bare.append(evaluate(lm, task).samples)
            kept.append(evaluate(lm, task, cache=cache).samples)
    responses = [found["response"].to_list() for found in kept]
    assert all(a != b for i, a in enumerate(responses) for b in responses[:i])
    assert all(a.equals(b) for a, b in zip(kept, bare, strict=True))
    with sqlite3.connect(cache) as store:
        ((n,),) = store.execute("SELECT count(*) FROM kept")
    store.close()
    assert n == len(conditions) * sum(2 + i % 2 for i in range(len(THINGS)))


def test_what_is_on_record_is_not_asked_again(lm, tasks, tmp_path, monkeypatch):
    task, cache = [tasks / "choice.yaml"], tmp_path / "answers.sqlite"
    first = evaluate(lm, task, cache=cache)
    monkeypatch.setattr(LM, "call", lambda *_, **__: pytest.fail("the model was asked"))
    assert evaluate(lm, task, cache=cache).samples.equals(first.samples)
    with lm.under(lesion(0)), pytest.raises(pytest.fail.Exception):
        evaluate(lm, task, cache=cache)


def test_other_weights_have_other_answers(lm, tmp_path):
    other = LM.wrap(fresh({"model_type": "llama", **zoo.LLAMA}, seed=7), zoo.tokenizer(), name=lm.name)
    asked = requests(("The key is in the", " box"))
    cache = tmp_path / "answers.sqlite"
    assert Harness(lm, cache=cache).loglikelihood(asked) == Harness(lm).loglikelihood(asked)
    assert Harness(other, cache=cache).loglikelihood(asked) == Harness(other).loglikelihood(asked)


def test_a_killed_run_keeps_what_was_answered(lm, tmp_path, monkeypatch):
    from broca.scoring import harness_model

    monkeypatch.setattr(harness_model, "_CHUNK", 2)
    cache, seen = tmp_path / "answers.sqlite", []
    asked = requests(*(("The key is in the", f" box {i}") for i in range(6)))

    class Stopped(Harness):
        def _loglikelihood_tokens(self, requests, **how):
            seen.append(len(requests))
            if len(seen) == 3:
                raise KeyboardInterrupt
            return super()._loglikelihood_tokens(requests, **how)

    with pytest.raises(KeyboardInterrupt):
        Stopped(lm, cache=cache).loglikelihood(asked)
    (found, wanted) = (model.loglikelihood(asked) for model in (Stopped(lm, cache=cache), Harness(lm)))
    assert [logprob for logprob, _ in found] == pytest.approx([logprob for logprob, _ in wanted])
    assert seen == [2, 2, 2, 2]


def test_sampled_texts_are_written_anew(lm, tmp_path):
    own = Harness(lm, cache=tmp_path / "answers.sqlite")
    asked = requests(("Where?", {"until": [], "max_gen_toks": 20, "do_sample": True, "temperature": 1.0}))
    assert own.generate_until(asked) != own.generate_until(asked)


def test_examples_and_limits(lm, tasks):
    found = evaluate(lm, [tasks / "choice.yaml"], limit=2)
    assert found.metrics["n"].to_list() == [2, 2]
    assert found.samples["doc"].unique().to_list() == [0, 1]
    assert math.isfinite(found.metrics["value"][0])


def test_mistakes(lm, tasks, tmp_path):
    with pytest.raises(SpecError, match=r"There is no task file"):
        evaluate(lm, [tmp_path / "gone.yaml"])
    with pytest.raises(SpecError, match=r"No task is named"):
        evaluate(lm, [])
    (tmp_path / "answers").write_text("this is no record of answers at all, but a text of some length" * 20)
    with pytest.raises(RunError, match=r"Answers cannot be kept in .*answers"):
        evaluate(lm, [tasks / "choice.yaml"], cache=tmp_path / "answers")
    with pytest.raises(StimulusError, match=r"1 tokens of context and 0 to be predicted"):
        Harness(lm)._loglikelihood_tokens([(("", ""), [1], [])])
    with pytest.raises(StimulusError, match=r"Ask for fewer new tokens"):
        Harness(lm).generate_until(requests(("Where?", {"until": [], "max_gen_toks": 128})))


def test_an_intervention_that_never_ran_is_no_result(lm):
    class Idle:
        fingerprint, reads_prompt = "idle", False

        def apply(self, _):
            return nullcontext({Site(0, "z"): 0})

    with lm.under(Idle()), pytest.raises(GuardError, match=r"0\.z did not run"):
        Harness(lm).loglikelihood(requests(("The key", " box")))
