"""Directions of other programs: on the right block, under the rules of their own readers, and never a pickle that runs."""

from __future__ import annotations

import json
import struct
import warnings

import numpy as np
import pytest
import torch
from gguf import GGUFReader, GGUFWriter
from sklearn.decomposition import PCA

import broca
import zoo
from broca.compat.directions.gguf import read_control_vector
from broca.compat.directions.repeng import repeng_direction
from broca.errors import SelectionError, StimulusError
from broca.models.hooks import copy_sites
from broca.sites import Site


def direction(*layers, width=32, **more):
    draw = np.random.default_rng(0)
    return broca.Direction({f"{layer}.resid_post": draw.normal(size=width) for layer in layers}, **more)


def written(path, vectors, *, count=GGUFWriter.add_uint32, hint="llama", architecture="controlvector"):
    """As repeng (uint32) and llama.cpp's generator (int32) write them."""
    writer = GGUFWriter(path, architecture)
    writer.add_string("controlvector.model_hint", hint)
    if count:
        count(writer, "controlvector.layer_count", len(vectors))
    for name, vector in vectors.items():
        writer.add_tensor(name, vector)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# -- GGUF ------------------------------------------------------------------------------------------------------------


def test_a_control_vector_is_read_back_by_the_package_gguf_as_llama_cpp_wants_it(tmp_path):
    given = direction(1, 5, 12)
    path = broca.write_control_vector(given, tmp_path / "d.gguf", model_type="llama", dose=2)
    found = GGUFReader(path)
    assert found.fields["general.architecture"].contents() == "controlvector"
    assert found.fields["controlvector.model_hint"].contents() == "llama"
    assert found.fields["controlvector.layer_count"].contents() == 3
    assert found.fields["controlvector.layer_count"].types[0].name == "UINT32"
    assert [tensor.name for tensor in found.tensors] == ["direction.1", "direction.5", "direction.12"]
    for tensor, vector in zip(found.tensors, given.vectors.values(), strict=True):
        assert tensor.tensor_type.name == "F32"
        assert tensor.shape.tolist() == [32]
        assert np.array_equal(tensor.data, 2 * vector)


def test_what_was_written_comes_back_at_the_same_blocks(tmp_path):
    given = direction(1, 2)
    lm = zoo.lm("llama")
    found = broca.read_direction(broca.write_control_vector(given, tmp_path / "d.gguf", model_type="llama"), lm)
    assert found.sites == given.sites
    assert all(np.array_equal(found.vectors[site], given.vectors[site]) for site in given.sites)
    assert found.model == lm.fingerprint
    with lm.under(broca.Steer(found, 2)):
        lm.next_logits(lm.pad_batch(lm.tokenize(["abc"])))


def test_repengs_file_lands_on_the_block_of_its_number(tmp_path):
    vectors = {f"direction.{i}": np.full(32, i, np.float32) for i in (1, 2)}
    found = broca.read_direction(written(tmp_path / "r.gguf", vectors), zoo.lm("llama"))
    assert {site.layer: float(vector[0]) for site, vector in found.vectors.items()} == {1: 1.0, 2: 2.0}
    assert found.about["producer"] == "repeng"


def test_a_file_of_llama_cpps_generator_is_refused_by_name_or_shifted(tmp_path):
    vectors = {f"direction.{i}": np.full(32, i, np.float32) for i in (1, 2)}
    path = written(tmp_path / "g.gguf", vectors, count=GGUFWriter.add_int32)
    with pytest.raises(SelectionError, match="cvector-generator, which numbers each vector one block too high"):
        broca.read_direction(path)
    found = broca.read_direction(path, generator="shift")
    assert {site.layer: float(vector[0]) for site, vector in found.vectors.items()} == {0: 1.0, 1: 2.0}


def test_a_file_without_metadata_is_read_as_llama_cpp_reads_it(tmp_path):
    path = written(tmp_path / "n.gguf", {"direction.3": np.ones(8, np.float32)}, count=None, hint="")
    assert read_control_vector(path).producer == "unknown"
    assert broca.read_direction(path).sites == (Site(3, "resid_post"),)


@pytest.mark.parametrize(
    ("vectors", "why"),
    [
        ({"direction.0": np.ones(4, np.float32)}, "none of block 0"),
        ({"vector.1": np.ones(4, np.float32)}, "names are direction.1"),
        ({"direction.-1": np.ones(4, np.float32)}, "names are direction.1"),
        ({"direction.1": np.ones(4)}, "not stored as F32"),
        ({"direction.1": np.ones((2, 4), np.float32)}, "2 dimensions"),
        ({"direction.1": np.ones(4, np.float32), "direction.2": np.ones(5, np.float32)}, "several lengths"),
    ],
)
def test_what_llama_cpp_refuses_is_refused(tmp_path, vectors, why):
    with pytest.raises(SelectionError, match=why):
        broca.read_direction(written(tmp_path / "x.gguf", vectors))


def test_what_a_control_vector_cannot_hold_is_not_written(tmp_path):
    for given in (direction(0, 1), broca.Direction({"1.z": np.ones(4)})):
        with pytest.raises(SelectionError, match="outputs of blocks from 1 on"):
            broca.write_control_vector(given, tmp_path / "d.gguf")
    assert not [*tmp_path.iterdir()]


def test_a_file_of_another_kind_of_model_or_of_another_width_is_refused(tmp_path):
    lm = zoo.lm("llama")
    path = written(tmp_path / "a.gguf", {"direction.1": np.ones(32, np.float32)}, hint="mistral")
    with pytest.raises(SelectionError, match="'mistral', this one is 'llama'"):
        broca.read_direction(path, lm)
    path = written(tmp_path / "b.gguf", {"direction.1": np.ones(9, np.float32)})
    with pytest.raises(SelectionError, match="32 units there"):
        broca.read_direction(path, lm)
    model = written(tmp_path / "c.gguf", {"direction.1": np.ones(9, np.float32)}, architecture="llama")
    with pytest.raises(SelectionError, match="no control vector"):
        broca.read_direction(model)


def test_a_length_that_the_file_has_no_room_for_is_refused(tmp_path):
    path = broca.write_control_vector(direction(1), tmp_path / "d.gguf")
    content = path.read_bytes()
    at = content.index(b"direction.1") + len(b"direction.1") + 4
    path.write_bytes(content[:at] + struct.pack("<Q", 1 << 40) + content[at + 8 :])
    with pytest.raises(SelectionError, match="ends before"):
        broca.read_direction(path)


# -- .pt and .svec ---------------------------------------------------------------------------------------------------


def test_a_caa_file_is_the_output_of_the_block_that_its_name_says(tmp_path):
    path = tmp_path / "vec_layer_2_Llama-2-7b-chat-hf.pt"
    torch.save(torch.arange(1.0, 33).half(), path)
    found = broca.read_direction(path, zoo.lm("llama"))
    assert found.sites == (Site(2, "resid_post"),)
    assert found.vectors[Site(2, "resid_post")].tolist() == list(range(1, 33))


def test_a_refusal_direction_is_the_input_of_its_block(tmp_path):
    torch.save(torch.ones(32, dtype=torch.float64), tmp_path / "direction.pt")
    (tmp_path / "direction_metadata.json").write_text('{"pos": -2, "layer": 1}')
    assert broca.read_direction(tmp_path / "direction.pt").sites == (Site(1, "resid_pre"),)


def test_a_vector_without_a_layer_wants_one(tmp_path):
    torch.save(torch.ones(32), tmp_path / "v.pt")
    with pytest.raises(SelectionError, match=r"site='12\.resid_post'"):
        broca.read_direction(tmp_path / "v.pt")
    assert broca.read_direction(tmp_path / "v.pt", site="1.resid_post").sites == (Site(1, "resid_post"),)


def test_a_pickle_that_runs_is_not_run(tmp_path):
    class Boom:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save(Boom(), tmp_path / "vec_layer_1_m.pt")
    with pytest.raises(SelectionError, match="could be code and is not loaded"):
        broca.read_direction(tmp_path / "vec_layer_1_m.pt")
    torch.save({"a": 1}, tmp_path / "vec_layer_1_m.pt")
    with pytest.raises(SelectionError, match="no vector"):
        broca.read_direction(tmp_path / "vec_layer_1_m.pt")


def test_svec_files_of_either_program_are_read(tmp_path):
    path = tmp_path / "d.svec"
    path.write_text(json.dumps({"model_type": "llama", "directions": {"1": [1.0, 2.0], "0": [[3.0, 4.0]]}}))
    found = broca.read_direction(path)
    assert {str(site): vector.tolist() for site, vector in found.vectors.items()} == {
        "0.resid_post": [3.0, 4.0],
        "1.resid_post": [1.0, 2.0],
    }
    path.write_text(json.dumps({"directions": {"1": [[1.0], [2.0]]}}))
    with pytest.raises(SelectionError, match="2 vectors of layer 1"):
        broca.read_direction(path)
    path.write_text(json.dumps({"directions": {"1": [1.0], "01": [2.0]}}))
    with pytest.raises(SelectionError, match="layer '01'"):
        broca.read_direction(path)


def test_a_file_of_no_known_kind_and_none_at_all_are_refused(tmp_path):
    (tmp_path / "d.npz").write_bytes(b"x")
    with pytest.raises(SelectionError, match=r"\.safetensors, \.gguf, \.pt and \.svec"):
        broca.read_direction(tmp_path / "d.npz")
    with pytest.raises(SelectionError, match="no direction at"):
        broca.read_direction(tmp_path / "absent.gguf")


# -- repeng ----------------------------------------------------------------------------------------------------------


def test_repengs_direction_is_had_again_and_warned_of():
    """Against the lines of repeng 0.5: hidden states after each block, scikit-learn's PCA of the differences of pairs."""
    lm = zoo.lm("llama")
    texts = [("aab c", "xxy c"), ("abb", "xyz"), ("aba d", "yxz d"), ("bab", "zzx"), ("bba e", "zyx e")]
    contrast = broca.Contrast.from_lists(*map(list, zip(*texts, strict=True)), paired=True)
    with pytest.warns(UserWarning, match="centred"):
        found = repeng_direction(lm, contrast)
    site = Site(1, "resid_post")
    assert found.sites == (site,)
    rows = []
    for text in [text for pair in texts for text in pair]:
        with copy_sites(lm.model, lm.anatomy, [site]) as seen:
            lm.forward(lm.pad_batch(lm.tokenize([text])))
        rows.append(seen[site][0, -1].double().numpy())
    h = np.array(rows)
    component = PCA(n_components=1, whiten=False).fit(h[::2] - h[1::2]).components_[0]
    vector = found.vectors[site]
    assert abs(component @ vector) / np.linalg.norm(vector) >= 0.999
    assert ((h[::2] - h[1::2]) @ vector > 0).mean() >= 0.5
    with pytest.raises(StimulusError, match="not paired"), warnings.catch_warnings():
        repeng_direction(lm, broca.Contrast.from_lists(["a", "b"], ["c", "d"]))
