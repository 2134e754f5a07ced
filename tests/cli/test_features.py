"""Dictionaries on the command line: held, handed on, and refused where they would do nothing."""

from __future__ import annotations

import json

import pytest

import broca


def test_features_are_localized_where_a_dictionary_is_given_and_the_next_command_keeps_it(typed, here):
    words = ("--contrast", "beliefs/outdated", "--options.detail", "0", "--options.n", "12", "--permutations", "0")
    code, out, err = typed("localize", "routed", "--features", "routed", *words, "--percent", "10", "--out", "runs")
    assert code == 0, err
    (path,) = here.glob("runs/localize-*")
    run = broca.open_run(path)
    assert run.spec["study"]["sites"] == "*.feature"
    assert run.spec["model"]["features"] == ["routed"]
    assert "--features routed" in " ".join((out + err).split())


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("localize", "routed", "--features", "routed", "--sites", "*.z"), "--features does nothing"),
        (("lesion", "tiny", "--heads", "0.1", "--items", "q.jsonl", "--features", "routed"), "--features does nothing"),
        (("localize", "tiny", "--contrast", "c.csv", "--features", "absent.npz"), "is no dictionary"),
        (
            ("localize", "tiny", "--contrast", "c.csv", "--features", "routed"),
            "is for 160 units at 0.z, this model has 32",
        ),
        (("localize", "tiny", "--contrast", "c.csv", "--sites", "*.feature"), "no dictionary of this layer"),
        (("lesion", "tiny", "--units", "0.feature:1", "--items", "q.jsonl"), "no dictionary of this layer"),
        (("score", "tiny", "--items", "q.jsonl", "--features", "routed"), "--features does nothing"),
        (("score", "tiny", "--items", "q.jsonl", "--units", "0.feature:1"), "no dictionary of this layer"),
        (("perturb", "sums", "--n", "16", "--features", "routed"), "--features does nothing"),
        (("perturb", "sums", "--n", "16", "--select", "features"), "no dictionary"),
        (("direction", "tiny", "--direction", "0.feature:1", "--items", "q.jsonl"), "no dictionary of this layer"),
        (
            ("direction", "tiny", "--direction", "d.safetensors", "--contrast", "c.csv", "--items", "q.jsonl"),
            "--contrast does nothing beside",
        ),
        (
            ("direction", "tiny", "--direction", "d.safetensors", "--items", "q.jsonl"),
            "There is no direction at d.safetensors",
        ),
        (("direction", "tiny", "--doses", "0,nan", "--contrast", "c.csv", "--items", "q.jsonl"), "finite number"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(words, what, typed):
    code, out, err = typed(*words)
    assert code != 0
    assert what in " ".join((out + err).split())


def test_a_lesion_of_features_is_scored_under_and_is_no_checkpoint(typed, here):
    broca.UnitMask.of({"0.feature": [1, 12]}, n=384).save(here / "units.safetensors")
    items = [
        {"prompt": f"Question: What is 1 plus {i}?\nAnswer:", "choices": [" 2", " 3"], "answer": i % 2} for i in (1, 2)
    ]
    (here / "sums.jsonl").write_text("\n".join(map(json.dumps, items)))
    code, out, err = typed(
        "score",
        "routed",
        "--items",
        "sums.jsonl",
        "--units",
        "units.safetensors",
        "--features",
        "routed",
        "--rows",
        "rows.jsonl",
    )
    assert code == 0, err
    assert len((here / "rows.jsonl").read_text().splitlines()) == 2
    code, out, err = typed("export", "units.safetensors", "--model", "tiny", "--to", "masked")
    assert code != 0
    assert "no chosen weights" in " ".join((out + err).split())


def test_a_lesion_from_a_run_takes_its_dictionaries_along(typed, here):
    words = ("--contrast", "beliefs/outdated", "--options.detail", "0", "--options.n", "12", "--permutations", "0")
    code, _, err = typed("localize", "routed", "--features", "routed", *words, "--percent", "10", "--out", "runs")
    assert code == 0, err
    (run,) = here.glob("runs/localize-*")
    items = [
        {"prompt": f"Question: what is 1 plus {i}?\nAnswer:", "choices": [" 2", " 3"], "answer": i % 2}
        for i in (1, 2, 1, 2)
    ]
    (here / "sums.jsonl").write_text("\n".join(map(json.dumps, items)))
    few = ("--items", "sums.jsonl", "--draws", "2", "--gate", "mark", "--fills", "zero", "--sizes", "1.5")
    code, out, err = typed("lesion", "routed", "--from", run, *few, "--dry-run")
    assert code == 0, err
    assert "--features routed" in " ".join((out + err).split())
