"""Circuits of other programs: entries of MIB's track and InterpBench's truth, read edge by edge, and never a pickle that runs."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

import broca
import zoo
from broca.compat.circuits.interpbench import read_edges, read_weights
from broca.errors import SelectionError
from broca.instruments.circuit import entry
from broca.instruments.circuit.entry import short_name
from broca.models.circuit.parts import circuit_parts
from broca.units.edge_choices import strongest
from broca.units.graph import EdgeGraph
from fuzz import samples

GRAPH = EdgeGraph(2, 2, (False,))


def saved(path, held):
    torch.save(held, path)
    return path


def told(path, **changes):
    path.write_text(json.dumps({**samples.mib_entry(), **changes}))
    return path


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("openai-community/gpt2", "gpt2"),
        ("gpt2-medium", "gpt2-medium"),
        ("Qwen/Qwen2.5-0.5B", "qwen2.5"),
        ("Qwen/Qwen2.5-7B", "qwen2.5-7b"),
        ("models/gemma-2-2b/", "gemma2"),
        ("meta-llama/Llama-3.1-8B", "llama3"),
        ("meta-llama/Llama-3.2-1B", "llama-3.2-1b"),
    ],
)
def test_an_entry_has_the_short_name_of_the_model_that_the_track_is_about_and_of_no_other(name, short):
    assert short_name(name) == short


def test_an_entry_is_read_by_the_names_of_its_edges(tmp_path):
    found = broca.read_circuit(told(tmp_path / "importances.json"))
    graph, given = found.circuit.graph, samples.mib_entry()["edges"]
    assert graph == GRAPH
    for name, place in graph.places.items():
        if name in given:
            assert (found.scores[place], found.circuit.on[place]) == (given[name]["score"], given[name]["in_graph"])
        else:
            assert np.isnan(found.scores[place])
            assert not found.circuit.on[place]


def test_tensors_and_names_of_one_entry_are_the_same(tmp_path):
    (content,) = samples.mib_tensors()
    (tmp_path / "e.pt").write_bytes(content)
    found = broca.read_circuit(tmp_path / "e.pt")
    # EAP-IG's matrix: sources by rows, destinations by columns; q of every head, then k, then v, then the MLP, then the logits.
    assert found.scores[found.circuit.graph.places["a0.h1->m0"]] == 8 * 2 + 6
    assert found.scores[found.circuit.graph.places["input->a0.h1<k>"]] == 3
    edges = {n: {"score": found.scores[i], "in_graph": bool(found.circuit.on[i])} for n, i in GRAPH.places.items()}
    again = broca.read_circuit(told(tmp_path / "e.json", edges=edges))
    assert np.array_equal(again.scores, found.scores)
    assert np.array_equal(again.circuit.on, found.circuit.on)


@pytest.mark.parametrize("name", ["llama", "gptj"])
def test_what_is_exported_comes_back_on_the_same_model(name, tmp_path):
    """Heads of `llama` share keys: an edge into one is dealt among heads on the way out, and summed up on the way in."""
    lm = zoo.lm(name)
    graph = circuit_parts(lm).graph
    scores = np.random.default_rng(0).normal(size=graph.n_edges)
    circuit = strongest(graph, scores, 30, absolute=True)
    rows = [
        {"edge": graph.name(i), "score": float(scores[i]), "circuit": bool(circuit.on[i])} for i in range(graph.n_edges)
    ]
    shape = {"heads": graph.n_heads, "groups": graph.n_groups, "parallel": list(graph.parallel)}
    path = tmp_path / "importances.json"
    path.write_text(json.dumps(entry.entry(rows, shape, 8)))
    found = broca.read_circuit(path, lm)
    assert found.scores == pytest.approx(scores)
    assert found.circuit.fingerprint == circuit.fingerprint


def test_the_truth_of_interpbench_is_by_head_and_whole_mlp(tmp_path):
    path = tmp_path / "edges.pkl"
    path.write_bytes(pickle.dumps(samples.INTERPBENCH))
    found = broca.read_circuit(path, zoo.lm("llama"))
    assert set(found.circuit.names) == {"input->a0.h1<q>", "a0.h1->m1", "m1->logits"}
    assert found.scores.sum() == 3


def test_weights_are_tensors_by_name(tmp_path):
    (content,) = samples.interpbench_weights()
    (tmp_path / "ll_model.pth").write_bytes(content)
    assert {name: tuple(each.shape) for name, each in read_weights(tmp_path / "ll_model.pth").items()} == {
        "embed.W_E": (5, 4), "blocks.0.attn.b_Q": (2, 2),
    }  # fmt: skip


class _Runs:
    def __reduce__(self):
        return (print, ("it ran",))


def test_what_could_be_code_is_not_run(tmp_path, capsys):
    (tmp_path / "edges.pkl").write_bytes(pickle.dumps([_Runs()]))
    with pytest.raises(SelectionError, match="more than numbers, texts and lists"):
        read_edges(tmp_path / "edges.pkl", GRAPH)
    for name, read in (("e.pt", broca.read_circuit), ("ll_model.pth", read_weights)):
        with pytest.raises(SelectionError, match="could be code"):
            read(saved(tmp_path / name, {"cfg": _Runs()}))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"edges": {"a0.h1->a0.h0<q>": {"score": 1, "in_graph": True}}}, "a model of its shape has not"),
        ({"edges": {"m0->a7": {"score": 1}}}, "a model of its shape has not"),
        ({"cfg": {"n_layers": 9999, "n_heads": 64}}, "9999 layers"),
        ({"cfg": {"n_heads": 2}}, "n_layers"),
        ({"edges": {"input->m0": {"score": float("inf")}}}, "infinite"),
    ],
)
def test_an_entry_that_is_wrong_is_refused_in_a_sentence(change, says, tmp_path):
    with pytest.raises(SelectionError, match=says):
        broca.read_circuit(told(tmp_path / "e.json", **change))


def test_tensors_of_another_order_or_shape_are_refused(tmp_path):
    held = torch.load(saved(tmp_path / "a.pt", torch.load(_written(tmp_path), weights_only=True)), weights_only=True)
    for change, says in (
        ({"dst_nodes": held["dst_nodes"][::-1]}, "an order of its own"),
        ({"edges_scores": torch.zeros(3, 3)}, "of shape"),
        ({"edges_in_graph": [1]}, "is list"),
    ):
        with pytest.raises(SelectionError, match=says):
            broca.read_circuit(saved(tmp_path / "b.pt", {**held, **change}))
    with pytest.raises(SelectionError, match="no entry"):
        broca.read_circuit(saved(tmp_path / "c.pt", {"scores": torch.zeros(2)}))


def _written(folder):
    (content,) = samples.mib_tensors()
    (folder / "own.pt").write_bytes(content)
    return folder / "own.pt"


def test_files_of_other_kinds_and_models_of_other_shapes_are_refused(tmp_path):
    with pytest.raises(SelectionError, match="no circuit at"):
        broca.read_circuit(tmp_path / "none.json")
    (tmp_path / "x.npz").write_bytes(b"x")
    with pytest.raises(SelectionError, match=r"\.npz"):
        broca.read_circuit(tmp_path / "x.npz")
    with pytest.raises(SelectionError, match="another model"):
        broca.read_circuit(told(tmp_path / "e.json"), zoo.lm("llama"))
    path = tmp_path / "edges.pkl"
    path.write_bytes(pickle.dumps([("hook_embed", "blocks.0.hook_q_imput[1]")]))
    with pytest.raises(SelectionError, match="Give the model"):
        broca.read_circuit(path)
    with pytest.raises(SelectionError, match="q_imput"):
        broca.read_circuit(path, zoo.lm("llama"))
    path.write_bytes(pickle.dumps([("hook_embed", 3)]))
    with pytest.raises(SelectionError, match="a pair of places"):
        broca.read_circuit(path, zoo.lm("llama"))
