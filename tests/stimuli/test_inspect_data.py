"""Data sets of inspect-ai, and the suites of SyntaxGym where a package brings them."""

from __future__ import annotations

import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from broca.errors import StimulusError
from broca.stimuli.benchmarks import benchmark

STORY = "Ann entered the hall. The hat is in the box. {}Bob moved the hat to the bag. {}"
QUESTIONS = {
    "Where was the hat at the beginning?": ("box", "memory"),
    "Where is the hat really?": ("bag", "reality"),
    "Where will Ann look for the hat?": ("box", "false-belief"),
    "Where will Bob look for the hat?": ("bag", "true-belief"),
    "Where does Bob think that Ann searches for the hat?": ("box", "second-order-false-belief"),
}


def written(folder: Path, rows, name: str = "samples.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_stories_get_the_places_that_they_name_as_choices(tmp_path):
    rows = [
        {"input": [{"role": "user", "content": STORY.format("Ann exited the hall. ", question)}], "target": target}
        for question, (target, _) in QUESTIONS.items()
    ]
    items = benchmark(written(tmp_path, rows))
    assert [item.ability for item in items] == [ability for _, ability in QUESTIONS.values()]
    assert [item.choices[item.answer] for item in items] == [target for target, _ in QUESTIONS.values()]
    assert {item.choices for item in items} == {("box", "bag")}
    assert len({item.group for item in items}) == 1
    assert items[0].prompt.endswith("\nQuestion: Where was the hat at the beginning?\nAnswer:")


def test_choices_and_letters(tmp_path):
    rows = [
        {"input": "Where?", "choices": ["box", "bag"], "target": "B"},
        {"input": "Who?", "choices": ["Ann", "Bob"], "target": "Ann"},
    ]
    items = benchmark(written(tmp_path, rows))
    assert [(item.prompt, item.choices, item.answer) for item in items] == [
        ("Where?", ("box", "bag"), 1),
        ("Who?", ("Ann", "Bob"), 0),
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"input": "Where?", "target": "box"},
            "line 1: there are no choices, and 'Where?' is no story of a thing that is moved",
        ),
        ({"input": "Where?", "choices": ["box", "bag"], "target": "C"}, "the target 'C' is none of"),
        ({"input": STORY.format("", "Where is the hat really?"), "target": "hall"}, "the target 'hall' is none of"),
    ],
)
def test_mistakes(tmp_path, row, told):
    with pytest.raises(StimulusError) as raised:
        benchmark(written(tmp_path, [row, row]))
    assert told in str(raised.value)


def of_package(name: str, *parts: str) -> Path:
    """A file that a package brings; skips the test where it is not installed."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{name} is not installed: pip install --no-deps {name.replace('_', '-')}")
    return Path(spec.submodule_search_locations[0]).joinpath(*parts)


def test_the_theory_of_mind_of_inspect_ai():
    items = benchmark(of_package("inspect_ai", "dataset", "_examples", "theory_of_mind.jsonl"))
    assert len(items) == 100
    assert {len(item.choices) for item in items} == {2}
    counts = Counter(item.ability for item in items)
    assert counts["memory"] == counts["reality"] == 17


def test_all_suites_of_syntaxgym():
    folder = of_package("brainscore_language", "benchmarks", "syntaxgym", "suites", "syntaxgym-2020")
    items = benchmark(folder)
    assert len({item.ability for item in items}) == 31
    assert len({item.group for item in items}) == 799
