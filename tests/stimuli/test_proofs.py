"""The proof parser, on vectors from the published one and on proofs written back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import StimulusError
from broca.stimuli.trees.proofs import is_alternative, is_failure, proof

CHAIN = "(5 4 1) -> 7 -> 8"
"""The published parser loses the last step of a chain without brackets."""


@pytest.mark.parametrize(
    ("text", "nodes", "edges"),
    [
        ("[(triple1)]", "triple1", ""),
        ("[(((triple1) -> rule2))]", "triple1 rule2", "triple1>rule2"),
        ("[((triple1 triple3) -> rule2)]", "triple1 triple3 rule2", "triple1>rule2 triple3>rule2"),
        ("[((((triple1) -> rule3)) -> rule1)]", "triple1 rule3 rule1", "triple1>rule3 rule3>rule1"),
        (
            "[((triple2 ((triple1) -> rule3)) -> rule1)]",
            "triple2 triple1 rule3 rule1",
            "triple1>rule3 rule3>rule1 triple2>rule1",
        ),
        ("(2 1) -> 6", "2 1 6", "2>6 1>6"),
        (CHAIN, "5 4 1 7 8", "5>7 4>7 1>7 7>8"),
        ("((a)->b)", "a b", "a>b"),
        ("((((a) -> r) (b)) -> s)", "a r b s", "a>r r>s b>s"),
        ("((((a) -> b) -> a))", "a b", "a>b b>a"),
    ],
)
def test_vectors(text, nodes, edges):
    found = proof(text)
    assert " ".join(found.nodes) == nodes
    assert " ".join(">".join(edge) for edge in found.edges) == edges


def test_the_published_vectors_but_for_their_known_loss(shared):
    path = shared / "facts" / "reasoning_probe_golden.json"
    for text, nodes, edges in json.loads(path.read_text())["proof_parser_vectors"]:
        found = proof(text)
        assert list(found.nodes) == nodes
        assert [list(edge) for edge in found.edges] == edges + ([["7", "8"]] if text == CHAIN else [])
        assert [list(edge) for edge in proof(text, paper_compat=True).edges] == edges


trees_of_names = st.recursive(
    st.just(()), lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple), max_leaves=6
)


@given(trees_of_names, st.booleans())
def test_a_proof_that_was_written_is_read(shape, doubled):
    """Every node of the shape gets a name of its own; leaves are facts, the others rules."""
    count, edges = 0, set()

    def write(node) -> tuple[str, str]:
        nonlocal count
        inner = [write(child) for child in node]
        count += 1
        name = f"{'rule' if node else 'triple'}{count}"
        edges.update((below, name) for _, below in inner)
        text = f"(({' '.join(text for text, _ in inner)}) -> {name})" if node else name
        return (f"({text})" if doubled else text), name

    text, top = write(shape)
    found = proof(f"[{text}]")
    assert set(found.edges) == edges
    assert found.ends == (top,)
    assert len(found.nodes) == count
    assert found.is_ordered


def test_an_edge_and_its_reverse():
    assert proof("((((a) -> b) -> a))", paper_compat=True).edges == (("a", "b"),)
    assert not proof("((((a) -> b) -> a))").is_ordered


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        (CHAIN, "5>7 4>7 1>7"),
        ("(a b) -> c -> d -> e", "a>c b>c"),
        ("a -> b", ""),
        ("((a) -> b -> c)", "a>b"),
        ("(((a) -> b) -> c)", "a>b b>c"),
        ("((x ((a) -> b)) -> c)", "a>b b>c x>c"),
    ],
)
def test_as_published_what_stands_in_no_brackets_leads_nowhere(text, edges):
    assert " ".join(">".join(edge) for edge in proof(text, paper_compat=True).edges) == edges


def test_failures_and_alternatives_are_told():
    assert is_failure("[(((triple1 NAF) -> rule2))]")
    assert is_alternative("[(triple1) OR (((triple2) -> rule1))]")
    assert not is_failure("[(triple1)]")
    assert not is_alternative("[(triple1)]")
    assert not proof("(((((a) -> r) -> s)) -> r)").is_ordered
    assert not proof("(((a) -> r) -> r)").is_ordered


@pytest.mark.parametrize(
    "text", ["", "[]", "[(a]", "(a", "a)", "-> a", "(a ->)", "((a) -> (b))", "() -> a", "((a) -> )"]
)
def test_what_is_refused(text):
    with pytest.raises(StimulusError, match="is malformed at its part"):
        proof(text)
