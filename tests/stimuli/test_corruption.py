"""Corruptions change what they say, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import StimulusError, UnknownName
from broca.stimuli.corruption import can, corrupt, negate
from broca.stimuli.trees import trees

RULES = trees("rules", n=30, depth=2, people=3, distractors=3, form="mixed")
NUMBERS = trees("kth", n=30, m=8, k=3, pool=40)
some = st.sampled_from(RULES)
seeds = st.integers(0, 50)


def labelled(tree):
    return dict(zip(tree.statement_texts, zip(tree.heights, tree.kinds, strict=True), strict=True))


@given(some, st.sampled_from(["useful", "useless"]), seeds)
def test_one_statement_is_negated_and_it_is_one_of_those_asked_for(tree, which, seed):
    made = corrupt(tree, f"negate-{which}", seed=seed)
    after = made.tree
    assert [i for i in range(len(tree.statement_texts)) if tree.statement_texts[i] != after.statement_texts[i]] == [
        made.index
    ]
    assert tree.useful[made.index] == (which == "useful")
    assert after.statement_texts[made.index] == negate(tree.statement_texts[made.index])
    assert (after.heights, after.edges, after.answer) == (tree.heights, tree.edges, tree.answer)
    assert after.text[slice(*after.query)] == tree.text[slice(*tree.query)]
    assert after.text.replace(after.statement_texts[made.index], tree.statement_texts[made.index], 1) == tree.text


@given(st.sampled_from(RULES + NUMBERS), seeds)
def test_shuffling_moves_every_label_with_its_statement(tree, seed):
    made = corrupt(tree, "shuffle", seed=seed)
    assert made.tree.statement_texts != tree.statement_texts
    assert [tree.statement_texts[i] for i in made.before] == list(made.tree.statement_texts)
    assert labelled(made.tree) == labelled(tree)
    assert len(made.tree.text) == len(tree.text)
    assert made.tree.text[tree.statements[-1][1] :] == tree.text[tree.statements[-1][1] :]


@given(some, seeds)
def test_what_is_put_in_is_of_another_group_and_changes_no_label(tree, seed):
    made = corrupt(tree, "insert", seed=seed, others=RULES)
    new = made.tree.statement_texts[made.index]
    assert made.before[made.index] is None
    assert made.tree.kinds[made.index] == "inserted"
    assert not made.tree.useful[made.index]
    assert any(new in other.statement_texts for other in RULES if other.group != tree.group)
    assert new not in tree.statement_texts
    assert {k: v for k, v in labelled(made.tree).items() if k != new} == labelled(tree)
    useful = " ".join(said for said, counts in zip(tree.statement_texts, tree.useful, strict=True) if counts)
    words = {word.strip(".") for word in new.split()} - {"All", "people", "are", "is", "If", "someone", "then", "they"}
    assert not words & set(useful.replace(".", "").split())


@given(st.sampled_from(NUMBERS), seeds)
def test_a_number_that_is_put_in_changes_no_rank_and_the_list_ends_as_before(tree, seed):
    made = corrupt(tree, "insert", seed=seed, others=NUMBERS).tree
    numbers = sorted(map(int, made.statement_texts))
    assert f" {numbers[2]}" == tree.choices[tree.answer]
    assert made.query == made.statements[-1]
    assert made.statement_texts[-1] == tree.statement_texts[-1]


def test_the_choice_is_the_same_for_a_seed_and_differs_between_trees():
    chosen = [corrupt(tree, "negate-useless", seed=1).index for tree in RULES]
    assert chosen == [corrupt(tree, "negate-useless", seed=1).index for tree in RULES]
    assert len(set(chosen)) > 3
    assert chosen != [corrupt(tree, "negate-useless", seed=2).index for tree in RULES]


@pytest.mark.parametrize(
    ("said", "denied"),
    [
        ("Anne is red.", "Anne is not red."),
        ("Anne is not red.", "Anne is red."),
        ("All red people are calm.", "All red people are not calm."),
        ("If someone is red then they are calm.", "If someone is red then they are not calm."),
        (
            "If the cat is red then the cat eats the dog.",
            "It is not true that if the cat is red then the cat eats the dog.",
        ),
        ("The cat eats the dog.", "It is not true that the cat eats the dog."),
        ("Fred eats.", "It is not true that Fred eats."),
        ("12", None),
    ],
)
def test_denials(said, denied):
    assert negate(said) == denied


def test_what_cannot_be_done_is_said():
    assert not can(NUMBERS[0], "negate-useful")
    with pytest.raises(StimulusError, match="has no useful statement that can be negated"):
        corrupt(NUMBERS[0], "negate-useful")
    with pytest.raises(StimulusError, match="Give more others"):
        corrupt(RULES[0], "insert", others=RULES[:3])
    with pytest.raises(UnknownName, match="Did you mean 'shuffle'"):
        corrupt(RULES[0], "shufle")
    assert can(RULES[0], "shuffle")
