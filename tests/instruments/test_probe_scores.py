"""Scores of features of which the truth is known: decodable, noise, leaking, or readable from the surface."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from broca.instruments.probe.findings import claim, margins_of_trees, rungs, score_table, warnings
from broca.instruments.probe.published_probe import of_numbers
from broca.instruments.probe.score_maps import by_head, by_layer
from broca.instruments.probe.scores import How, Target, score_target
from broca.instruments.probe.statements import Statements
from broca.items import CONCLUSION, Tree
from broca.stats.f1 import macro_f1
from broca.stats.nulls import empirical_p
from broca.stats.probing import Classifier
from broca.stimuli.trees import trees

HOW = How(Classifier(), "all", 5, 60, 200, 0)


def statements(n=60, m=8, k=3):
    return Statements.of(trees("kth", k=k, m=m, n=n, pool=64))


def looked(rows, seed, *, useful=0.0, step=0.0, shape=(3, 2)):
    """Noise, plus more attention to useful statements in layer 1 and to the last step in layer 2, head 1."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(len(rows.text), *shape))
    x[:, 1] += useful * (rows.height > 0)[:, None]
    x[:, 2, 1] += step * (rows.height == rows.height.max())
    return x


def target(rows, name="useful", **more):
    twins = tuple(looked(rows, seed) for seed in range(10, 29))
    return Target(name, rows, looked(rows, 1, **more), twins, HOW)


def test_rows_and_classes_of_a_list():
    (tree,) = trees("kth", k=2, m=4, n=1, seed=3, pool=64)
    rows = Statements.of([tree])
    numbers = [int(said) for said in rows.said]
    order = np.argsort(numbers)
    kept, y = rows.target("useful")
    assert kept.all()
    assert [numbers[i] for i in np.flatnonzero(y)] == [n for n in numbers if n <= numbers[order[1]]]
    kept, y = rows.target("step")
    assert kept.sum() == 2
    assert y[[numbers[i] for i in np.flatnonzero(kept)].index(numbers[order[1]])] == 1


def test_what_is_planted_is_read_and_noise_is_not():
    rows = statements()
    found = score_target(target(rows, useful=3.0))
    assert found.row["score"] > 0.6
    assert found.row["score_low"] > 0.5
    assert found.row["p"] == pytest.approx(1 / 61)
    assert found.row["p_learned"] == 1 / 20
    assert found.row["margin"] > 0.3
    nothing = score_target(target(rows))
    assert abs(nothing.row["score"]) < 0.1
    assert nothing.row["p"] > 0.05
    assert abs(np.mean(nothing.row["score_random_all"])) < 0.1


@pytest.mark.parametrize("kind", ["logistic", "centroid"])
def test_other_classifiers_read_it_too(kind):
    rows = statements(40)
    own = target(rows, useful=3.0)
    found = score_target(replace(own, how=replace(HOW, classifier=Classifier(kind), permutations=5)))
    assert found.row["score"] > 0.6


def test_labels_shuffled_within_texts_score_nothing_in_trained_and_untrained():
    rows = statements()
    found = score_target(target(rows, useful=3.0))
    controls = {each["control"]: each for each in found.controls}
    assert abs(controls["permuted labels"]["score"]) < 0.1
    assert abs(controls["tree of another theory"]["score"]) < 0.1
    assert controls["control task"]["f1"] < found.row["f1"] - 0.3


def test_steps_are_scored_among_useful_statements_alone():
    rows = statements()
    found = score_target(target(rows, "step", step=4.0))
    assert found.row["n"] == 180
    assert found.row["score"] > 0.5
    assert score_target(target(rows, useful=4.0)).row["n"] == 480
    assert score_target(target(rows, "step", useful=4.0)).row["score"] < 0.15


def test_a_score_with_one_class_is_said_to_be_undefined():
    rows = statements(k=1)
    found = [score_target(target(rows, "useful", useful=3.0)), score_target(target(rows, "step"))]
    assert found[0].row["undefined"] is None
    assert found[1].row["undefined"] == "every statement asked about is of one step, so there is nothing to tell apart"
    assert (found[1].row["f1"], found[1].row["score"], found[1].predicted) == (None, None, None)
    assert "S_P2 (which step a useful statement belongs to) is undefined" in claim(found, "model", "kth", "No.")
    assert any(text.startswith("S_P2 is undefined") for text in warnings(found))
    assert of_numbers("step", rows, looked(rows, 1)[:, 0]) == 1.0  # the published score of nothing at all
    table = score_table(found, {"step": {"f1_published": 1.0, "score_published": None}})
    assert table["f1_published"].to_list() == [None, 1.0]
    everything = Tree("a", "x y", ((0, 1), (2, 3)), (2, 3), ((0, CONCLUSION), (1, CONCLUSION)), ("1", "2"), 0)
    all_useful = Statements.of([replace(everything, id=str(i)) for i in range(9)])
    assert "every statement asked about is useful" in score_target(target(all_useful)).row["undefined"]
    few = statements(3)
    assert "fewer theories than the 5 folds" in score_target(target(few)).row["undefined"]
    states = {rung.name: rung.state for rung in rungs([found[1]], None, alpha=0.05)}
    assert states == dict.fromkeys(("selective", "reliable", "learned"), "not tested")


def test_what_leaks_between_rows_of_a_theory_shows_in_folds_of_rows_alone():
    """Features that tell the theory and nothing else, where theories differ in how much of them is useful."""
    lists = [*trees("kth", k=1, m=8, n=40, pool=64), *trees("kth", k=7, m=8, n=40, seed=1, pool=64)]
    rows = Statements.of(lists)
    draw = np.random.default_rng(0)
    codes = draw.normal(size=(80, 3, 2))

    def telling(seed):
        return codes[rows.text] + 0.001 * np.random.default_rng(seed).normal(size=(len(rows.text), 3, 2))

    noise = tuple(looked(rows, seed) for seed in range(5))
    found = score_target(Target("useful", rows, telling(1), noise, HOW))
    assert found.row["f1_rows"] > 0.8
    assert found.row["f1"] < 0.6
    assert any("leakage between statements" in text for text in warnings([found]))


def test_attention_must_add_to_what_needs_no_model():
    """In lists, the number itself: small ones are mostly useful."""
    rows = statements(100)
    draw = np.random.default_rng(0)
    numbers = np.array([float(said) for said in rows.said])
    # Attention that goes by the number and nothing else tells useful statements well, and adds nothing to the number.
    copied = -numbers[:, None, None] / 10 + 0.001 * draw.normal(size=(len(numbers), 3, 2))
    found = score_target(replace(target(rows), own=copied))
    by_name = {each["baseline"]: each for each in found.baselines}
    assert by_name["surface"]["f1"] > 0.7
    assert by_name["position"]["f1"] < 0.6
    assert found.row["score"] > 0.4
    assert by_name["surface"]["gain_low"] < 0
    assert rungs([found], None, alpha=0.05)[0].state == "failed"
    strong = score_target(target(rows, useful=4.0))
    best = max(strong.baselines, key=lambda each: each["f1"])
    assert best["gain"] == pytest.approx(best["f1_with"] - best["f1"])
    assert best["gain_low"] > 0
    assert rungs([strong], None, alpha=0.05)[0].state == "passed"


def test_surface_knows_kinds_words_and_places():
    rows = Statements.of(trees("rules", depth=1, n=30, shuffled=False))
    own = Target("step", rows, looked(rows, 1), tuple(looked(rows, s) for s in range(5)), HOW)
    assert {b["baseline"]: b["f1"] for b in score_target(own).baselines}[
        "surface"
    ] == 1  # facts are leaves, rules are not
    surface = rows.surface()
    assert surface["position"].shape[1] == 3
    assert surface["surface"].shape[1] > 8
    tree = rows.trees[0]
    asked = tree.text[slice(*tree.query)].lower()
    shared = surface["surface"][0, 6]
    assert shared == len(
        {w.strip(".?,:") for w in tree.statement_texts[0].lower().split()}
        & set(asked.replace("?", " ").replace(",", " ").replace(":", " ").split())
    )


def test_the_layers_are_chosen_without_the_rows_that_are_tested():
    rows = statements(80)
    own = target(rows, useful=3.0)
    found = score_target(replace(own, how=replace(HOW, layers="nested", permutations=20)))
    assert set(found.row["layers_chosen"].split(", ")) <= {"layer 1", "layers 0-1", "all"}
    assert "layer 1" in found.row["layers_chosen"]
    assert found.row["score"] > 0.6


def test_maps_find_the_layer_and_the_head():
    rows = statements()
    table = by_layer(target(rows, useful=3.0), (4, 5, 6))
    single = table.filter(table["way"] == "single")
    assert single["layer"].to_list() == [4, 5, 6]
    assert single["f1"].arg_max() == 1
    assert single["q"][1] < 0.06
    assert single["q"][0] > 0.05
    cumulative = table.filter(table["way"] == "cumulative")["f1"].to_list()
    assert cumulative[1] > cumulative[0] + 0.2
    heads = by_head(target(rows, "step", step=4.0), (4, 5, 6))
    assert heads.shape[0] == 6
    best = heads.row(heads["f1"].arg_max(), named=True)
    assert (best["layer"], best["head"]) == (6, 1)
    assert best["random_high"] < best["f1"]
    assert best["q"] < 0.1


def test_p_is_that_of_shuffled_labels_and_of_a_prediction_interval():
    rows = statements(30)
    own = target(rows, useful=0.6)
    from broca.stats.probing import shuffle_within

    votes = own.votes(own.own)
    null = own.f1(votes, shuffle_within(own.y, own.text, n=60, seed=0))
    f1 = float(macro_f1(own.clusters(own.guesses(votes)).sum(0)))
    found = score_target(own)
    assert found.row["f1"] == pytest.approx(f1)
    assert found.row["p"] == pytest.approx(float(empirical_p(f1, null, "greater")))
    assert found.row["p_learned"] == pytest.approx(float(empirical_p(f1, found.row["f1_random_all"], "greater")))


def test_every_rung_says_its_numbers():
    rows = statements(80)
    found = [score_target(target(rows, useful=5.0)), score_target(target(rows, "step", step=5.0))]
    selective, reliable, learned = rungs(found, None, alpha=0.05)
    assert (selective.state, reliable.state, learned.state) == ("passed", "undecided", "passed")
    assert {"S_P1", "S_P2", "twins"} <= learned.numbers.keys()
    assert learned.numbers["twins"] == 19
    fewer = [replace(each.target, twins=each.target.twins[:3]) for each in found]
    assert rungs([score_target(each) for each in fewer], None, alpha=0.05)[2].state == "undecided"
    unshuffled = [score_target(replace(each.target, how=replace(HOW, permutations=0))) for each in found]
    assert rungs(unshuffled, None, alpha=0.05)[0].state == "not tested"


def test_margins_of_trees_are_means_over_their_rows():
    rows = statements(20)
    found = score_target(target(rows, useful=3.0))
    margins = margins_of_trees([found], rows)["useful"]
    np.testing.assert_allclose(margins[7], found.margin[rows.text == 7].mean())
    assert margins.shape == (20,)


def test_another_theorys_tree_has_as_many_statements_and_another_group():
    rows = Statements.of([*trees("rules", depth=1, n=12), *trees("kth", k=2, m=5, n=2, pool=64)])
    other = rows.of_another()
    assert other is not None
    for i, tree in enumerate(rows.trees):
        own = other[rows.text == i]
        donors = [t for t in rows.trees if t.heights == tuple(own) and (t.group or t.id) != (tree.group or tree.id)]
        assert donors
    assert Statements.of(trees("kth", k=2, m=5, n=1, pool=64)).of_another() is None
