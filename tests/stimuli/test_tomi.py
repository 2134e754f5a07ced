from __future__ import annotations

import csv
from collections import Counter

import pytest

from broca.errors import StimulusError, UnknownName
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.blind_rules import baselines

COLUMNS = ["story", "question", "answer", "i", "qOrder", "falseTrueBelief", "cands"]
STORY = (
    "Ann entered the den. Bo entered the den. The key is in the box. Ann exited the den. Bo moved the key to the bag."
)
FALSE = [STORY, "Where will Ann look for the key?", "box", "1", "first_order", "False", "['bag', 'box']"]
TRUE = [STORY, "Where will Bo look for the key?", "bag", "1", "first_order", "true", '["bag", "box"]']
SECOND = [STORY, "Where does Bo think that Ann looks?", "box", "1", "second_order", "false", '["bag", "box"]']
MEMORY = [STORY, "Where was the key?", "box", "1", "memory", "true", '["bag", "box"]']


def tomi(folder, *rows):
    path = folder / "tomi.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def changed(column, value):
    return [value if name == column else cell for name, cell in zip(COLUMNS, FALSE, strict=True)]


def test_the_sample_keeps_both_kinds_of_belief(shared):
    path = shared / "data" / "tomi" / "tomi_first930.csv"
    items = benchmark(path)
    assert Counter(item.ability for item in items) == {"false-belief": 62, "true-belief": 164}
    second = Counter(item.ability for item in benchmark(path, order="second"))
    assert second == {"second-order-false-belief": 132, "second-order-true-belief": 191}
    assert len(benchmark(path, order="both")) == 226 + 323
    assert len(benchmark(path, belief="false", style="tl")) == 62
    shortcut = {(a, b): accuracy for a, b, accuracy in baselines(items).rows()}
    assert shortcut["false-belief", "first-mentioned"] > 0.85
    assert shortcut["true-belief", "first-mentioned"] < 0.05


def test_our_style(tmp_path):
    one, other = benchmark(tomi(tmp_path, FALSE, MEMORY, SECOND, TRUE))
    assert one.prompt == f"Story: {STORY}\nQuestion: Where will Ann look for the key?\nAnswer:"
    assert (one.choices, one.answer, one.ability) == (("bag", "box"), 1, "false-belief")
    assert (other.choices, other.answer, other.ability) == (("bag", "box"), 0, "true-belief")
    assert one.group == other.group
    assert [one.id, other.id] == ["tomi:2", "tomi:5"]


def test_the_published_style_lists_the_options_and_asks_for_a_letter(tmp_path):
    (item,) = benchmark(tomi(tmp_path, FALSE), style="tl")
    context, *rest = item.prompt.split("\n")
    assert context.startswith("The following multiple choice question")
    assert context.endswith("among options provided.")
    assert rest == [f"Story:{STORY}", f"Question: {FALSE[1]}", "Options:", "a. bag", "b. box", "Answer:"]
    assert (item.choices, item.answer, item.tags["options"]) == (("a", "b"), 1, "bag|box")


@pytest.mark.parametrize(("tail", "end"), [("Answer letter:", "?\nAnswer letter:"), ("", "?")])
def test_the_tail_of_the_prompt(tmp_path, tail, end):
    assert benchmark(tomi(tmp_path, FALSE), tail=tail)[0].prompt.endswith(end)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (changed("answer", "crate"), r"line 2: answer 'crate' is not among cands \['bag', 'box'\]"),
        (changed("falseTrueBelief", "no"), "line 2: falseTrueBelief is 'no'. It must be true or false"),
        (changed("cands", "__import__('os')"), "line 2: cands is .* It must be a list such as"),
        (changed("cands", "['box']"), "two or more different containers"),
        (changed("cands", "['box', 'box']"), "two or more different containers"),
        (changed("cands", "['box', '']"), "two or more different containers"),
        (changed("story", ""), "line 2: 'story' is empty"),
        (MEMORY, "no rows with order='first' and belief='both'. Its qOrder are memory"),
    ],
)
def test_bad_rows(tmp_path, row, message):
    with pytest.raises(StimulusError, match=message):
        benchmark(tomi(tmp_path, row))


def test_bad_options(tmp_path):
    with pytest.raises(
        StimulusError, match=r"Option 'order' of benchmark 'tomi.csv' is 'third'. Choose one of first, second, both."
    ):
        benchmark(tomi(tmp_path, FALSE), order="third")
    with pytest.raises(UnknownName, match=r"Known: belief, order, style, tail"):
        benchmark(tomi(tmp_path, FALSE), n=5)
