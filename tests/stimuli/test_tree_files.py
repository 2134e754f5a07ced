"""Readers of trees, on files made by hand in the real formats."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from broca.errors import StimulusError
from broca.items import CONCLUSION
from broca.stimuli.trees import trees
from broca.stimuli.trees.arc import read as read_arc
from broca.stimuli.trees.proofwriter import read as read_proofwriter

THEORY = {
    "id": "AttNeg-1",
    "theory": "The hen is old. Old things are grey. ...",
    "triples": {
        "triple1": {"text": "The hen is old.", "representation": "..."},
        "triple2": {"text": "The hen is loud.", "representation": "..."},
        "triple3": {"text": "The dog is old.", "representation": "..."},
    },
    "rules": {
        "rule1": {"text": "Old things are grey."},
        "rule2": {"text": "If something is grey and loud then it is rare."},
        "rule3": {"text": "If something is old and loud then it is wild."},
    },
}


def asked(question, proofs, depth, *, answer=True, length=1):
    return {
        "question": question,
        "answer": answer,
        "QDep": depth,
        "QLen": length,
        "proofs": proofs,
        "strategy": "proof",
    }


QUESTIONS = {
    "Q1": asked("The hen is old.", "[(triple1)]", 0),
    "Q2": asked("The hen is not grey.", "[(((triple1) -> rule1))]", 1, answer=False),
    "Q3": asked("The hen is rare.", "[(((((triple1) -> rule1) triple2) -> rule2))]", 2),
    "Q4": asked("The hen is wild.", "[((triple1 triple2) -> rule3)]", 1),
    "Q5": asked("The dog is rare.", "", 0, answer=False, length=""),
    "Q6": asked("The dog is shy.", "[(((NAF) -> rule2))]", 1),
    "Q7": asked("The hen is sad.", "[(triple1) OR (((triple3) -> rule1))]", 1),
    "Q8": asked("The hen is odd.", "[((((((triple1) -> rule1)) -> rule3)) -> rule1)]", 3),
    "Q9": asked("The hen is new.", "[(triple1)]", 0, answer="Unknown"),
}


def written(path: Path, *lines) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


@pytest.fixture
def meta(tmp_path):
    return written(tmp_path / "meta-test.jsonl", "", {**THEORY, "questions": QUESTIONS})


def test_a_proofwriter_theory(meta):
    found = {tree.id.rpartition("/")[2]: tree for tree in trees(meta)}
    assert list(found) == ["Q1", "Q2", "Q3", "Q4"]
    assert found == {tree.id.rpartition("/")[2]: tree for tree in trees("proofwriter", path=str(meta))}
    assert {name: tree.heights for name, tree in found.items()} == {
        "Q1": (1, 0, 0, 0, 0, 0),
        "Q2": (1, 0, 0, 2, 0, 0),
        "Q3": (1, 1, 0, 2, 3, 0),
        "Q4": (1, 1, 0, 0, 0, 2),
    }
    one = found["Q2"]
    assert one.text == (
        "The hen is old. The hen is loud. The dog is old. Old things are grey. If something is grey and loud then it is "
        "rare. If something is old and loud then it is wild.\nQuestion: The hen is not grey. True or false?\nAnswer:"
    )
    assert one.statement_texts[4] == "If something is grey and loud then it is rare."
    assert one.choices[one.answer] == " False"
    assert (one.group, one.kinds) == ("AttNeg-1", ("fact",) * 3 + ("rule",) * 3)
    assert one.text[slice(*one.query)] == "Question: The hen is not grey. True or false?\nAnswer:"
    assert one.tags["depth"] == "1"


def test_what_is_left_out_is_counted(meta):
    assert read_proofwriter(meta).left_out == {
        "without a proof": 2,
        "proved by failure": 1,
        "with several proofs": 1,
        "with a rule that rests on itself": 1,
    }
    assert read_proofwriter(meta, depth=0).left_out["of another depth"] == 6
    assert read_proofwriter(meta, n=2).left_out["not drawn"] == 2
    with pytest.raises(StimulusError, match=r"No question of meta-test\.jsonl is left: 9 of another size"):
        trees(meta, statements=7)


def test_shuffled_statements_keep_their_tree(meta):
    plain = {tree.id: dict(zip(tree.statement_texts, tree.heights, strict=True)) for tree in trees(meta)}
    mixed = trees(meta, shuffled=True, seed=3)
    assert {tree.id: dict(zip(tree.statement_texts, tree.heights, strict=True)) for tree in mixed} == plain
    assert len({tree.statement_texts for tree in mixed}) == 1
    assert mixed[0].statement_texts != trees(meta)[0].statement_texts
    assert mixed[0].kinds == tuple(
        "rule" if "things" in said or "thing " in said else "fact" for said in mixed[0].statement_texts
    )


def test_the_published_labels_of_proofs(meta):
    """The first `depth` edges alone count, so the second premise of Q4 is taken for a root; heights from the root."""
    found = {tree.id.rpartition("/")[2]: tree for tree in trees(meta, paper_compat=True)}
    assert {name: tree.heights for name, tree in found.items()} == {
        "Q1": (1, 0, 0, 0, 0, 0),
        "Q2": (1, 0, 0, 2, 0, 0),
        "Q3": (1, 3, 0, 2, 3, 0),
        "Q4": (1, 2, 0, 0, 0, 2),
    }
    assert found["Q1"].text.endswith("then it is wild. The hen is old. True or False?")
    assert "old.The hen is loud." in found["Q1"].text


def test_a_chain_of_three_and_its_late_premise(tmp_path):
    theory = {**THEORY, "questions": {"Q1": asked("?", "[((((((triple1) -> rule1)) -> rule2) triple2) -> rule3)]", 3)}}
    (ours,) = trees(written(tmp_path / "m.jsonl", theory))
    assert ours.heights == (1, 1, 0, 2, 3, 4)
    (theirs,) = trees(written(tmp_path / "m.jsonl", theory), paper_compat=True)
    assert theirs.heights == (1, 4, 0, 2, 3, 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"triples": []}, r"line 2: 'triples' is \[\]. It must be of type dict"),
        ({"triples": {"triple1": "old"}}, "line 2: 'triple1' in 'triples' is 'old'. It must be an object"),
        ({"triples": {"triple1": {}}}, "line 2, triple1: there is no field 'text'"),
        ({"triples": {"triple1": {"text": " "}}}, "line 2, triple1: 'text' is empty"),
        ({"rules": {"triple1": {"text": "x"}}}, "line 2: 'triple1' is the name of two statements"),
        ({"questions": {"Q1": asked("?", "[(triple9)]", 0)}}, "line 2, Q1: the proof names 'triple9'"),
        ({"questions": {"Q1": asked("?", "[(triple1]", 0)}}, "line 2, Q1: The proof .* is malformed"),
        ({"questions": {"Q1": asked("?", "[(triple1)]", "0")}}, "line 2, Q1: 'QDep' is '0'. It must be of type int"),
        ({"questions": {"Q1": {}}}, "line 2, Q1: there is no field 'question'"),
        ({"questions": {"Q1": asked("?", "[(triple1)]", -1)}}, "line 2, Q1: 'QDep' is -1. It must be 0 or more"),
    ],
)
def test_a_malformed_theory_is_refused_with_its_line(tmp_path, change, said):
    path = written(tmp_path / "meta.jsonl", {**THEORY, "questions": QUESTIONS}, {**THEORY, "questions": {}, **change})
    with pytest.raises(StimulusError, match=said):
        trees(path)


def test_lines_that_are_no_objects(tmp_path):
    for text, said in (("{", "line 1: malformed JSON"), ("[]", "line 1: a JSON list"), ("", "is empty")):
        with pytest.raises(StimulusError, match=said):
            trees("proofwriter", path=written(tmp_path / "m.jsonl", text))
    with pytest.raises(StimulusError, match="is a folder"):
        trees(tmp_path)


ARC = {
    "id": "Mercury_1",
    "context": "a magnet attracts iron. a nail is made of iron.",
    "question": "What sticks to a magnet?",
    "options": ["A) paper", "B) nail"],
    "answer": ["B"],
    "textual_logical_units": {
        "(1)": "a magnet attracts iron",
        "(2)": "a nail is made of iron",
        "(3)": "paper is made of wood",
        "(4)": "What sticks to a magnet?",
        "(5)": "A) paper",
        "(6)": "B) nail",
        "(7)": "a magnet attracts a nail",
        "(8)": "The answer is B) nail",
    },
    "reasoning_graph_edges": [
        {"antecedents": ["(2)", "(1)"], "consequent": "(7)"},
        {"antecedents": ["(7)", "(4)", "(6)"], "consequent": "(8)"},
    ],
}
DEEP = {
    **ARC,
    "id": "Mercury_2",
    "textual_logical_units": {"1": "p", "4": "q", "5": "r", "7": "s", "8": "t", "9": "Hence the answer is A."},
    "reasoning_graph_edges": [
        {"antecedents": [5, 4, 1], "consequent": 7},
        {"antecedents": [7], "consequent": 8},
    ],
}


def test_a_street_annotation(tmp_path):
    one, two = trees(written(tmp_path / "reasoning_annotated_dev.jsonl", ARC, DEEP))
    assert one.statement_texts == (
        "a magnet attracts iron",
        "a nail is made of iron",
        "paper is made of wood",
        "a magnet attracts a nail",
    )
    assert one.heights == (1, 1, 0, 2)
    assert one.kinds == ("premise", "premise", "premise", "conclusion")
    assert (one.choices, one.answer, one.group) == ((" A", " B"), 1, "Mercury_1")
    assert one.text.endswith("\nQuestion: What sticks to a magnet? A) paper B) nail\nAnswer:")
    assert two.statement_texts == ("p", "q", "r", "s", "t")
    assert two.heights == (1, 1, 1, 2, 3)  # the step from 8 to the answer is not annotated


def test_fragments_of_the_question_are_statements_only_when_asked(tmp_path):
    (one,) = trees(written(tmp_path / "a.jsonl", ARC), fragments=True)
    assert one.kinds == ("premise",) * 3 + ("fragment",) * 3 + ("conclusion",)
    assert one.heights == (1, 1, 0, 1, 0, 1, 2)


def test_the_published_labels_of_annotations(tmp_path):
    """One step: all useful ones alike; two: one premise alone apart, the chain's second step lost.

    The published code writes the longest way, [5, 7, 8], as a chain and puts the other statements before it, so that the premise
    apart is one of these: 1 or 4, as the order of a Python set has it.
    """
    longer = {**DEEP, "reasoning_graph_edges": [*DEEP["reasoning_graph_edges"], {"antecedents": [8], "consequent": 1}]}
    longer["reasoning_graph_edges"][0] = {"antecedents": [5, 4], "consequent": 7}
    path = written(tmp_path / "a.jsonl", ARC, DEEP, longer)
    one, two = trees(path, paper_compat=True)
    assert one.heights == (1, 1, 0, 0, 0, 0, 1)
    assert two.heights == (1, 2, 2, 2, 2)
    assert one.text.endswith("a magnet attracts a nail What sticks to a magnet?A) paper B) nail")
    assert read_arc(path, paper_compat=True).left_out == {"of more than two steps": 1}
    assert read_arc(path, n=1).left_out == {"not drawn": 2}


def test_annotations_by_the_steps_of_their_longest_way(tmp_path):
    path = written(tmp_path / "a.jsonl", ARC, DEEP)
    for compat in (False, True):
        assert [tree.id for tree in trees(path, depth=1, paper_compat=compat)] == ["Mercury_1"]
        assert [tree.id for tree in trees(path, depth=2, paper_compat=compat)] == ["Mercury_2"]
    assert read_arc(path, depth=3).left_out == {"of another depth": 2}


def test_published_prompts_have_solved_questions_before_them(meta, tmp_path):
    """Drawn with replacement by Python's generator, from all that have a proof and none by failure, alternatives included."""
    theory = THEORY["theory"]
    pool = [
        f"{theory} {question['question']}: True or False?{question['answer']}\n"
        for question in QUESTIONS.values()
        if question["QLen"] != "" and "NAF" not in question["proofs"] and question["answer"] != "Unknown"
    ]
    assert len(pool) == 6
    plain = trees(meta, paper_compat=True)
    draw = random.Random(5)
    for bare, shown in zip(plain, trees(meta, paper_compat=True, demos=4, seed=5), strict=True):
        before = "".join(draw.choices(pool, k=4))
        assert shown.text == before + bare.text
        assert (shown.statement_texts, shown.heights) == (bare.statement_texts, bare.heights)
        assert shown.text[slice(*shown.query)] == bare.text[slice(*bare.query)]
    arc = written(tmp_path / "reasoning_annotated_dev.jsonl", ARC)
    (one,) = trees(arc, paper_compat=True, demos=2)
    solved = f"{ARC['context']} What sticks to a magnet?A) paper B) nailB\n"
    assert one.text.startswith(2 * solved + "a magnet attracts irona nail")
    other = written(tmp_path / "train.jsonl", {**THEORY, "theory": "Another.", "questions": {"Q1": QUESTIONS["Q1"]}})
    (first, *_) = trees(meta, paper_compat=True, demos=1, demos_path=str(other))
    assert first.text.startswith("Another. The hen is old.: True or False?True\nThe hen is old.The hen")


def test_numbers_that_cannot_be(meta, tmp_path):
    for name in ("kth", "rules", meta):
        for seed in (-1, 2**32):
            with pytest.raises(
                StimulusError, match=rf"Option 'seed' of .* is {seed}. Give a whole number from 0 to 4294967295"
            ):
                trees(name, seed=seed, n=1)
    for n in (0, -1):
        with pytest.raises(StimulusError, match=f"n is {n}. Give 1 or more"):
            trees(meta, n=n)
    with pytest.raises(StimulusError, match=r"No question of none\.jsonl is left: it has none"):
        trees(written(tmp_path / "none.jsonl", {**THEORY, "questions": {}}))
    around = [{"antecedents": [1], "consequent": 2}, {"antecedents": [2], "consequent": 1}]
    for edges in (around, [{"antecedents": [1], "consequent": 1}]):
        with pytest.raises(StimulusError, match="line 1: the edges go in a circle over unit"):
            trees(written(tmp_path / "a.jsonl", {**ARC, "reasoning_graph_edges": edges}), paper_compat=True)


def test_demos_that_there_are_no_prompts_for(meta, tmp_path):
    with pytest.raises(StimulusError, match="demos is 4 and paper_compat false"):
        trees(meta, demos=4)
    with pytest.raises(StimulusError, match="demos is -1"):
        trees(meta, demos=-1, paper_compat=True)
    none = written(tmp_path / "none.jsonl", {**THEORY, "questions": {"Q5": QUESTIONS["Q5"]}})
    with pytest.raises(StimulusError, match="no solved questions"):
        trees(meta, demos=1, paper_compat=True, demos_path=str(none))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"options": "A"}, "line 1: 'options' is 'A'. It must be of type list"),
        ({"options": ["A"]}, "line 1: 'options' .* two or more texts"),
        ({"answer": ["C"]}, r"line 1: the answer \['C'\] is none of the options"),
        ({"textual_logical_units": {"x": "y"}}, "line 1: 'x' is no number of a unit"),
        ({"textual_logical_units": {"1": 2}}, "line 1: unit 1 is 2. Give a text"),
        ({"reasoning_graph_edges": [[1, 2]]}, r"line 1: \[1, 2\] is no edge"),
        ({"reasoning_graph_edges": [{"antecedents": [99], "consequent": 7}]}, "line 1: an edge names unit 99"),
        (
            {
                "reasoning_graph_edges": [
                    {"antecedents": [1], "consequent": 2},
                    {"antecedents": [2], "consequent": 1},
                    {"antecedents": [1], "consequent": 8},
                ]
            },
            "line 1: Tree 'Mercury_1': the edges go in a circle",
        ),
        ({"reasoning_graph_edges": []}, "No question of a.jsonl is left: 1 without a step to the answer"),
    ],
)
def test_a_malformed_annotation_is_refused_with_its_line(tmp_path, change, said):
    with pytest.raises(StimulusError, match=said):
        trees(written(tmp_path / "a.jsonl", {**ARC, **change}))


OWN = {
    "statements": {"s1": "Copper is a metal.", "s2": "Metals conduct.", "i1": "Copper conducts.", "x": "Wood floats."},
    "edges": [["s1", "i1"], ["s2", "i1"], ["i1", "conclusion"]],
    "question": "\nDoes copper conduct?",
    "choices": ["yes", "no"],
    "answer": "yes",
}


def test_a_table_of_ones_own(tmp_path):
    listed = {**OWN, "statements": list(OWN["statements"].values()), "edges": [[1, 3], [2, 3], [3, "conclusion"]]}
    one, two = trees(written(tmp_path / "own.jsonl", OWN, listed))
    assert one.text == "Copper is a metal. Metals conduct. Copper conducts. Wood floats.\nDoes copper conduct?"
    assert one.heights == two.heights == (1, 1, 2, 0)
    assert (one.choices, one.answer, one.id, one.tags["task"]) == ((" yes", " no"), 0, "1", "own")
    assert one.edges[-1] == (2, CONCLUSION)
    mixed = trees(tmp_path / "own.jsonl", shuffled=True, seed=2)[0]
    assert mixed.statement_texts != one.statement_texts
    assert dict(zip(mixed.statement_texts, mixed.heights, strict=True)) == dict(
        zip(one.statement_texts, one.heights, strict=True)
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"statements": []}, "line 1: 'statements' is .* not empty"),
        ({"statements": {"conclusion": "x"}}, "line 1: a statement is named 'conclusion'"),
        ({"statements": {"s1": 3}}, "line 1: statement s1 is 3"),
        ({"edges": [["s1"]]}, r"line 1: edge \['s1'\]. Give a pair"),
        ({"edges": [["s1", "s9"]]}, "line 1: edge .* names 's9', which is no statement"),
        ({"edges": [["s1", "i1"]]}, "line 1: Tree '1' has no edge to its conclusion"),
        ({"edges": [["s1", "i1"], ["i1", "s1"]]}, "line 1: Tree '1': the edges go in a circle"),
        ({"answer": "maybe"}, "line 1: answer 'maybe'"),
        ({"kinds": ["fact"]}, "line 1: 'kinds' is"),
        ({"question": ""}, "line 1: 'question' is empty"),
    ],
)
def test_a_malformed_table_is_refused_with_its_line(tmp_path, change, said):
    with pytest.raises(StimulusError, match=said):
        trees(written(tmp_path / "own.jsonl", {**OWN, **change}))


def test_columns_are_read_under_the_names_that_are_given(tmp_path):
    row = {
        {"statements": "theory", "answer": "gold", "group": "from"}.get(name, name): cell for name, cell in OWN.items()
    }
    marked = {
        **row,
        "from": "m",
        "triples": {},
        "rules": {},
    }  # ProofWriter's marks: who names columns means a plain table
    path = written(tmp_path / "own.jsonl", marked)
    (tree,) = trees(path, columns="statements=theory,answer=gold,group=from")
    assert (tree.heights, tree.answer, tree.group) == ((1, 1, 2, 0), 0, "m")
    assert trees("entailment", path=str(path), columns="statements=theory,answer=gold")[0].group == ""
    with pytest.raises(StimulusError, match=r"no column 'gld'\. Did you mean 'gold'"):
        trees(path, columns="statements=theory,answer=gld")
    with pytest.raises(StimulusError, match=r"'prompt', which is not read\. Read are statements, edges"):
        trees(path, columns="prompt=theory")


def test_the_example_of_the_docs():
    one, two = trees(Path(__file__).resolve().parents[2] / "docs" / "metals.jsonl")
    assert one.heights == (1, 1, 1, 0, 2, 3)
    assert two.heights == (1, 0, 1, 2)
    assert two.choices[two.answer] == " no"


@pytest.mark.parametrize(
    ("question", "choices"),
    [("\nIs it?", (" yes", " no")), ("\nAnswer: (", ("yes", "no")), ("\nIt is\n", ("yes", "no"))],
)
def test_choices_of_a_table_follow_as_a_person_would_write(tmp_path, question, choices):
    row = {
        "statements": ["A.", "B."],
        "edges": [[1, 2], [2, "conclusion"]],
        "question": question,
        "choices": ["yes", "no"],
        "answer": "yes",
    }
    (tree,) = trees("entailment", path=written(tmp_path / "own.jsonl", row))
    assert tree.choices == choices
