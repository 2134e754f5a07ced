"""A dictionary that is trained finds the features that its data were made of."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

import broca
from broca.organisms.dictionary import train_dictionary
from broca.sites import Site


def planted(n=6000, d=24, features=20, k=3, seed=0):
    """(row, unit): sums of k of some directions, at an offset."""
    draw = np.random.default_rng(seed)
    directions = draw.normal(size=(features, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    codes = np.zeros((n, features))
    for row in codes:
        row[draw.permutation(features)[:k]] = draw.uniform(1, 3, size=k)
    return (codes @ directions + draw.normal(size=d)).astype(np.float32), directions


def test_planted_features_are_found_and_the_same_seed_gives_the_same_dictionary():
    rows, directions = planted()
    made, fit = train_dictionary(rows, Site(0, "z"), features=40, k=3, steps=400)
    assert fit.fvu < 0.1
    cosines = np.abs(directions @ (made.decoder / np.linalg.norm(made.decoder, axis=1, keepdims=True)).T).max(1)
    assert np.median(cosines) > 0.8
    again, _ = train_dictionary(rows, Site(0, "z"), features=40, k=3, steps=400)
    assert again.fingerprint == made.fingerprint


def test_its_numbers_are_those_of_half_precision_and_the_callers_generator_is_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    made, fit = train_dictionary(planted(n=2000)[0], Site(0, "z"), features=30, k=3, steps=5)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(made.encoder, made.encoder.astype(np.float16))
    assert np.allclose(np.linalg.norm(made.decoder, axis=1), 1, atol=1e-2)
    assert fit.rows == 200


@pytest.mark.slow
def test_the_example_trains_one_of_any_layer(tmp_path):
    """As `docs/features.md` has it, of another model."""
    script = Path(__file__).resolve().parents[2] / "examples" / "dictionary" / "train.py"
    runpy.run_path(str(script))["main"]("routed", "0.z", str(tmp_path / "d.safetensors"), "beliefs/memory")
    made = broca.read_dictionary(tmp_path / "d.safetensors")
    assert made.about["fvu"] < 0.3
    assert made.model == broca.LM.load("routed").fingerprint
