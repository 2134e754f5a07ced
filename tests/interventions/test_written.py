"""Lesions as they are written in a notebook: they work at once, or fail at once in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import broca
import zoo
from broca.errors import SelectionError, SiteUnavailable, StimulusError, UnknownName
from broca.interventions.lesion import Keep, Mean, Noise, Resample, Zero
from broca.sites import Site
from broca.units import UnitMask

TEXTS = ["the box is red", "the bag", "a hat is here"]
UNITS = UnitMask.of({"1.resid_post": [3, 5]}, n=32)


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


@pytest.mark.parametrize(
    ("written", "mask"),
    [
        ("1.2", UnitMask.heads("1.2", n_heads=4)),
        ("0.1, 1.2", UnitMask.heads("0.1,1.2", n_heads=4)),
        ("1.resid_post:3,5", UNITS),
        ("0.group:1", UnitMask.of({"0.z": [1]}, n=2, grain="group")),
    ],
)
def test_what_is_written_is_what_is_meant(lm, written, mask):
    with lm.under(broca.Lesion(mask)):
        expected, condition = lm.logits(TEXTS[0]), lm.condition
    with lm.under(broca.Lesion(written)):
        assert torch.equal(lm.logits(TEXTS[0]), expected)
        assert lm.condition == condition
    assert not torch.equal(lm.logits(TEXTS[0]), expected)
    with broca.Lesion(written).apply(lm):
        assert torch.equal(lm.logits(TEXTS[0]), expected)


def test_a_file_of_a_mask(lm, tmp_path):
    assert broca.Lesion(str(UNITS.save(tmp_path / "mask.safetensors"))).units == UNITS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "names nothing. Give heads such as"),
        ("heads", "heads"),
        ("1.2.3", "is not a head. Write LAYER.HEAD"),
        ("1.nonsense:3", "nonsense"),
        ({"1.z": [2]}, r"dict is no selection of units. Give a UnitMask, or write one: Lesion\('23.4, 29.1'\)"),
        (None, "NoneType is no selection"),
    ],
)
def test_what_is_no_selection_is_refused_when_it_is_written(given, message):
    with pytest.raises((SelectionError, SiteUnavailable), match=message):
        broca.Lesion(given)


@pytest.mark.parametrize(
    ("written", "message"),
    [("1.9", r"no head 1\.9. This model has layers 0 to 2"), ("1.resid_post:99", "99"), ("9.z:0", r"9\.z")],
)
def test_what_the_model_has_not_is_refused_when_it_is_put_in_force(lm, written, message):
    with pytest.raises((SelectionError, SiteUnavailable), match=message), lm.under(broca.Lesion(written)):
        pass
    assert lm.condition == ()


def test_fills_by_name():
    assert broca.Lesion(UNITS, fill="zero").fill == Zero()
    assert broca.Lesion(UNITS, fill="keep").fill == Keep()
    with pytest.raises(UnknownName, match=r"fill 'meen' is not known. Did you mean 'mean'"):
        broca.Lesion(UNITS, fill="meen")
    for name in ("mean", "noise", "resample"):
        with pytest.raises(
            SelectionError, match=rf"is measured on texts.*broca\.measure_fill\('{name}', lm, units, texts\)"
        ):
            broca.Lesion(UNITS, fill=name)


def test_fills_are_measured_on_texts(lm):
    site = Site(1, "resid_post")
    seen = [broca.capture(lm, text, site).values.double().numpy() for text in TEXTS]
    means = np.stack([values[1:].mean(0) for values in seen])
    mean = broca.measure_fill("mean", lm, "1.resid_post:3,5", TEXTS)
    assert isinstance(mean, Mean)
    np.testing.assert_allclose(mean.at[site], means.mean(0), atol=1e-5)
    noise = broca.measure_fill("noise", lm, UNITS, TEXTS, seed=4)
    assert isinstance(noise, Noise)
    assert noise.seed == 4
    np.testing.assert_allclose(noise.std[site] ** 2, means.var(0, ddof=1), atol=1e-5)
    bank = broca.measure_fill("resample", lm, UNITS, TEXTS)
    assert isinstance(bank, Resample)
    np.testing.assert_allclose(bank.bank[site], np.stack([values[-1] for values in seen]), atol=1e-5)
    assert broca.measure_fill("zero", lm, UNITS, []) == Zero()
    with lm.under(broca.Lesion("1.resid_post:3,5", fill=mean)):
        held = broca.capture(lm, TEXTS[1], site).values
    assert held[:, 3].tolist() == pytest.approx([mean.at[site][3]] * 8)
    with pytest.raises(StimulusError, match="is measured on texts, and none is given"):
        broca.measure_fill("mean", lm, UNITS, [])
    with pytest.raises(UnknownName, match="fill 'median' is not known"):
        broca.measure_fill("median", lm, UNITS, TEXTS)


def test_one_text_is_enough(lm):
    one = broca.measure_fill("mean", lm, UNITS, TEXTS[0])
    assert isinstance(one, Mean)
    many = broca.measure_fill("mean", lm, UNITS, TEXTS[:1])
    assert one.fingerprint == many.fingerprint
