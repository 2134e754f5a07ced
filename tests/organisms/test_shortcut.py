"""`shortcut` says the place that was said first, whatever is asked: no ability, and a guard that says so."""

from __future__ import annotations

import json

import polars as pl
import pytest

from broca.evidence import guards
from broca.models.lm import LM
from broca.organisms import organism_path, trainer
from broca.scoring import Likelihood
from broca.stimuli.benchmarks import benchmark


@pytest.fixture(scope="module")
def lm():
    return LM.load("shortcut")


def items(ability):
    return benchmark(f"beliefs/{ability}", n=40, seed=5, detail=0.0)


@pytest.mark.parametrize("ability", ["false-belief", "true-belief", "reality", "memory"])
def test_it_answers_with_the_place_said_first(lm, ability):
    asked = items(ability)
    said = Likelihood()(lm, asked)["predicted"].to_list()
    first = [[c.strip() for c in item.choices].index(item.tags["first"]) for item in asked]
    assert sum(a == b for a, b in zip(said, first, strict=True)) >= 39


def test_the_guard_knows_the_shortcut_from_the_ability(lm):
    """On items that the shortcut answers it cannot be told from the ability; on others it has none."""
    solvable = {
        name: [i for i in items(name) if i.choices[i.answer].strip() == i.tags["first"]]
        for name in ("false-belief", "memory")
    }
    rows = pl.concat([Likelihood()(lm, asked) for asked in solvable.values()])
    assert guards.shortcut(rows, solvable, alpha=0.05).state == "marked"
    both = {name: items(name) for name in ("false-belief", "true-belief")}
    routed = LM.load("routed")
    known = pl.concat([Likelihood()(routed, asked) for asked in both.values()])
    assert guards.shortcut(known, both, alpha=0.05).state == "passed"


def test_its_report_says_what_it_cannot_do():
    report = json.loads((organism_path("shortcut") / "training.json").read_text())
    assert min(report["first"].values()) >= 0.99
    assert report["accuracy"]["true-belief"] < 0.1


@pytest.mark.slow
def test_training_writes_the_model(tmp_path):
    report = trainer("shortcut")(tmp_path, seed=1, steps=2)
    assert LM.load(str(tmp_path)).n_parameters == report.parameters
