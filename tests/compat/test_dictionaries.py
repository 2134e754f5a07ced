"""Files of SAELens, Gemma Scope and sparsify, written as those programs write them, and read as what they mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import broca
from broca.errors import SelectionError, SiteUnavailable
from broca.sites import Site
from dictionaries import decoded, dictionary, features, gemma_scope, saelens, saelens_arrays, sparsify

X = np.random.default_rng(1).normal(size=8)


def same(found, given):
    assert np.allclose(features(found, X), features(given, X), atol=1e-6)
    assert np.allclose(decoded(found, X), decoded(given, X), atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("relu", {}),
        ("relu", {"apply_b_dec_to_input": False}),
        ("relu", {"normalize_activations": "layer_norm"}),
        ("relu", {"normalize_activations": "constant_norm_rescale"}),
        ("gated", {"architecture": "gated"}),
        ("jumprelu", {"architecture": "jumprelu"}),
        ("topk", {"architecture": "topk", "k": 5}),
        ("abstopk", {"architecture": "abstopk", "k": 5}),
        ("topk", {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}}),
    ],
)
def test_saelens(architecture, config, tmp_path):
    norm = {"layer_norm": "layer_norm", "constant_norm_rescale": "constant_norm"}.get(
        config.get("normalize_activations"), "none"
    )
    given = dictionary(architecture, centred=config.get("apply_b_dec_to_input", True), norm=norm)
    found = broca.read_dictionary(saelens(tmp_path / "sae", saelens_arrays(given), **config))
    assert found.architecture == architecture
    assert found.source == found.writes_to == Site(1, "resid_post")
    assert found.about["model_name"] == "tiny"
    same(found, given)


def test_a_config_of_before_version_6_says_where_it_is_by_older_names(tmp_path):
    older = {"metadata": {}, "hook_point": "blocks.3.attn.hook_z", "model_name": "tiny", "normalize_activations": False}
    found = broca.read_dictionary(saelens(tmp_path / "sae", saelens_arrays(dictionary()), **older))
    assert found.source == Site(3, "z")


def test_the_rescaling_of_top_k_by_decoder_norms_is_folded_in(tmp_path):
    given = dictionary("topk")
    norm = np.linalg.norm(given.decoder, axis=1)
    found = broca.read_dictionary(
        saelens(tmp_path / "sae", saelens_arrays(given), architecture="topk", k=5, rescale_acts_by_decoder_norm=True)
    )
    p = (X - given.decoder_bias) @ given.encoder + given.bias
    chosen = np.argsort(-p * norm)[:5]
    assert set(np.flatnonzero(features(found, X))) == {i for i in chosen if p[i] > 0}
    wanted = sum(max(p[i], 0) * given.decoder[i].astype(float) for i in chosen) + given.decoder_bias
    assert np.allclose(decoded(found, X), wanted, atol=1e-6)


def test_the_scale_of_the_inputs_is_asked_for_and_folded_in(tmp_path):
    given, scale = dictionary("jumprelu"), 2.5
    folder = saelens(
        tmp_path / "sae",
        saelens_arrays(given),
        architecture="jumprelu",
        normalize_activations="expected_average_only_in",
    )
    with pytest.raises(SelectionError, match="scale="):
        broca.read_dictionary(folder)
    found = broca.read_dictionary(folder, scale=scale)
    assert np.allclose(features(found, X), features(given, X * scale), atol=1e-6)
    assert np.allclose(decoded(found, X), decoded(given, X * scale) / scale, atol=1e-6)
    with pytest.raises(SelectionError, match="asks for none"):
        broca.read_dictionary(saelens(tmp_path / "other", saelens_arrays(given), architecture="jumprelu"), scale=scale)


@pytest.mark.parametrize("skips", [False, True])
def test_transcoders_read_the_mlps_input_and_write_its_output(skips, tmp_path):
    skip = {"skip": np.random.default_rng(5).normal(size=(8, 8))} if skips else {}
    given = dictionary(site="2.mlp_in", target=Site(2, "mlp_out"), centred=False, **skip)
    places = {"hook_name": "blocks.2.mlp.hook_in", "hook_name_out": "blocks.2.hook_mlp_out"}
    kind = "skip_transcoder" if skips else "transcoder"
    found = broca.read_dictionary(
        saelens(
            tmp_path / "t",
            saelens_arrays(given),
            architecture=kind,
            d_out=8,
            metadata=places,
            apply_b_dec_to_input=False,
        )
    )
    assert (found.source, found.writes_to, found.centred) == (Site(2, "mlp_in"), Site(2, "mlp_out"), False)
    same(found, given)


def test_a_transcoder_that_is_given_its_site_writes_there_and_reads_the_mlps_input(tmp_path):
    given = dictionary(site="2.mlp_in", target=Site(2, "mlp_out"), centred=False)
    folder = saelens(
        tmp_path / "t", saelens_arrays(given), architecture="transcoder", d_out=8, apply_b_dec_to_input=False
    )
    found = broca.read_dictionary(folder, site="2.mlp_out")
    assert (found.source, found.writes_to) == (Site(2, "mlp_in"), Site(2, "mlp_out"))
    same(found, given)
    with pytest.raises(SelectionError, match="those of an MLP"):
        broca.read_dictionary(folder, site="2.resid_post")


def test_of_gpt2_what_is_written_to_the_stream_has_no_mean(tmp_path):
    arrays = saelens_arrays(dictionary())
    of = {"hook_name": "blocks.1.hook_resid_pre", "model_name": "gpt2-small"}
    assert broca.read_dictionary(saelens(tmp_path / "a", arrays, metadata=of)).without_mean
    whole = of | {"model_from_pretrained_kwargs": {"center_writing_weights": False}}
    assert not broca.read_dictionary(saelens(tmp_path / "b", arrays, metadata=whole)).without_mean
    heads = of | {"hook_name": "blocks.1.attn.hook_z"}
    assert not broca.read_dictionary(saelens(tmp_path / "c", arrays, metadata=heads)).without_mean


def test_sparsify(tmp_path):
    given = dictionary("topk", site="1.resid_post")
    found = broca.read_dictionary(sparsify(tmp_path / "layers.1", given))
    assert found.source == Site(1, "resid_post")
    same(found, given)
    assert broca.read_dictionary(sparsify(tmp_path / "h.3.mlp", given)).source == Site(3, "mlp_out")


def test_sparsify_transcodes(tmp_path):
    skip = np.random.default_rng(5).normal(size=(8, 8))
    given = dictionary("topk", site="1.mlp_in", target=Site(1, "mlp_out"), centred=False, skip=skip)
    found = broca.read_dictionary(sparsify(tmp_path / "layers.1.mlp", given, transcode=True, skip_connection=True))
    assert (found.source, found.writes_to) == (Site(1, "mlp_in"), Site(1, "mlp_out"))
    same(found, given)
    with pytest.raises(SelectionError, match="those of an MLP"):
        broca.read_dictionary(sparsify(tmp_path / "layers.1", given, transcode=True))


def test_gemma_scope(tmp_path):
    given = dictionary("jumprelu", centred=False)
    path = gemma_scope(tmp_path / "average_l0_5" / "params.npz", given)
    found = broca.read_dictionary(path, site="1.resid_post")
    same(found, given)
    assert broca.read_dictionary(f"1.resid_post={path}").fingerprint == found.fingerprint
    with pytest.raises(SelectionError, match="does not say where it is"):
        broca.read_dictionary(path)


def test_pickled_arrays_are_never_unpickled(tmp_path):
    given = dictionary("jumprelu")
    path = gemma_scope(tmp_path / "params.npz", given, b_enc=np.array([print], dtype=object))
    with pytest.raises(SelectionError, match="no numbers"):
        broca.read_dictionary(path, site="1.resid_post")


def wrong(folder, **config):
    return saelens(folder, saelens_arrays(dictionary()), **config)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda f: wrong(f, architecture="temporal"), "Read are standard"),
        (lambda f: wrong(f, d_in=20, d_sae=8), "transposed"),
        (lambda f: wrong(f, normalize_activations="covariance_whitening"), "normalises"),
        (lambda f: wrong(f, architecture="gated"), "has no 'b_gate'"),
        (lambda f: wrong(f, metadata={"hook_name": "blocks.1.hook_resid_mid"}), "no site is"),
        (lambda f: wrong(f, metadata={"hook_name": "blocks.1.ln2.hook_normalized"}), "before its gain"),
        (lambda f: wrong(f, metadata={}), "does not say where"),
        (lambda f: wrong(f, metadata={"hook_name": "blocks.1.attn.hook_z", "hook_head_index": 2}), "single head"),
        (lambda f: sparsify(f, dictionary("topk")), "no site that is known"),
        (lambda f: sparsify(f.parent / "layers.1", dictionary("topk"), activation="groupmax"), "Read is topk"),
        (lambda f: sparsify(f.parent / "layers.1", replace(dictionary("topk"), encoder=np.ones((8, 20))), k=0), "greater than"),
        (lambda f: f.parent / "absent", "is no dictionary"),
        (lambda f: gemma_scope(f.parent / "p.npz", replace(dictionary("jumprelu"), centred=False), W_enc=np.ones((20, 8))), "does not say"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_in_a_sentence(make, what, tmp_path):
    with pytest.raises(SelectionError, match=what):
        broca.read_dictionary(make(tmp_path / "sae"))


def test_a_transposed_npz_and_a_site_that_is_none_are_refused(tmp_path):
    given = dictionary("jumprelu", centred=False)
    path = gemma_scope(tmp_path / "p.npz", given, W_enc=given.encoder.T, W_dec=given.decoder.T)
    with pytest.raises(SelectionError, match="transposed"):
        broca.read_dictionary(path, site="1.resid_post")
    with pytest.raises(SiteUnavailable):
        broca.read_dictionary(path, site="1.nowhere")


def test_the_shipped_dictionary_is_small_and_of_its_organism():
    found = broca.read_dictionary("routed")
    assert found.source == Site(0, "z")
    assert (found.n_features, found.architecture, found.k) == (384, "topk", 12)
