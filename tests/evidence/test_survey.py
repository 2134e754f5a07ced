from __future__ import annotations

from broca.evidence.survey import survey
from broca.items import Item
from broca.scoring.rows import Outcome, rows
from broca.stimuli.blind_rules import baselines


def asked(ability, n, right):
    items = [Item(f"{ability}{i}", "where?", ("box", "bag"), i % 2, ability, f"g{i}") for i in range(n)]
    said = [Outcome(item.answer if i < right else 1 - item.answer, "") for i, item in enumerate(items)]
    return items, said


def test_a_row_an_ability_with_interval_chance_shortcut_and_gate():
    (can, one), (cannot, two) = asked("can", 40, 36), asked("cannot", 40, 22)
    items = [*can, *cannot]
    found = survey(items, rows(items, [*one, *two])).rows(named=True)
    assert [(row["ability"], row["accuracy"], row["gate"]) for row in found] == [
        ("can", 0.9, "open"),
        ("cannot", 0.55, "closed"),
    ]
    assert all(row["low"] < row["accuracy"] < row["high"] for row in found)
    best = baselines(can).sort("accuracy", descending=True)["accuracy"][0]
    assert [(row["chance"], row["scores"]) for row in found] == [(0.5, best)] * 2
