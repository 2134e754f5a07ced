from __future__ import annotations

import json
from collections import Counter

import pytest

from broca.errors import StimulusError
from broca.items import Item, Message
from broca.stimuli.benchmarks import benchmark, option_types
from broca.stimuli.examples import add_examples


def items(n=12, *, per=2, prompt="Where is thing {}? In the", ability="a"):
    return [Item(f"i{i}", prompt.format(i), ("box", "bag"), i // per % 2, ability, f"g{i // per}") for i in range(n)]


def test_no_item_of_an_examples_group_is_asked():
    asked = items()
    found = add_examples(asked, shots=2)
    *examples, _ = found[0].prompt.split("\n")
    by_text = {f"{item.prompt} {item.choices[item.answer]}": item for item in asked}
    taken = [by_text[example] for example in examples]
    assert Counter(each.choices[each.answer] for each in taken) == {"box": 1, "bag": 1}
    assert len({each.group for each in taken}) == 2
    assert {item.group for item in found} == {item.group for item in asked} - {each.group for each in taken}
    assert all(item.prompt.split("\n")[:-1] == examples for item in found)
    own = {item.id: item for item in asked}
    assert all(item.prompt.endswith(own[item.id].prompt) and item.choices == own[item.id].choices for item in found)


def test_each_ability_has_examples_of_its_own():
    found = add_examples([*items(ability="a"), *items(ability="b", prompt="Say thing {}:")], shots=1)
    assert {item.ability: item.prompt.split("\n")[0].split()[0] for item in found} == {"a": "Where", "b": "Say"}


def test_texts_of_several_lines_stand_apart():
    (one, *_) = add_examples(items(prompt="Thing {}.\nWhere?\nAnswer:"), shots=2)
    assert one.prompt.count("\n\n") == 2
    assert "Answer: b" in one.prompt


def test_to_a_chat_they_are_earlier_turns():
    asked = [
        Item(
            f"i{i}",
            (Message("system", "Be brief."), Message("user", f"Thing {i}?")),
            ("box", "bag"),
            i % 2,
            "a",
            f"g{i}",
        )
        for i in range(6)
    ]
    (one, *_) = add_examples(asked, shots=2)
    assert [turn.role for turn in one.prompt] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert {one.prompt[2].content, one.prompt[4].content} == {"box", "bag"}


def test_what_cannot_be_is_one_sentence():
    with pytest.raises(
        StimulusError, match=r"a has 6 groups of items, and 4 examples would take 4 of them. Give shots of 3"
    ):
        add_examples(items(), shots=4)
    pictured = [Item(f"i{i}", "What?", ("box", "bag"), 0, "a", f"g{i}", images=("a.png",)) for i in range(4)]
    with pytest.raises(StimulusError, match=r"Item 'i0' has pictures, and examples are words alone"):
        add_examples(pictured, shots=1)


def test_every_benchmark_takes_them(tmp_path):
    rows = [{"prompt": f"Where {i}?", "choices": ["box", "bag"], "answer": i % 2, "group": i // 2} for i in range(12)]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert "shots" in option_types(path)
    assert len(benchmark(path, shots=2)) == 8
    assert benchmark(path, shots=0) == benchmark(path)
    assert len(benchmark("beliefs/memory", n=40, shots=3)[0].prompt) > len(benchmark("beliefs/memory", n=40)[0].prompt)
    with pytest.raises(StimulusError, match=r"Option 'shots' of benchmark 'own.jsonl' is -1. Give 0 or more"):
        benchmark(path, shots=-1)
