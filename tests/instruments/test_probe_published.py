"""`published=True` beside the pipeline of Hou et al. (2023) written out: their labels, prompts, attention, folds and baseline."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

import lists
import zoo
from broca.instruments.probe.published_probe import of_numbers
from broca.instruments.probe.spec import Probe
from broca.instruments.probe.statements import Statements
from broca.models.twins import untrained_twin
from broca.stats.hou2023 import row_cut_f1
from broca.stimuli.trees import trees

QUICK = {"maps": False, "permutations": 0, "n_bootstrap": 20}

# -- lists of numbers ------------------------------------------------------------------------------------------------


def labels(numbers, k):
    """Useful and last by the rank of the first equal value; a rank that a tie took away falls to the next one below."""
    rank = [sorted(numbers).index(number) for number in numbers]
    useful, last = np.zeros(len(numbers), int), np.zeros(len(numbers), int)
    for wanted in range(k):
        useful[rank.index(max(own for own in rank if own <= wanted))] = 1
    last[rank.index(max(own for own in rank if own <= k - 1))] = 1
    return useful, last


def test_the_last_step_of_a_list_is_its_own_even_where_its_smallest_numbers_are_equal():
    made = trees("kth", k=2, m=6, n=60, pool=9, paper_compat=True)
    alike = [tree.statement_texts.count(min(tree.statement_texts, key=int)) > 1 for tree in made]
    assert 5 < sum(alike) < 40
    rows = Statements.of(made)
    useful, last = (
        np.concatenate(side) for side in zip(*(labels([*map(int, t.statement_texts)], 2) for t in made), strict=True)
    )
    assert last.sum() == 60  # every list has a last step
    x = np.random.default_rng(0).normal(size=(360, 3)) + last[:, None]
    assert of_numbers("useful", rows, x) == row_cut_f1(x, useful, 60)
    kept = useful > 0
    assert of_numbers("step", rows, x) == row_cut_f1(x[kept], np.column_stack([useful, last])[kept], 60)


def test_published_scores_of_numbers_are_of_published_lists():
    lm = lists.reader()
    spec = Probe(options={"k": 2, "m": 6}, n=40, twins=2, published=True, **QUICK)
    made = trees("kth", k=2, m=6, n=40, paper_compat=True, tokenizer=lm.tokenizer)
    useful, last = (
        np.concatenate(side) for side in zip(*(labels([*map(int, t.statement_texts)], 2) for t in made), strict=True)
    )

    def f1(reader):
        found = []
        for tree in made:
            batch = next(reader.batches(reader.tokenize([tree.text])))
            maps = torch.stack(eager(reader)(batch.ids, output_attentions=True).attentions)[:, 0].detach()
            a = maps[:, :, -1, -6:].double().mean(1).T.numpy()
            found.append(a / a.max())
        x, kept = np.concatenate(found), useful > 0
        return np.array([row_cut_f1(x, useful, 40), row_cut_f1(x[kept], np.column_stack([useful, last])[kept], 40)])

    own, scratch = f1(lm), np.mean([f1(untrained_twin(lm, seed)) for seed in range(2)], 0)
    row = spec.run(lm).scores
    np.testing.assert_allclose(row["f1_published"], own, atol=1e-6)
    np.testing.assert_allclose(row["score_published"], (own - scratch) / (1 - scratch), atol=1e-5)


def eager(lm):
    lm.model.config._attn_implementation = "eager"
    return lm.model


# -- statements in words ---------------------------------------------------------------------------------------------

NAMES = "ann", "bob", "cat", "dan"


def theory(i):
    """Four facts and two rules; the first question rests on one fact, the second on two, of which one is taken for a root."""
    a, b = NAMES[i % 4], NAMES[(i + 1 + i // 4) % 4]
    texts = [
        f"{a} is {i}.",
        f"{b} is {i + 1}.",
        f"{a} is odd.",
        f"{b} is shy.",
        f"if {i} then x.",
        f"if {i + 1} then y.",
    ]
    questions = {
        "Q1": {"question": f"{a} is x.", "answer": True, "QDep": 1, "QLen": 1, "proofs": "[(((triple1) -> rule1))]"},
        "Q2": {
            "question": f"{b} is y.",
            "answer": False,
            "QDep": 1,
            "QLen": 1,
            "proofs": "[((triple2 triple4) -> rule2)]",
        },
    }
    return {
        "id": f"t{i}",
        "theory": " ".join(texts),
        "triples": {f"triple{n}": {"text": text} for n, text in enumerate(texts[:4], 1)},
        "rules": {f"rule{n}": {"text": text} for n, text in enumerate(texts[4:], 1)},
        "questions": questions,
    }


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("cwa") / "meta-test.jsonl"
    file.write_text("\n".join(json.dumps(theory(i)) for i in range(12)))
    return file


def theirs(lm, how, demos):
    """Features ``(row, layer)`` of all statements, by counting tokens of each piece alone; the tokenizer cuts into characters."""

    def ids(text):
        return lm.tokenizer(text, add_special_tokens=False)["input_ids"]

    solved = [
        f"{t['theory']} {q['question']}: True or False?{q['answer']}\n"
        for t in map(theory, range(12))
        for q in t["questions"].values()
    ]
    draw, found = random.Random(0), []
    for t in map(theory, range(12)):
        said = [part["text"] for part in (*t["triples"].values(), *t["rules"].values())]
        for question in t["questions"].values():
            before = "".join(draw.choices(solved, k=demos))
            text = f"{before}{''.join(said)} {question['question']} True or False?"
            ends = np.cumsum([len(ids(before)), *(len(ids(each)) for each in said)])
            maps = (
                torch.stack(eager(lm)(torch.tensor([ids(text)]), output_attentions=True).attentions)[:, 0]
                .detach()
                .double()
            )
            asked = getattr(maps[:, :, ends[-1] :, : ends[-1]], how)(2)
            a = (asked.values if how == "max" else asked).mean(1)  # (layer, token)
            starts = [ends[0] + 1, *ends[1:-1]]
            found += [a[:, start:end].mean(1).numpy() for start, end in zip(starts, ends[1:], strict=True)]
    return np.stack(found)


def test_published_scores_of_statements_follow_the_recipe_for_llama(path):
    lm = zoo.lm("llama")
    lm.model.config.max_position_embeddings = 2048
    spec = Probe(task=str(path), n=24, twins=2, folds=3, published=True, **QUICK)
    useful = np.array([1, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 1] * 12)
    steps = np.array([0, 1, 0, 1, 1] * 12)  # triple1 < rule1; triple2 < rule2, and triple4 beside it

    def f1(reader, how, demos):
        x = theirs(reader, how, demos).astype(np.float32)
        neighbours = KNeighborsClassifier(n_neighbors=8, weights="distance", p=1)
        return np.array(
            [
                cross_val_score(neighbours, part, y, cv=5, scoring="f1_macro").mean()
                for part, y in ((x, useful), (x[useful > 0], steps))
            ]
        )

    row = spec.run(lm).scores
    own = f1(lm, "max", 4)
    scratch = np.mean([f1(untrained_twin(lm, seed), "mean", 0) for seed in range(2)], 0)
    np.testing.assert_allclose(row["f1_published"], own, atol=1e-6)
    np.testing.assert_allclose(row["score_published"], (own - scratch) / (1 - scratch), atol=1e-5)


def test_published_labels_and_prompts_are_read_whatever_the_options_say(path):
    spec = Probe(task="proofwriter", options={"path": str(path), "depth": 1}, published=True)
    shown, bare = spec.published_trees(None, 4), spec.published_trees(None, 0)
    assert [tree.statement_texts for tree in shown] == [tree.statement_texts for tree in bare]
    assert all(tree.text.endswith(plain.text) for tree, plain in zip(shown, bare, strict=True))
    assert {tree.counted for tree in bare} == {"root"}
    assert spec._trees(None)[0].counted == "leaf"
    assert "published prompts" in spec.data_fingerprints()
    # a task of which there is no published reading is scored as it stands
    assert Probe(task="rules", n=6, published=True).published_trees(None, 4) == trees("rules", n=6)


def test_too_few_rows_leave_the_published_score_empty():
    found = Probe(options={"k": 1, "m": 4}, n=6, twins=1, folds=2, published=True, **QUICK).run(lists.reader())
    assert found.scores["f1_published"].to_list()[1] is None
    assert any(text.startswith("S_P2 has no published score: ") for text in found.warnings)
