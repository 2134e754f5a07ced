"""Answers read from what was written, never from what was asked; T2 and T9 of the published defects."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import StimulusError
from broca.items import Item
from broca.scoring.answers import (
    choices,
    completion_of,
    exact_match,
    f1,
    grade_answers,
    number,
    rates,
    read_number,
)
from broca.stimuli.perturb import pairs

READ = [
    # text, answer, first, last, how
    ("97", 97, 97, 97, "first"),
    ("97, because adding 4 to 93 gives it", 97, 97, 93, "first"),
    ("The answer is 97, because 4 + 93 = 97.", 97, 97, 97, "said"),
    ("Step 1: add them. The answer is **97**.", 97, 1, 97, "said"),
    ("Let me try 12. The answer is 4 + 93 = 97. Or 98?", 97, 12, 98, "said"),
    ("I take 4 and 93 and get 97", 4, 4, 97, "first"),
    ("4 + 93 = 97", 97, 97, 97, "equals"),
    ("4 plus 93 equals 97", 97, 97, 97, "equals"),
    ("20 -21 = -1", -1, -1, -1, "equals"),
    ("5-3=2", 2, 2, 2, "equals"),
    ("10 − 12 is −2", -2, -2, -2, "equals"),
    ("6 ÷ 4 = 1.5", Fraction(3, 2), Fraction(3, 2), Fraction(3, 2), "equals"),
    ("Answer: - 2", -2, -2, -2, "said"),
    ("= -1", -1, -1, -1, "first"),
    ("1,234,567.5 in all", Fraction(2469135, 2), Fraction(2469135, 2), Fraction(2469135, 2), "first"),
    ("1, 2 and 3", 1, 1, 3, "first"),
    ("it is 3/2", Fraction(3, 2), Fraction(3, 2), Fraction(3, 2), "first"),
    (r"first 7, then \boxed{\frac{-3}{2}}", Fraction(-3, 2), 7, Fraction(-3, 2), "boxed"),
    ("7 apples\n#### 1,200 dollars", 1200, 7, 1200, "marked"),
    ("1.5e3", 1500, 1500, 1500, "first"),
    ("4 + 93 =", None, None, None, ""),
    ("I do not know.", None, None, None, ""),
    ("1/0", None, None, None, ""),
]


@pytest.mark.parametrize(("text", "answer", "first", "last", "how"), READ, ids=[row[0] for row in READ])
def test_what_is_read(text, answer, first, last, how):
    found = read_number(text)
    assert (found.answer, found.first, found.last, found.how) == (answer, first, last, how)


@given(
    st.fractions(max_denominator=10**6), st.sampled_from(["The answer is {}.", "{}", "{}, of course", r"\boxed{{{}}}"])
)
def test_every_fraction_is_read_back(value, frame):
    assert read_number(frame.format(value)).answer == value
    assert number(str(value)) == value


@given(st.integers(-(10**9), 10**9))
def test_separators_signs_and_decimals_make_no_difference(value):
    shapes = (f"{value:,}", f"{value}.0", f"{value}".replace("-", "−"), f"${value}$")
    assert {number(shape) for shape in shapes} == {value}


@given(st.text())
def test_any_text_is_read_without_a_complaint(text):
    found = read_number(text)
    assert (found.answer is None) == (found.first is None and not found.how)


ASKED = "Work this out: 20 - 21 ="


def test_an_answer_with_an_explanation_is_right_and_the_published_rule_says_wrong():
    texts = ["-1", "-1. Taking 21 from 20 leaves -1, as 20 is less than 21", f"{ASKED} -1", "20 - 21 = -1 because 1"]
    table = grade_answers(list("abcd"), ["-1"] * 4, texts, prompts=[ASKED] * 4)
    assert table["correct"].to_list() == [True] * 4
    assert table["last_correct"].to_list() == [True, False, True, False]
    assert table["echo"].to_list() == [False, False, True, True]
    assert table["answer"].to_list() == ["-1"] * 4


def test_an_echo_earns_nothing_and_is_counted():
    table = grade_answers(["a", "b"], ["0", "20"], [ASKED, " 20 - 21 ="], prompts=[ASKED] * 2)
    assert rates(table) == {
        "correct": 0.0,
        "first_correct": 0.0,
        "last_correct": 0.0,
        "unparsed": 1.0,
        "echo": 1.0,
        "length": 0.0,
    }
    assert _echo(["20", "21"], [ASKED, ASKED]) == 0
    # without being told the prompt, its operands are still no answers
    assert grade_answers(["a"], ["21"], [ASKED])["unparsed"].to_list() == [True]


def test_decimals_and_signs_that_the_published_grader_could_not_reach():
    table = grade_answers(["848", "1000", "third"], ["1.5", "-1", "7/3"], ["1.5", "-1", "2.33333"])
    assert table["correct"].to_list() == [True, True, True]
    assert grade_answers(["third"], ["7/3"], ["2.33"])["correct"].to_list() == [False]


def test_the_real_file_an_echo_earns_nothing_and_an_explanation_costs_nothing(shared):
    found = pairs(shared / "data/typos/maths_first500.json")
    every = [pair for pair in found.pairs if pair.answer]
    assert len(every) == len(found.pairs)
    gold, prompts = [pair.answer for pair in every], [pair.perturbed for pair in every]
    assert _echo(gold, prompts) == 0
    explained = [
        f"{_decimal(one)}. I worked with {p.rpartition(':')[2].strip(' =')}."
        for one, p in zip(gold, prompts, strict=True)
    ]
    done = rates(grade_answers([pair.id for pair in every], gold, explained, prompts=prompts))
    assert done["correct"] == done["first_correct"] == 1
    assert done["unparsed"] == 0


def _echo(gold: list[str], prompts: list[str]) -> float:
    """The share that a model would be credited for writing its prompt and nothing else."""
    return rates(grade_answers([str(i) for i in range(len(gold))], gold, prompts, prompts=prompts))["correct"]


def _decimal(text: str) -> str:
    value = Fraction(text)
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.6f}"


def test_only_the_prompt_is_cut():
    assert completion_of("4 + 93 = 97", "Add: 4 + 93 =") == (" 97", True)
    assert completion_of("Add:  4 + 93 =\n97", "Add: 4 + 93 =") == ("\n97", True)
    assert completion_of("5 of them", "How many: 5") == ("5 of them", False)
    assert completion_of("97", "") == ("97", False)


def test_nothing_graded_is_an_error_and_not_zero():
    with pytest.raises(StimulusError, match="no completion was graded"):
        rates(grade_answers([], [], []))
    with pytest.raises(StimulusError, match="2 ids, 1 right answers"):
        grade_answers(["a", "b"], ["1"], ["1", "2"])
    with pytest.raises(StimulusError, match="'many' is no number"):
        grade_answers(["a"], ["many"], ["1"])


def test_exact_match_and_f1_of_words():
    assert exact_match(" The  Box. ", ["bag", "box"])
    assert not exact_match("boxes", ["box"])
    assert f1("in the red box", ["red box"]) == pytest.approx(2 * 2 / (3 + 2))
    assert f1("red red box", ["red box box"]) == pytest.approx(2 / 3)
    assert (f1("", ["the"]), f1("", ["box"])) == (1.0, 0.0)
    with pytest.raises(StimulusError, match="no right answer"):
        f1("x", [])


@given(st.lists(st.sampled_from("abcde"), max_size=6), st.lists(st.sampled_from("abcde"), max_size=6))
def test_f1_is_symmetric_and_one_for_the_same_bag(one, other):
    a, b = " ".join(map(str.upper, one)), " ".join(other)
    assert f1(a, [b]) == f1(b, [a])
    assert (f1(a, [b]) == 1) == (sorted(w.lower() for w in one if w != "a") == sorted(w for w in other if w != "a"))


def test_choices_are_read_from_completions():
    items = [Item(str(i), "Where?", ("box", "bag"), i) for i in range(2)]
    found = choices(items, ["It is in the box.", "the box or the bag"])
    assert found["correct"].to_list() == [True, False]
    assert found["invalid"].to_list() == [False, True]
    with pytest.raises(StimulusError, match="2 items and 1 texts"):
        choices(items, ["x"])
