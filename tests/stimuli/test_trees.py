"""The tasks that are made here: k-th smallest numbers, and rules over facts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from broca.errors import StimulusError, UnknownName
from broca.items import CONCLUSION
from broca.stimuli.trees import TREES, trees
from broca.stimuli.trees.kth import list_tree, single_tokens
from broca.stimuli.trees.rules import PEOPLE, PROPERTIES
from zoo import tokenizer


@given(st.integers(1, 4), st.integers(4, 9), st.integers(0, 99))
def test_the_answer_of_kth_is_the_kth_smallest_and_its_tree_holds_the_k_smallest(k, m, seed):
    for tree in trees("kth", k=k, m=m, n=3, seed=seed, pool=30):
        numbers = [int(said) for said in tree.statement_texts]
        assert len(set(numbers)) == m == len(tree.text.split())
        assert int(tree.choices[tree.answer]) == sorted(numbers)[k - 1]
        assert {numbers[i] for i in range(m) if tree.useful[i]} == set(sorted(numbers)[:k])
        top = numbers.index(sorted(numbers)[k - 1])
        assert tree.heights[top] == (2 if k > 1 else 1)
        assert sorted(tree.heights) == sorted([0] * (m - k) + [1] * (k - 1) + [tree.heights[top]])
        assert tree.query == tree.statements[-1]


def test_the_lists_are_the_same_for_every_k():
    assert [t.text for t in trees("kth", k=1, n=5)] == [t.text for t in trees("kth", k=7, n=5)]
    assert [t.text for t in trees("kth", n=5)] != [t.text for t in trees("kth", n=5, seed=1)]


@pytest.mark.parametrize(
    ("numbers", "k", "ours", "published"),
    [
        ([74, 11, 33, 3], 2, (0, 2, 0, 1), (0, 2, 0, 1)),
        # ours: the first k by value and place; published: the first of equal ones alone, so fewer than k
        ([3, 9, 3, 5], 2, (1, 0, 2, 0), (1, 0, 0, 0)),
        ([5, 3, 5, 9], 2, (2, 1, 0, 0), (2, 1, 0, 0)),
        ([3, 3, 3, 9], 4, (1, 1, 1, 2), (1, 0, 0, 2)),
    ],
)
def test_repeated_numbers(numbers, k, ours, published):
    assert list_tree(numbers, k, "t").heights == ours
    assert list_tree(numbers, k, "t", paper_compat=True).heights == published
    assert list_tree(numbers, k, "t").choices[list_tree(numbers, k, "t").answer] == f" {sorted(numbers)[k - 1]}"


def test_the_published_recipe_repeats_numbers_as_often_as_it_must():
    made = trees("kth", n=4000, paper_compat=True)
    alone = sum(len(set(tree.statement_texts)) == 16 for tree in made) / len(made)
    assert abs(alone - 0.7892) < 0.02  # 512! / (496! 512**16)
    assert all(not choice.startswith(" ") for choice in made[0].choices)


def test_numbers_are_those_that_the_tokenizer_has_whole():
    numbers = spaced(10)
    assert single_tokens(numbers) == list(range(10))
    assert len(trees("kth", tokenizer=numbers, m=10, n=2)) == 2
    with pytest.raises(
        StimulusError, match=r"only 10 numbers are one token each .* a list needs 16. Give an m of at most 10."
    ):
        trees("kth", tokenizer=numbers, m=16)


@pytest.mark.parametrize("m", [2, 16])
@pytest.mark.parametrize("made", [tokenizer, lambda: spaced(1)])
def test_where_a_tokenizer_has_no_numbers_no_m_is_said_to_help(made, m):
    with pytest.raises(
        StimulusError, match=r"numbers are one token each .*: no m helps. Take another task, such as rules"
    ):
        trees("kth", tokenizer=made(), m=m)


def spaced(n):
    """A tokenizer that has the numbers below n whole, and spaces within no token."""
    made = Tokenizer(WordLevel({"<unk>": 0} | {f"{i}": i + 1 for i in range(n)}, unk_token="<unk>"))
    made.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")


@pytest.mark.parametrize("options", [{"k": 0}, {"k": 17}, {"n": 0}, {"pool": 3}])
def test_what_kth_refuses(options):
    with pytest.raises(StimulusError):
        trees("kth", **options)


def solve(tree) -> str:
    """The value that follows for the person asked about, by naming everything that follows until nothing new does."""
    known = {
        tuple(said[:-1].split(" is ")) for said in tree.statement_texts if " is " in said and not said.startswith("If")
    }
    steps = []
    for said in tree.statement_texts:
        found = re.fullmatch(r"(?:All|If someone is) (.+?)(?: people| then they) are (\w+)\.", said)
        if found:
            steps.append((set(found[1].split(" and ")), found[2]))
    people = {name for name, _ in known}
    while True:
        new = {
            (name, then)
            for name in people
            for given_, then in steps
            if given_ <= {v for n, v in known if n == name} and (name, then) not in known
        }
        if not new:
            break
        known |= new
    prop, person = re.search(r"The (\w+) of (\w+) is$", tree.text).groups()
    (value,) = {value for name, value in known if name == person and value in PROPERTIES[prop]}
    return value


@given(
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(2, 5),
    st.integers(1, 3),
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from(["all", "if", "mixed"]),
    st.integers(0, 99),
)
def test_the_answer_of_rules_follows_and_its_tree_is_what_it_needs(
    depth, more, people, premises, distractors, shuffled, form, seed
):
    options = {"people": people, "distractors": distractors, "shuffled": shuffled, "form": form, "seed": seed}
    chain = min(depth + more, 5)
    premises = min(premises, len(PROPERTIES) - chain)
    options |= {"properties": max(2, chain + premises), "words": people + 1}
    for tree in trees("rules", depth=depth, chain=chain, premises=premises, n=people, **options):
        value = solve(tree)
        assert tree.choices[tree.answer] == f" {value}"
        assert len(tree.statements) == people * (chain + premises) + distractors == len(set(tree.statement_texts))
        assert max(tree.heights) == depth + 1
        assert sum(tree.useful) == depth + 1 + (premises - 1 if depth else 0)
        for said, kind, height in zip(tree.statement_texts, tree.kinds, tree.heights, strict=True):
            assert kind == ("fact" if said.split()[0] in PEOPLE else "rule")
            assert height <= 1 or kind == "rule"
        assert tree.edges[-1][1] == CONCLUSION


def test_every_person_of_a_theory_is_asked_about_and_shares_its_group():
    made = trees("rules", n=7, people=3)
    assert [tree.group for tree in made] == [f"rules/0/{i // 3}" for i in range(7)]
    assert {tree.answer for tree in made[:3]} == {0, 1, 2}
    assert len({tree.text[: tree.statements[-1][1]] for tree in made[:3]}) == 1


def test_shuffling_moves_useful_statements_about():
    made = trees("rules", n=600, depth=2)
    first = sum(tree.useful.index(True) for tree in made) / len(made)
    facts_first = [tree.kinds[0] == "fact" for tree in made]
    assert 0.1 < sum(facts_first) / len(made) < 0.6
    assert first > 1
    plain = trees("rules", n=6, depth=2, shuffled=False)
    assert all(tree.kinds[:3] == ("fact",) * 3 for tree in plain)
    assert all(source < target for tree in plain for source, target in tree.edges[:-1])


@pytest.mark.parametrize(
    "options",
    [{"depth": 6}, {"depth": 2, "chain": 1}, {"people": 1}, {"people": 6}, {"premises": 9}, {"distractors": 99}],
)
def test_what_rules_refuses(options):
    with pytest.raises(StimulusError):
        trees("rules", **options)


def test_names_and_options_are_checked():
    assert set(TREES) == {"kth", "rules", "proofwriter", "arc", "entailment"}
    with pytest.raises(UnknownName, match="Did you mean 'rules'"):
        trees("rule")
    with pytest.raises(UnknownName, match=r"option 'dept' is not known\. Did you mean 'depth'"):
        trees("rules", dept=2)
    with pytest.raises(StimulusError, match="Option 'k' of tree task 'kth'"):
        trees("kth", k="2")
    with pytest.raises(StimulusError, match="Tree task 'arc' is read from a file"):
        trees("arc")


def test_lists_are_drawn_in_parts_as_they_are_at_once(monkeypatch):
    whole = [tree.text for tree in trees("kth", n=50, pool=40)]
    monkeypatch.setattr("broca.stimuli.trees.kth._AT_ONCE", 300)
    assert [tree.text for tree in trees("kth", n=50, pool=40)] == whole
