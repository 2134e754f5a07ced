"""Dictionaries as values: formulas against the papers' own, feature by feature; what they refuse; files bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import broca
from broca.errors import SelectionError
from broca.models.coding import coder
from broca.sites import Site
from dictionaries import ARCHITECTURES, NORMS, decoded, dictionary, features

X = np.random.default_rng(3).normal(size=(2, 7, 8)) * 1.5


def coded(own, x=X, dtype=torch.float64):
    given = torch.from_numpy(x).to(dtype)
    made = coder(own, given)
    return made, given, made.encode(given)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_and_what_they_stand_for_are_those_of_the_formulas(architecture, centred, norm):
    own = dictionary(architecture, centred=centred, norm=norm)
    made, _, code = coded(own)
    wanted = np.array([[features(own, x) for x in row] for row in X])
    assert 0.05 < (wanted != 0).mean() < 0.9
    assert np.allclose(code.features.numpy(), wanted, atol=1e-9)
    assert np.allclose(made.decode(code).numpy(), [[decoded(own, x) for x in row] for row in X], atol=1e-9)


@pytest.mark.parametrize("norm", NORMS)
def test_a_mean_that_was_taken_out_comes_back(norm):
    own = dictionary(norm=norm, without_mean=True)
    made, _, code = coded(own, X + 3)
    assert np.allclose(made.decode(code).numpy(), [[decoded(own, x) for x in row] for row in X + 3], atol=1e-9)


def test_a_transcoder_writes_elsewhere_with_a_skip_and_without_the_scale_of_its_input():
    skip = np.random.default_rng(9).normal(size=(8, 6))
    own = dictionary("jumprelu", out=6, site="1.mlp_in", target=Site(1, "mlp_out"), centred=False, skip=skip)
    assert own.is_transcoder
    assert own.layer == 1
    made, _, code = coded(own)
    assert code.scale is None
    assert np.allclose(made.decode(code).numpy(), [[decoded(own, x) for x in row] for row in X], atol=1e-9)


def test_a_pre_activation_at_the_threshold_does_not_fire():
    own = dictionary("jumprelu", d=2, n=2, centred=False)
    own = replace(own, encoder=np.eye(2), bias=np.zeros(2), threshold=np.array([0.5, 0.5]))
    _, _, code = coded(own, np.array([[[0.5, 0.75]]]))
    assert code.features.tolist() == [[[0.0, 0.75]]]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_put_back_as_they_were_move_nothing_bit_for_bit(architecture, norm):
    own = dictionary(architecture, norm=norm)
    made, x, code = coded(own, dtype=torch.float32)
    assert made.move(x, code, code.features.clone()) is x
    changed = code.features.clone()
    changed[0, 0] = 0
    moved = made.move(x, code, changed)
    assert torch.equal(moved[:, 1:], x[:, 1:])
    assert not torch.equal(moved[0, 0], x[0, 0])


@pytest.mark.parametrize("norm", NORMS)
def test_an_edit_is_the_reconstruction_of_the_edited_features_and_the_old_error(norm):
    own = dictionary("topk", norm=norm)
    made, x, code = coded(own)
    error = x - made.decode(code)
    changed = code.features * torch.linspace(0, 2, own.n_features, dtype=torch.float64)
    rebuilt = made.decode(replace(code, features=changed)) + error
    assert torch.allclose(made.move(x, code, changed), rebuilt, atol=1e-12)


def test_the_gradient_of_a_feature_is_that_of_what_it_writes_and_nothing_is_lost_below():
    own = dictionary("relu", norm="layer_norm")
    made, x, _ = coded(own)
    x = x.requires_grad_()
    with torch.enable_grad():
        code = made.encode(x)
        own_features = code.features.clone()
        weights = torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        total = (made.move(x, code, own_features) @ weights).sum()
        to_features, to_x = torch.autograd.grad(total, [own_features, x])
    assert torch.allclose(to_features, code.scale * (made.decoder @ weights))
    assert torch.allclose(to_x, weights.expand_as(x))


def test_half_precision_goes_through_float32():
    own = dictionary("jumprelu")
    _, _, code = coded(own, dtype=torch.bfloat16)
    assert code.features.dtype == torch.float32


# -- files and refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_file_comes_back_bit_for_bit(architecture, tmp_path):
    given = dictionary(architecture, model="abc", norm="layer_norm", about={"name": "x"})
    found = broca.Dictionary.load(given.save(tmp_path / "d.safetensors"))
    assert found.fingerprint == given.fingerprint
    assert found.about["name"] == "x"
    assert np.array_equal(found.decoder, given.decoder)


def test_numbers_that_half_precision_holds_take_two_bytes(tmp_path):
    given = dictionary(n=64)
    halved = replace(given, encoder=given.encoder.astype(np.float16), decoder=given.decoder.astype(np.float16))
    whole, small = (own.save(tmp_path / f"{i}.safetensors") for i, own in enumerate((given, halved)))
    assert small.stat().st_size < 0.7 * whole.stat().st_size
    assert broca.Dictionary.load(small).fingerprint == halved.fingerprint


def test_a_damaged_file_and_another_kind_of_file_are_refused(tmp_path):
    path = dictionary().save(tmp_path / "d.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(SelectionError, match="damaged"):
        broca.Dictionary.load(path)
    broca.UnitMask.of({"0.z": [1]}, n=4).save(tmp_path / "m.safetensors")
    with pytest.raises(SelectionError, match="not a dictionary"):
        broca.Dictionary.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"encoder": np.ones((20, 8))}, "transposed"),
        ({"decoder": np.ones((8, 20))}, "transposed"),
        ({"bias": np.ones(3)}, "must be"),
        ({"bias": np.full(20, np.nan)}, "not finite"),
        ({"architecture": "jumprelu"}, "has a threshold"),
        ({"architecture": "gated", "gain": np.ones(20)}, "has a magnitude"),
        ({"architecture": "topk"}, "k is 0"),
        ({"architecture": "topk", "k": 21}, "k is 21"),
        ({"architecture": "temporal"}, "Choose one of"),
        ({"norm": "unit"}, "Choose one of"),
        ({"encoder": np.ones(8)}, "Give \\(input, feature\\)"),
        ({"target": Site(3, "mlp_out")}, "of another layer"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_a_sentence(more, what):
    with pytest.raises(SelectionError, match=what):
        replace(dictionary(), **more)


def test_an_input_of_another_width_is_not_centred_by_the_output():
    with pytest.raises(SelectionError, match="centred=False"):
        dictionary(out=6)
