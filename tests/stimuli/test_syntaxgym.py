"""Suites of SyntaxGym: minimal pairs, the same words after two beginnings, differences of differences; priced and counted by hand."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path

import polars as pl
import pytest
import torch

import zoo
from broca.errors import StimulusError
from broca.items import Item
from broca.models.questions import split
from broca.scoring import Generation, Likelihood, Permuted
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.orders import shuffle_choices

AGREEMENT = {"match": ["The woman", "plays", "the guitar"], "mismatch": ["The woman", "play", "the guitar"]}
GARDEN = {
    "ambig_nocomma": ["As the ship", "crossed", "", "the waters", "were", "blue."],
    "ambig_comma": ["As the ship", "crossed", ",", "the waters", "were", "blue."],
    "unambig_nocomma": ["As the ship", "drifted", "", "the waters", "were", "blue."],
    "unambig_comma": ["As the ship", "drifted", ",", "the waters", "were", "blue."],
}
CLEFT = {
    "np_match": ["What he", "ate", "was", "the", "apple", "."],
    "np_mismatch": ["What he", "did", "was", "the", "apple", "."],
    "vp_match": ["What he", "did", "was", "eat", "the apple", "."],
    "vp_mismatch": ["What he", "ate", "was", "eat", "the apple", "."],
}
MORE = "((5;%ambig_nocomma%) > (5;%ambig_comma%) ) &  ((5;%ambig_nocomma%) > (5;%unambig_nocomma%) )"
INTERACTION = "(((5;%ambig_nocomma%) - (5;%ambig_comma%) ) > ((5;%unambig_nocomma%) - (5;%unambig_comma%) ))"
SUMS = "((5;%np_mismatch%)-(5;%np_match%))+(((4;%vp_mismatch%)+(5;%vp_mismatch%))-((4;%vp_match%)+(5;%vp_match%)))>0"


def suite(path, *formulas, conditions=AGREEMENT, n=2, **meta):
    content = {
        "meta": {"name": "agreement", "metric": "sum", **meta},
        "region_meta": {},
        "predictions": [{"type": "formula", "formula": formula} for formula in formulas],
        "items": [
            {
                "item_number": number,
                "conditions": [
                    {
                        "condition_name": name,
                        "regions": [{"region_number": i, "content": text} for i, text in enumerate(own, 1)],
                    }
                    for name, own in conditions.items()
                ],
            }
            for number in range(1, n + 1)
        ],
    }
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def lm():
    made = zoo.lm("llama")
    made.model.config.max_position_embeddings = 1024
    made.model.double()
    return made


def surprisals(lm, contents):
    """What each region surprises, in nats, in one pass over the sentence: a region has the space before it."""
    text, ends = "\n", []
    for content in contents:
        text += (" " if len(text) > 1 and content else "") + content
        ends.append(len(text))
    (tokens,) = lm.tokenize([text])
    logits = lm.model(torch.tensor([tokens.ids])).logits[0].detach().log_softmax(-1)
    found = dict.fromkeys(range(1, len(contents) + 1), 0.0)
    for at, (start, end) in enumerate(tokens.offsets):
        if at >= tokens.prefix and end > start and start >= 1:
            region = next(n for n, limit in enumerate(ends, 1) if start < limit)
            found[region] -= float(logits[at - 1, tokens.ids[at]])
    return found


def holds(lm, conditions, formula):
    """A prediction over the surprisals, worked out by Python."""
    values = {name: surprisals(lm, regions) for name, regions in conditions.items()}

    def number(term):
        own = values[term[2]]
        return repr(sum(own.values()) if term[1] == "*" else own[int(term[1])])

    text = re.sub(r"\(\s*(\d+|\*)\s*;\s*%([\w-]+)%\s*\)", number, formula).replace("[", "(").replace("]", ")")
    return eval(text.replace("&", " and "))


# -- what is read ----------------------------------------------------------------------------------------------------


def test_predictions_that_are_minimal_pairs(tmp_path):
    path = suite(tmp_path / "agreement.json", "(2;%mismatch%) > (2;%match%)")
    one, other = benchmark(path)
    assert (one.prompt, one.choices, one.answer, one.ability) == ("\nThe woman", (" plays", " play"), 0, "agreement")
    assert (other.choices, other.answer, other.id) == ((" play", " plays"), 1, "agreement:2:1")
    assert (one.group, other.group, one.passages) == ("agreement:1", "agreement:2", ())
    whole = benchmark(suite(path, "(*;%match%) < (*;%mismatch%)"))[0]
    assert whole.choices == (" plays the guitar", " play the guitar")
    assert whole == benchmark(suite(path, "[(2;%mismatch%) + (3;%mismatch%)] > [(2;%match%)+(3;%match%)]"))[0]
    several = benchmark(suite(path, "((2;%mismatch%) > (2;%match%)) & ((*;%mismatch%) > (*;%match%))"))
    assert [item.tags["prediction"] for item in several] == ["1", "2", "1", "2"]


def test_the_same_words_after_two_beginnings(tmp_path):
    one, other = benchmark(suite(tmp_path / "s.json", "(3;%mismatch%) > (3;%match%)"))
    passages = ((("\nThe woman plays", " the guitar"),), (("\nThe woman play", " the guitar"),))
    assert one.passages == passages == other.passages[::-1]
    assert (one.choices, one.answer) == (("The woman plays the guitar", "The woman play the guitar"), 0)
    assert other.answer == 1


def test_differences_of_differences_and_sums_of_neighbours(tmp_path):
    path = suite(tmp_path / "s.json", f"{MORE} & {INTERACTION}", conditions=GARDEN, n=1)
    items = benchmark(path)
    assert [item.tags["prediction"] for item in items] == ["1", "2", "3"]
    assert {item.group for item in items} == {"s:1"}
    (better, worse) = items[2].passages
    assert {before for before, _ in better} == {
        "\nAs the ship crossed , the waters",
        "\nAs the ship drifted the waters",
    }
    assert {before for before, _ in worse} == {"\nAs the ship crossed the waters", "\nAs the ship drifted , the waters"}
    (cleft,) = benchmark(suite(path, SUMS, conditions=CLEFT, n=1))
    assert cleft.passages[0] == (
        ("\nWhat he ate was the", " apple"),
        ("\nWhat he did was", " eat the apple"),
    )


@pytest.mark.parametrize(
    ("formula", "conditions"),
    [
        ("(2;%mismatch%) > (2;%match%)", AGREEMENT),
        ("(3;%mismatch%) < (3;%match%)", AGREEMENT),
        ("(*;%mismatch%) > (*;%match%)", AGREEMENT),
        (f"{MORE} & {INTERACTION}", GARDEN),
        (INTERACTION.replace(">", "<"), GARDEN),
        ("[(3;%ambig_comma%) + (5;%ambig_comma%)] > (5;%unambig_comma%)", GARDEN),
        ("(5;%ambig_comma%) + (5;%ambig_comma%) > (5;%unambig_comma%) + (5;%ambig_nocomma%)", GARDEN),
        (SUMS, CLEFT),
        (SUMS.replace(">0", "< 0"), CLEFT),
        ("-(5;%np_match%) > -(5;%np_mismatch%)", CLEFT),
    ],
)
def test_a_likelihood_says_of_each_prediction_what_the_surprisals_do(lm, tmp_path, formula, conditions):
    rows = Likelihood()(lm, benchmark(suite(tmp_path / "s.json", formula, conditions=conditions)))
    found = rows.group_by("group").agg(pl.col("correct").all())["correct"].to_list()
    assert found == [holds(lm, conditions, formula)] * 2


def test_margins_are_those_of_the_surprisals(lm, tmp_path):
    (item, _) = benchmark(suite(tmp_path / "s.json", INTERACTION, conditions=GARDEN))
    s = {name: surprisals(lm, regions)[5] for name, regions in GARDEN.items()}
    margin = (s["ambig_nocomma"] - s["ambig_comma"]) - (s["unambig_nocomma"] - s["unambig_comma"])
    row = Likelihood()(lm, [item]).row(0, named=True)
    assert row["score"] == pytest.approx(margin, abs=1e-9)
    mean = Likelihood("mean")(lm, [item]).row(0, named=True)
    assert mean["logprobs"] == pytest.approx([value / 10 for value in row["logprobs"]])  # two times five tokens
    turned = Permuted(Likelihood())(lm, [item]).row(0, named=True)
    assert turned["logprobs"] == pytest.approx(row["logprobs"])
    mixed = [Item("p", "One", (" two", " three"), 0), item, Item("q", "Four", (" five", " six"), 1)]
    together = Likelihood()(lm, mixed)
    assert together["score"].to_list() == pytest.approx([Likelihood()(lm, [one])["score"][0] for one in mixed])


def test_a_suite_of_the_shared_form_with_oddities(tmp_path):
    """CRLF in contents, umlauts, regions out of order, a byte order mark, further fields."""
    path = suite(
        tmp_path / "s.json",
        "(2;%b%) > (2;%a%)",
        conditions={"a": ["Über  die", "Tür\r\n", ""], "b": ["Über  die", "Türen", ""]},
        n=1,
        author="x",
    )
    content = json.loads(path.read_text(encoding="utf-8"))
    for condition in content["items"][0]["conditions"]:
        condition["regions"].reverse()
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8-sig")
    (item,) = benchmark(path)
    assert (item.prompt, item.choices) == ("\nÜber  die", (" Tür", " Türen"))


# -- what is not ------------------------------------------------------------------------------------------------------


def test_equalities_and_comparisons_with_oneself_are_left_out(tmp_path):
    both = "((3;%mismatch%) > (3;%match%)) & ((2;%match%) = (2;%mismatch%))"
    assert [item.tags["prediction"] for item in benchmark(suite(tmp_path / "s.json", both, n=1))] == ["1"]
    alike = {"a": ["So", "it is"], "b": ["So", "it is"], "c": ["So", "is it"]}
    kept = benchmark(suite(tmp_path / "s.json", "((2;%a%) < (2;%b%)) & ((2;%a%) < (2;%c%))", conditions=alike, n=1))
    assert [item.tags["prediction"] for item in kept] == ["2"]
    with pytest.raises(StimulusError, match="no prediction that compares two different sums"):
        benchmark(suite(tmp_path / "s.json", "(2;%a%) < (2;%b%)", conditions=alike))


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("(2;%mismatch%) > (2;%mtach%)", "item 1: a prediction names mtach 2, which it lacks"),
        ("(9;%mismatch%) > (2;%match%)", "item 1: a prediction names mismatch 9, which it lacks"),
        ("(2;%mismatch%) = (2;%match%)", "no prediction that compares"),
        (3, "prediction .* has no formula"),
        ("", r"cannot be read \(invalid syntax"),
        ("(2;%mismatch%) >", r"cannot be read \(invalid syntax"),
        ("(2;%mismatch%)", r"cannot be read \('region_0.*' is no comparison by <, > or ="),
        ("(2;%mismatch%) > 3", r"cannot be read \('3' is no sum of regions"),
        ("(2;%mismatch%) > 0", r"cannot be read \(one side of a comparison has no region"),
        ("(2;%mismatch%) >= (2;%match%)", "is no comparison by <, > or ="),
        ("((2;%mismatch%) > (2;%match%)) | ((2;%match%) > (2;%mismatch%))", "is no comparison by <, > or ="),
        ("(2;%mismatch%) > (2;%match%) > (3;%match%)", "is no comparison by <, > or ="),
        ("(2;%mismatch%) * 2 > (2;%match%)", "is no sum of regions"),
        ("__import__('os').abort() > (2;%match%)", "is no sum of regions"),
        ("(" * 400 + "(2;%match%)" + ")" * 400, "cannot be read"),
    ],
)
def test_predictions_of_another_kind(tmp_path, formula, said):
    with pytest.raises(StimulusError, match=said):
        benchmark(suite(tmp_path / "s.json", formula))


def test_suites_of_another_form(tmp_path):
    path = suite(tmp_path / "s.json", "(2;%mismatch%) > (2;%match%)")
    content = json.loads(path.read_text())
    for change, said in [
        ({"meta": {"metric": "mean"}}, "its metric is 'mean'. Regions are summed here"),
        ({"items": [{"conditions": [{"condition_name": "a"}]}]}, "item 1: its conditions have another form"),
        ({"items": [3]}, "item 1: its conditions have another form"),
        ({"items": []}, "no prediction that compares two different sums by < or >, or no items"),
        ({"predictions": []}, "no prediction that compares"),
    ]:
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(StimulusError, match=said):
            benchmark(path)
    empty = {"a": ["So", ""], "b": ["So", "it"]}
    with pytest.raises(StimulusError, match="item 1: all regions of one side of a prediction are empty"):
        benchmark(suite(path, "(2;%a%) < (2;%b%)", conditions=empty))


def test_who_asks_in_words_refuses_such_items(lm, tmp_path):
    items = benchmark(suite(tmp_path / "s.json", "(3;%mismatch%) > (3;%match%)"))
    said = "Item 's:1:1' compares texts after contexts of their own"
    for ask in (Generation(), Likelihood(options="letter"), Permuted(Generation())):
        with pytest.raises(StimulusError, match=said):
            ask(lm, items)
    with pytest.raises(StimulusError, match=said):
        Likelihood().questions(lm, items)
    assert split(lm, [items[0].prompt], [[" x"]])  # the prompt is a text that a model can be shown
    (turned, _) = shuffle_choices(items, 3)
    assert turned.passages[turned.answer] == items[0].passages[items[0].answer]
    assert len({item.fingerprint for item in items}) == 2
    with pytest.raises(StimulusError, match="passages of 1 choices, and 2 choices"):
        Item("i", "p", ("a", "b"), 0, passages=((("x", "y"),),))
    with pytest.raises(StimulusError, match="none with an empty context or text"):
        Item("i", "p", ("a",), 0, passages=((("", "y"),),))


# -- the suites of 2020 -----------------------------------------------------------------------------------------------


def suites() -> list[Path]:
    """The published ones, where they are present: BROCA_SYNTAXGYM, or what brainscore-language brings."""
    folder = os.environ.get("BROCA_SYNTAXGYM")
    spec = None if folder else importlib.util.find_spec("brainscore_language")
    if spec is not None and spec.submodule_search_locations:
        folder = f"{spec.submodule_search_locations[0]}/benchmarks/syntaxgym/suites/syntaxgym-2020"
    return sorted(Path(folder).glob("*.json")) if folder else []


@pytest.mark.slow
def test_all_suites_of_2020_are_read_and_counted(lm):
    found = suites()
    if not found:
        pytest.skip("no suites: set BROCA_SYNTAXGYM, or install brainscore-language")
    assert len(found) == 31
    for path in found:
        content = json.loads(path.read_text())
        items = benchmark(path)
        assert len({item.group for item in items}) == len(content["items"])
        formulas = [p["formula"] for p in content["predictions"] if "=" not in p["formula"]]
        whole = max(sum(item.group == one.group for item in items) for one in items)
        rows = Likelihood()(lm, items).group_by("group", maintain_order=True)
        counted = rows.agg(pl.col("correct").all(), n=pl.len())
        for entry, (group, right, n) in zip(content["items"], counted.iter_rows(), strict=True):
            if n == whole:
                conditions = {
                    c["condition_name"]: [r["content"] for r in sorted(c["regions"], key=lambda r: r["region_number"])]
                    for c in entry["conditions"]
                }
                assert right == all(holds(lm, conditions, formula) for formula in formulas), group
