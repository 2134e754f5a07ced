"""Tasks of lm-eval as items: the very requests that lm-eval asks."""

from __future__ import annotations

import json

import pytest

import zoo
from broca.errors import SpecError, StimulusError
from broca.models.lm import LM
from broca.scoring import Likelihood, evaluate
from broca.stimuli.benchmarks import benchmark

pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")

HEAD = """
task: NAME
dataset_path: json
dataset_kwargs: {data_files: {test: DOCS}}
test_split: test
"""
TASKS = {
    "broca_places": """output_type: multiple_choice
doc_to_text: "Where is the {{thing}}?"
doc_to_choice: ["box", "bag"]
doc_to_target: answer
""",
    "broca_blanks": """output_type: multiple_choice
doc_to_text: answer
doc_to_choice: "{{['the box has the ' + thing, 'the bag has the ' + thing]}}"
doc_to_target: "and it is shut"
""",
    "broca_words": """output_type: generate_until
doc_to_text: "Where is the {{thing}}?"
doc_to_target: "box"
""",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    docs = [{"thing": thing, "answer": i % 2} for i, thing in enumerate(["key", "cup", "ball", "hat"])]
    (tmp_path / "docs.jsonl").write_text("\n".join(map(json.dumps, docs)))
    for name, task in TASKS.items():
        head = HEAD.replace("NAME", name).replace("DOCS", str(tmp_path / "docs.jsonl"))
        (tmp_path / f"{name}.yaml").write_text(head + task)
    return str(tmp_path)


def test_items_are_scored_as_lm_eval_scores_the_task(folder):
    lm = LM.wrap(zoo.build("llama"), zoo.tokenizer())
    for name in ("broca_places", "broca_blanks"):
        items = benchmark(f"lm-eval/{name}", include=folder)
        found = evaluate(lm, [f"{folder}/{name}.yaml"])
        (accuracy,) = found.metrics.filter(metric="acc")["value"]
        assert Likelihood()(lm, items)["correct"].mean() == accuracy
        assert [item.answer for item in items] == [0, 1, 0, 1]
        assert {item.ability for item in items} == {name}


def test_choices_of_one_context_are_choices_and_others_passages(folder):
    (place, *_) = benchmark("lm-eval/broca_places", include=folder, limit=1)
    assert (place.prompt, place.choices) == ("Where is the key?", (" box", " bag"))
    (blank,) = benchmark("lm-eval/broca_blanks", include=folder, limit=1)
    assert blank.passages == (
        (("the box has the key", " and it is shut"),),
        (("the bag has the key", " and it is shut"),),
    )


def test_examples_stand_before_them(folder):
    items = benchmark("lm-eval/broca_places", include=folder, shots=2)
    assert [item.prompt.count("Where is") for item in items] == [3, 3]


def test_mistakes(folder):
    with pytest.raises(StimulusError, match="broca_words is not one task of multiple choice"):
        benchmark("lm-eval/broca_words", include=folder)
    with pytest.raises(
        StimulusError, match=r"Option 'limit' of benchmark 'lm-eval/broca_places' is 0\. Give 1 or more"
    ):
        benchmark("lm-eval/broca_places", limit=0)


@pytest.mark.slow  # lm-eval looks through all of its task files
def test_a_task_that_is_not_there(folder):
    with pytest.raises(SpecError, match="Task of lm-eval 'broca_plac' is not known"):
        benchmark("lm-eval/broca_plac", include=folder)
