"""Items without a group, beside others that have one or all alone: each is a group of its own, in every study.

The law: giving each thing its own cluster as its group, by name, changes no number.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import lists
import zoo
from broca.evidence.rungs import specific as specificity
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.instruments.perturb.spec import Perturb
from broca.instruments.probe.spec import Probe
from broca.instruments.sensitivity.spec import Sensitivity
from broca.items import Contrast, Edit, Item, Pair, Stimulus, Tree, cluster
from broca.scoring.completions import Completion, hashes, score_differences
from broca.stats.exchange import Sides
from broca.stats.intervals import codes
from broca.stats.logit import logit
from broca.stats.pairs import mean_interval
from broca.stats.probing import folds
from broca.stats.reliability import halves
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.corruption import corrupt
from broca.stimuli.trees import trees

GROUPS = {
    "none": lambda i: None,  # noqa: ARG005
    "some": lambda i: f"g{i % 3}" if i % 2 else None,
    "all": lambda i: f"g{i % 10}",
}
BLANKS = ("", None, float("nan"), "NaN", " ", "null")
LETTERS = "bcdfghjklmnprstvwz"


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


@pytest.fixture(params=GROUPS)
def group_of(request):
    return GROUPS[request.param]


def asked(n, name, group_of):
    return [
        {"id": f"{name}{i}", "prompt": f"{name} {i} has {LETTERS[i % 18] * 3}, so", "choices": ["xa", "yb"], "answer": i % 2,
         "group": group_of(i)}
        for i in range(n)
    ]  # fmt: skip


def written(folder, rows, name):
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def both(tmp_path, rows, name):
    """A table, and the same with each row's cluster written out."""
    (tmp_path / "named").mkdir(exist_ok=True)
    found = written(tmp_path, rows, name)
    named = [row | {"group": item.cluster} for row, item in zip(rows, benchmark(found), strict=True)]
    return found, written(tmp_path / "named", named, name)


def same(one, other):
    """Every table, number and word of two results, field by field."""
    compared = 0
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("spec", "mask"):  # these name the file
            continue
        if isinstance(a, pl.DataFrame):
            assert_frame_equal(a, b)
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
        elif field.name in ("verdict", "guards", "estimate", "claim"):
            assert str(a).replace("/named/", "/") == str(b).replace("/named/", "/"), field.name
        compared += 1
    assert compared > 5


def test_a_lesion_is_compared_with_other_abilities(lm, tmp_path, group_of):
    mine, others = (both(tmp_path, asked(12, name, group_of), name) for name in ("colours", "shapes"))
    contrast = Contrast(
        "letters",
        tuple(Stimulus(f"p{i}", f"the x is {c}", group_of(i) or "") for i, c in enumerate(LETTERS)),
        tuple(Stimulus(f"n{i}", f"the y is {c}", group_of(i) or "") for i, c in enumerate(LETTERS)),
    )
    found = [
        CausalTest(localizer=Localize(contrast=contrast, sites="*.mlp_act"), items=own, others=(other,), draws=2,
                   fills=("zero",), gate="mark", n_bootstrap=50).run(lm)
        for own, other in zip(mine, others, strict=True)
    ]  # fmt: skip
    same(*found)
    assert found[0].matrix["low"].is_finite().all()


def test_a_weight_mask_is_compared_with_other_abilities(lm, tmp_path, group_of):
    mine, others = (both(tmp_path, asked(12, name, group_of), name) for name in ("colours", "shapes"))
    found = [
        Sensitivity(task=own, others=(other,), gate="mark", draws=2, sweep_draws=1, n_general=4, n_read=4, window=24,
                    reading={"length": 24}, sweep="0,0.01,0.03", n_bootstrap=50).run(lm)
        for own, other in zip(mine, others, strict=True)
    ]  # fmt: skip
    same(*found)


def test_mistakes_cost(lm, tmp_path, group_of):
    rows = [
        row | {"prompt": f"the {LETTERS[i] * 2}aper of {i} is"} for i, row in enumerate(asked(12, "towns", group_of))
    ]
    own, named = both(tmp_path, rows, "towns")
    how = {"kinds": ("delete",), "n": 12, "controls": False, "cases": 0, "compare": 0, "twins": 0, "n_bootstrap": 50}
    found, other = (Perturb(items=path, **how).run(lm) for path in (own, named))
    assert found.task["wordings"] == other.task["wordings"] == len({item.cluster for item in benchmark(own)})
    assert found.kinds["drop_low"].is_finite().all()
    assert_frame_equal(found.kinds, other.kinds)


def grown(group_of, reader):
    """Lists of numbers as trees of a user's own."""
    return [
        {"id": f"t{i}", "statements": list(tree.statement_texts), "edges": [[a + 1, "conclusion" if b < 0 else b + 1] for a, b in tree.edges],
         "question": " 60", "choices": [choice.strip() for choice in tree.choices], "answer": "abcdef"[tree.answer], "group": group_of(i)}
        for i, tree in enumerate(trees("kth", k=2, m=6, n=30, tokenizer=reader.tokenizer))
    ]  # fmt: skip


def test_trees_are_read(tmp_path, group_of):
    reader = lists.reader()
    found, named = grown(group_of, reader), []
    for row, tree in zip(found, trees(written(tmp_path, found, "lists")), strict=True):
        named.append(row | {"group": tree.cluster})
    (tmp_path / "named").mkdir()
    options = {"n": 30, "n_items": 4, "twins": 1, "permutations": 10, "n_bootstrap": 50, "edges": True, "draws": 2,
               "corruptions": ("insert", "shuffle")}  # fmt: skip
    same(
        *(
            Probe(task=written(folder, rows, "lists"), **options).run(reader)
            for folder, rows in ((tmp_path, found), (tmp_path / "named", named))
        )
    )


# ---- the rule itself, and everything that statistics are made of


@pytest.mark.parametrize("blank", BLANKS[:3])
def test_one_rule(blank):
    things = (
        Stimulus("x", "a", group=blank),
        Item("x", "a", ("b",), 0, group=blank),
        Tree("x", "a b", ((0, 1),), (2, 3), ((0, -1),), ("b",), 0, group=blank),
        Pair("x", "a", "b", (Edit(0, 1, "a", "b"),), "k", group=blank),
    )
    assert all(thing.cluster == cluster(None, thing.cluster.removeprefix("alone: ")) for thing in things)
    assert all(replace(thing, group="g").cluster == "g" for thing in things)
    assert Item("x", "a", ("b",), 0, "one").cluster != Item("x", "a", ("b",), 0, "other").cluster
    assert cluster(2.0, "x") == cluster(2, "x") == cluster(" 2 ", "x") == "2"


@pytest.mark.parametrize(
    "labels", [["", "", "a", "a", None], np.array(["", "", "a", "a", None], object), [np.nan, np.nan, 1.0, 1.0, np.nan]]
)
def test_a_label_that_names_no_group_stands_for_itself(labels):
    named = np.array([0, 1, 2, 2, 3])
    rng = np.random.default_rng(0)
    y, x = rng.random(5), np.array([0, 1, 0, 1, 1])
    how = {"n": 100, "seed": 1}
    assert codes(np.asarray(labels)).tolist() == named.tolist()
    assert mean_interval(y, groups=labels, **how) == mean_interval(y, groups=named, **how)
    assert [a.tolist() for a in halves(5, groups=labels)] == [a.tolist() for a in halves(5, groups=named)]
    assert [b.tolist() for _, b in folds(5, labels, k=3)] == [b.tolist() for _, b in folds(5, named, k=3)]
    assert logit(x, y, groups=labels) == logit(x, y, groups=named)
    assert Sides.of(5, 5, groups=(labels, None)).scheme == Sides.of(5, 5, groups=(named, None)).scheme == "groups"


@pytest.mark.parametrize("groups", [[""] * 8, [None] * 8, ["g"] * 8, ["", "g", "g", ""] * 2])
def test_rows_of_older_runs_are_compared_too(groups):
    rows = [
        {"ability": ability, "condition": condition, "group": group, "correct": condition == "intact" or i % 2 == 0}
        for ability in ("own", "other")
        for condition in ("intact", "lesion")
        for i, group in enumerate(groups)
    ]
    table, boot = pl.DataFrame(rows, schema_overrides={"group": pl.String}), {"n": 100, "seed": 0}
    found = specificity.more_than(table, {"condition": "lesion"}, "own", "other", level=0.95, boot=boot)
    assert found.value == 0
    assert np.isfinite([found.low, found.high]).all()


def test_statements_are_put_in_from_trees_without_groups():
    made = [replace(tree, group="") for tree in trees("rules", n=6)]
    assert corrupt(made[0], "insert", others=made[1:]).index is not None


def test_completions_without_a_wording_are_wordings_of_their_own():
    found = [
        Completion(f"{i}", kind, "q", f"{kind} {i}", "g" if i > 5 else "")
        for i in range(8)
        for kind in ("clean", "typo")
    ]
    rows = pl.DataFrame(hashes(found)).with_columns(score=pl.Series([float(i % 5) for i in range(16)]))
    assert rows["group"].n_unique() == 7
    old = rows.with_columns(pl.when(pl.col("group") != "g").then(pl.lit("")).otherwise("group").alias("group"))
    assert score_differences(rows, "score")["low"][0] is not None
    assert_frame_equal(score_differences(rows, "score"), score_differences(old, "score"))


# ---- how a table says that there is none


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
@pytest.mark.parametrize("blank", BLANKS)
def test_tables_with_empty_groups(tmp_path, suffix, blank):
    rows = [{"prompt": f"q {i}", "choices": "a|b", "answer": "a", "group": blank if i else "g"} for i in range(3)]
    path = tmp_path / f"items.{suffix}"
    frame = pl.DataFrame(rows, schema_overrides={"group": pl.String}, strict=False)
    if suffix in ("csv", "tsv"):
        frame.write_csv(path, separator="," if suffix == "csv" else "\t")
    elif suffix == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_ndjson(path) if suffix == "jsonl" else path.write_text(json.dumps(frame.to_dicts()))
    assert [item.group for item in benchmark(path)] == ["g", "", ""]
    assert len({item.cluster for item in benchmark(path)}) == 3


def test_whole_numbers_beside_missing_groups(tmp_path):
    pl.DataFrame(
        {"prompt": ["x", "y", "z"], "choices": ["a|b"] * 3, "answer": ["a"] * 3, "group": [1.0, float("nan"), 2.0]}
    ).write_parquet(tmp_path / "a.parquet")
    assert [item.group for item in benchmark(tmp_path / "a.parquet")] == ["1", "", "2"]
