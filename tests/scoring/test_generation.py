"""Scoring by generation: how a text names a choice, and what is invalid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from broca.errors import GuardError, StimulusError
from broca.items import Item
from broca.models.lm import LM
from broca.scoring import ROW_SCHEMA, Generation, summarise
from broca.sites import Site

ITEM = Item("0", "Where?", ("box", "red bag", "Bag"), 1)


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


@pytest.fixture
def says(lm, monkeypatch):
    """A scorer's row when the model writes a given text."""

    def row(text, scorer, item=ITEM):
        prompts = []
        monkeypatch.setattr(LM, "generate", lambda _lm, texts, **_more: prompts.extend(texts) or [text] * len(texts))
        return {**scorer(lm, [item]).row(0, named=True), "prompt": prompts[0].text}

    return row


@pytest.mark.parametrize(
    ("text", "options", "predicted"),
    [
        ("box", {}, 0),
        (" Box\n", {}, 0),
        ("Box", {"case": "exact"}, -1),
        ("Bag", {"case": "exact"}, 2),
        (" box", {"strip": False}, -1),
        ("box", {"strip": False}, 0),
        ("box.", {}, -1),
        ("", {}, -1),
        ("red  bag", {}, -1),
        ("Box. It is", {"match": "first-word"}, 0),
        ("“Red” bag", {"match": "first-word"}, 1),
        ("- box", {"match": "first-word"}, 0),
        ("boxes", {"match": "first-word"}, -1),
        ("...", {"match": "first-word"}, -1),
        ("A", {"match": "letter"}, 0),
        (" (b) red bag", {"match": "letter"}, 1),
        ("C.", {"match": "letter", "case": "exact"}, -1),
        ("c)", {"match": "letter", "case": "exact"}, 2),
        ("d", {"match": "letter"}, -1),
        ("bag", {"match": "letter"}, -1),
        ("it is in the box, I think", {"match": "contains"}, 0),
        ("it is in the red bag", {"match": "contains"}, 1),
        ("in the BAG!", {"match": "contains"}, 2),
        ("box or bag", {"match": "contains"}, -1),
        ("the red bag, not another bag", {"match": "contains"}, -1),
        ("boxes and handbags", {"match": "contains"}, -1),
        ("answer:box", {"match": "contains"}, 0),
    ],
)
def test_how_a_text_names_a_choice(says, text, options, predicted):
    row = says(text, Generation(**options))
    assert row["predicted"] == predicted
    assert row["invalid"] == (predicted == -1)
    assert row["correct"] == (predicted == 1)
    assert (row["text"], row["score"], row["logprobs"]) == (text, None, [])


def test_accents_composed_or_not_are_the_same(says):
    item = Item("0", "p", ("cafe\u0301", "th\u00e9"), 0)
    assert says("caf\u00e9", Generation(), item)["predicted"] == 0
    assert says("the\u0301!", Generation(match="contains"), item)["predicted"] == 1


def test_scripts_without_spaces_and_signs_are_found_too(says):
    item = Item("0", "p", ("箱", "かご", "!"), 0)
    assert says("鍵は箱の中です", Generation(match="contains"), item)["predicted"] == 0
    assert says("yes!", Generation(match="contains"), item)["predicted"] == 2


def test_a_letter_with_a_mark_is_another_letter(says):
    item = Item("0", "p", ("x", "มา", "ö"), 0)
    for text in ("x\u0304", "x\u0304 is it", "มา\u0e49", "x\u20dd"):
        assert says(text, Generation(match="contains"), item)["invalid"]
    assert says("อยากมานะ", Generation(match="contains"), item)["predicted"] == 1


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4), st.text(max_size=20))
def test_any_text_names_one_choice_or_none(choices, text):
    item = Item("0", "p", tuple(choices), 0)
    for match in ("exact", "first-word", "letter", "contains"):
        scorer = Generation(match=match)
        try:
            keys = scorer._keys(item)
        except StimulusError:
            assert match != "letter"
            continue
        assert -1 <= scorer._find_choice(text, keys) < len(choices)
        if match in ("exact", "contains"):
            assert [scorer._find_choice(choice, keys) for choice in choices] == list(range(len(choices)))


@pytest.mark.parametrize(
    ("choices", "options"),
    [
        (("Box", "box"), {}),
        (("red box", "red bag"), {"match": "first-word"}),
        (("!", "?"), {"match": "first-word"}),
        ((" x", "x"), {"match": "contains"}),
    ],
)
def test_choices_that_cannot_be_told_apart_are_refused(lm, choices, options):
    with pytest.raises(StimulusError, match="Item 'twins': its choices"):
        Generation(**options)(lm, [Item("twins", "p", choices, 0)])


def test_what_the_case_tells_apart_stays_apart(says):
    item = Item("0", "p", ("Box", "box"), 0)
    assert says("box", Generation(case="exact"), item)["predicted"] == 1


def test_letters_are_listed_before_the_cue(says):
    listed = "Where?\n\na. box\nb. red bag\nc. Bag\nAnswer:"
    assert says("a", Generation(match="letter"))["prompt"] == listed
    assert says("a", Generation(match="letter", cue="Answer letter:"))["prompt"] == listed[:-1] + " letter:"
    assert says("a", Generation())["prompt"] == "Where?"
    assert says("a", Generation(cue="In:"))["prompt"] == "Where? In:"
    assert says("a", Generation(cue="答案"), Item("0", "在哪里？", ("a", "b"), 0))["prompt"] == "在哪里？答案"
    assert says("a", Generation(cue="is"), Item("0", "It (", ("a", "b"), 0))["prompt"] == "It (is"


def test_the_recipe_of_one_greedy_token_on_a_real_model(lm):
    """Decode, strip, lower, compare with the letter (Jamaa et al., 2025): here by hand, one item at a time."""
    items = [Item(str(i), "Q" * (i + 1) + "\na. x\nb. y\nAnswer:", ("a", "b"), i % 2, "q") for i in range(12)]
    table = Generation()(lm, items)
    assert table.schema == ROW_SCHEMA
    said = [lm.tokenizer.decode([int(lm.next_logits(b).argmax())]) for item in items for b in lm.batches(lm.tokenize([item.prompt]))]  # fmt: skip
    assert table["text"].to_list() == said
    expected = [{"a": 0, "b": 1}.get(s.strip().lower(), -1) for s in said]
    assert table["predicted"].to_list() == expected
    summary = summarise(table).row(0, named=True)
    assert summary["invalid"] == expected.count(-1) > 0
    assert summary["accuracy"] == sum(p == i % 2 for i, p in enumerate(expected)) / 12


def test_longer_texts_do_not_depend_on_the_batch(lm):
    items = [Item(str(i), "Q" * (3 * i + 1), ("a", "b"), 0) for i in range(9)]
    scorer = Generation(max_new_tokens=6, match="contains")
    texts = scorer(lm, items)["text"].to_list()
    assert texts == [scorer(lm, [item])["text"][0] for item in items]
    assert len(set(texts)) > 1


def test_sampling_needs_a_seed_and_repeats_with_it(lm):
    items = [Item(str(i), "Q" * 5, ("a", "b"), 0) for i in range(6)]
    once, again, other = (
        Generation(max_new_tokens=5, temperature=1.5, seed=seed)(lm, items)["text"].to_list() for seed in (0, 0, 1)
    )
    assert once == again != other
    assert len(set(once)) > 1
    for options in ({"temperature": 1.0}, {"temperature": -1.0, "seed": 0}, {"max_new_tokens": 0}):
        with pytest.raises(StimulusError):
            Generation(**options)


def test_what_does_not_fit_is_refused_by_name(lm):
    with pytest.raises(StimulusError, match="Item 'long': 128 tokens and 2 new ones"):
        Generation(max_new_tokens=2)(lm, [Item("long", "a" * 127, ("a", "b"), 0)])
    assert len(Generation(max_new_tokens=1)(lm, [Item("fits", "a" * 127, ("a", "b"), 0)])) == 1


def test_an_edit_that_never_ran_is_reported(lm):
    class Idle:
        fingerprint, reads_prompt = "idle", False

        def apply(self, _lm):
            from contextlib import nullcontext

            return nullcontext({Site(0, "z"): 0})

    with lm.under(Idle()), pytest.raises(GuardError, match=r"0\.z did not run"):
        Generation()(lm, [ITEM])


def test_no_items_no_rows(lm):
    assert Generation()(lm, []).schema == ROW_SCHEMA
