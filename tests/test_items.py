"""Reasoning trees: heights by the longest path, on any graph without circles, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import StimulusError
from broca.items import CONCLUSION, Item, Message, Stimulus, Tree, as_text, fingerprint


def tree(n: int, edges, counted="leaf", **fields) -> Tree:
    """`n` statements of one letter each, and a question mark."""
    text = " ".join("abcdefghij"[:n]) + " ?"
    spans = tuple((2 * i, 2 * i + 1) for i in range(n))
    given = {"statements": spans, "query": (2 * n, 2 * n + 1), "choices": ("yes", "no"), "answer": 0, **fields}
    return Tree("t", text, edges=tuple(edges), counted=counted, **given)


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 7))
    places = draw(st.permutations(range(n)))
    pairs = [(places[i], places[j]) for i in range(n) for j in range(i + 1, n)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    ends = draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))
    return n, [*chosen, *((end, CONCLUSION) for end in ends)]


def paths(edges, node, end):
    """The lengths of all paths from `node` to `end`, one by one."""
    if node == end:
        return [0]
    return [length + 1 for a, b in edges if a == node for length in paths(edges, b, end)]


@given(graphs())
def test_heights_are_longest_paths_counted_one_by_one(graph):
    n, edges = graph
    reach = {node: paths(edges, node, CONCLUSION) for node in range(n)}
    useful = {node for node in range(n) if reach[node]}
    up = {node: 1 + max(max(paths(edges, leaf, node), default=0) for leaf in useful) for node in useful}
    assert tree(n, edges).heights == tuple(up.get(node, 0) for node in range(n))
    far = max(max(reach[node]) for node in useful)
    down = {node: 1 + far - max(reach[node]) for node in useful}
    assert tree(n, edges, "root").heights == tuple(down.get(node, 0) for node in range(n))
    assert tree(n, edges).useful == tuple(node in useful for node in range(n))


@pytest.mark.parametrize("counted", ["leaf", "root"])
def test_a_chain_has_its_steps_in_any_order_of_the_text(counted):
    assert tree(4, [(2, 0), (0, 3), (3, CONCLUSION)], counted).heights == (2, 0, 1, 3)


def test_a_leaf_that_is_taken_late_is_where_the_two_ways_of_counting_differ():
    edges = [(0, 1), (1, 2), (3, 2), (2, CONCLUSION)]
    assert tree(4, edges).heights == (1, 2, 3, 1)
    assert tree(4, edges, "root").heights == (1, 2, 3, 2)


def test_a_side_branch_is_not_useful():
    assert tree(4, [(0, 1), (0, 2), (2, 3), (1, CONCLUSION)]).heights == (1, 2, 0, 0)


def test_its_parts():
    found = tree(2, [(0, CONCLUSION)], kinds=("fact", "rule"), tags={"task": "rules"})
    assert found.statement_texts == ("a", "b")
    assert (found.item.prompt, found.item.ability) == ("a b ?", "rules")
    assert found.fingerprint == fingerprint(found) != replace(found, answer=1).fingerprint


@pytest.mark.parametrize(
    ("n", "edges", "fields", "said"),
    [
        (2, [(0, 1)], {}, "no edge to its conclusion"),
        (2, [(0, 2)], {}, "edge 0 -> 2. Edges lead from one of the statements 0 to 1"),
        (2, [(0, 0), (0, -1)], {}, "edge 0 -> 0"),
        (2, [(-1, 0)], {}, "edge -1 -> 0"),
        (2, [(0, -1), (0, -1)], {}, "the same edge twice"),
        (2, [(0, 1), (1, 0), (0, -1)], {}, "go in a circle"),
        (2, [(0, -1)], {"statements": ((2, 3), (0, 1))}, "statement 1 is at characters 0 to 1"),
        (2, [(0, -1)], {"statements": ((0, 3), (2, 3))}, "do not overlap"),
        (2, [(0, -1)], {"statements": ((0, 1), (1, 1))}, "hold one character or more"),
        (2, [(0, -1)], {"statements": ()}, "has no statements"),
        (2, [(0, -1)], {"query": (4, 9)}, "the query is at characters 4 to 9 of 5"),
        (2, [(0, -1)], {"kinds": ("fact",)}, "1 kinds for 2 statements"),
        (2, [(0, -1)], {"answer": 2}, "answer 2 is not the index"),
    ],
)
def test_what_is_refused(n, edges, fields, said):
    with pytest.raises(StimulusError, match=said):
        tree(n, edges, **fields)


def test_pictures_count_by_their_content_and_nothing_changes_without_them(tmp_path):
    item = Item("1", "Where?", ("box", "bag"), 0)
    assert item.fingerprint == "c784cd5dbd47c55b"
    (tmp_path / "a").mkdir()
    for name, content in {"x.png": b"x", "y.png": b"y", "a/x.png": b"x"}.items():
        (tmp_path / name).write_bytes(content)

    def seen(*names):
        return replace(item, images=tuple(str(tmp_path / name) for name in names)).fingerprint

    assert seen("x.png") == seen("a/x.png")
    assert len({item.fingerprint, seen("x.png"), seen("y.png"), seen("x.png", "y.png"), seen("y.png", "x.png")}) == 5
    before = seen("x.png")
    (tmp_path / "x.png").write_bytes(b"another")
    assert seen("x.png") != before
    with pytest.raises(StimulusError, match=r"There is no picture '.*gone.png'"):
        seen("gone.png")


CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}]


def test_a_chat_may_be_given_as_the_dictionaries_of_hugging_face():
    messages = (Message("system", "Be brief."), Message("user", "Where is it?"))
    assert as_text(CHAT) == as_text(messages) == as_text(list(messages)) == messages
    assert as_text("plain") == "plain"
    assert Item("i", CHAT, ("a", "b"), 0) == Item("i", messages, ("a", "b"), 0)
    assert fingerprint(Stimulus("s", CHAT)) == fingerprint(Stimulus("s", messages))


@pytest.mark.parametrize(
    "text",
    [
        3,
        [3],
        [{"role": "tool", "content": "x"}],
        [{"content": "x"}],
        [{"role": "user", "content": [{"type": "image"}]}],
        b"x",
    ],
)
def test_what_is_no_text_is_refused_with_what_would_be(text):
    with pytest.raises(StimulusError, match="Give"):
        Stimulus("s", text)
