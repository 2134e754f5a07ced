"""The edges of a decoder: as many as the published formula says, of the published names, and choices among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import SelectionError
from broca.units.edge_choices import random_edges, strongest
from broca.units.graph import EdgeGraph, EdgeMask


def published(layers: int, heads: int, *, parallel: bool) -> int:
    """How many edges Hanna et al. (2024) count."""
    total = 1 + layers * (heads + 1)
    for layer in range(layers):
        before = 1 + layer * (heads + 1)
        total += 3 * heads * before + before + (0 if parallel else heads)
    return total


@given(st.integers(1, 6), st.integers(1, 6), st.booleans())
def test_there_are_as_many_edges_as_the_formula_says(layers, heads, parallel):
    graph = EdgeGraph(heads, heads, (parallel,) * layers)
    assert graph.n_edges == published(layers, heads, parallel=parallel)
    assert len(set(graph.places)) == graph.n_edges
    assert graph.writers == (
        "input",
        *(w for i in range(layers) for w in (*(f"a{i}.h{h}" for h in range(heads)), f"m{i}")),
    )


def test_gpt2_and_its_parallel_twin_have_the_published_numbers():
    assert EdgeGraph(12, 12, (False,) * 12).n_edges == 32491
    assert EdgeGraph(12, 12, (True,) * 12).n_edges == 32347
    assert len(EdgeGraph(12, 12, (False,) * 12).writers) == 157


def test_shared_keys_and_values_are_one_reader_a_group():
    graph = EdgeGraph(4, 2, (False, False))
    assert [name for name in graph.readers if "a1" in name] == [
        *(f"a1.h{i}<q>" for i in range(4)), "a1.g0<k>", "a1.g1<k>", "a1.g0<v>", "a1.g1<v>",
    ]  # fmt: skip
    assert "a0.h3->a1.g1<v>" in graph.places


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a0.h0->a0.h1<q>", "reads before"),
        ("a0.h9->m0", "no a0.h9 writes"),
        ("m0->a1.h0", "no a1.h0 reads"),
        ("a0.h0 a0.h1", "is no edge"),
    ],
)
def test_an_edge_that_does_not_exist_is_refused_in_a_sentence(name, says):
    with pytest.raises(SelectionError, match=says):
        EdgeMask.of(EdgeGraph(2, 2, (False, False)), [name])


def test_a_parallel_mlp_does_not_hear_the_heads_beside_it():
    with pytest.raises(SelectionError, match="reads before"):
        EdgeMask.of(EdgeGraph(2, 2, (True,)), ["a0.h0->m0"])
    assert EdgeMask.of(EdgeGraph(2, 2, (False,)), ["a0.h0->m0"]).count == 1


@given(st.integers(0, 2**31), st.integers(1, 30))
def test_random_circuits_share_size_and_layers_with_what_they_are_like(seed, n):
    graph = EdgeGraph(3, 3, (False,) * 3)
    like = graph.mask(np.random.default_rng(seed).permutation(graph.n_edges)[:n].tolist())
    drawn = random_edges(like, 5, seed)
    assert len({each.fingerprint for each in (like, *drawn)}) == 1 + len(drawn)
    for each in drawn:
        counted = [np.unique(graph.layers[one.on], axis=0, return_counts=True) for one in (like, each)]
        assert all(np.array_equal(a, b) for a, b in zip(*counted, strict=True))


def test_signed_and_absolute_rankings_differ_where_signs_do():
    graph = EdgeGraph(1, 1, (False,))
    scores = np.zeros(graph.n_edges)
    scores[[1, 2]] = (1.0, -2.0)
    assert strongest(graph, scores, 1, absolute=False).on.nonzero()[0].tolist() == [1]
    assert strongest(graph, scores, 1, absolute=True).on.nonzero()[0].tolist() == [2]
